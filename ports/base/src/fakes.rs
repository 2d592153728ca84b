//! In-memory fakes for the unit tests of the domains.

use crate::{Clock, Random, SealContext, SealError, Sealer};
use certctl_kernel::Timestamp;
use std::sync::Mutex;
use zeroize::Zeroizing;

/// A clock that stands still until told.
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// Stands at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves to `at`.
    pub fn set(&self, at: Timestamp) {
        *self.0.lock().expect("no test panics while it holds the clock") = at;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no test panics while it holds the clock")
    }
}

/// Octets counted upwards: distinct and repeatable, for tests only.
pub struct CountingRandom(Mutex<u64>);

impl CountingRandom {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for CountingRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().expect("no test panics while it draws");
        for byte in buffer {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
    }
}

/// Keeps plaintexts in memory and hands out tickets in their place.
#[derive(Default)]
pub struct TicketSealer(Mutex<Vec<(String, Vec<u8>)>>);

fn cell(context: SealContext<'_>) -> String {
    format!("{}\u{1f}{}\u{1f}{}", context.table, context.column, context.row_id)
}

impl Sealer for TicketSealer {
    fn seal(&self, plaintext: &[u8], context: SealContext<'_>) -> Result<Vec<u8>, SealError> {
        let mut store = self.0.lock().expect("no test panics while it seals");
        store.push((cell(context), plaintext.to_vec()));
        Ok(format!("ticket:{}", store.len() - 1).into_bytes())
    }

    fn open(&self, blob: &[u8], context: SealContext<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let index: usize = std::str::from_utf8(blob)
            .ok()
            .and_then(|text| text.strip_prefix("ticket:"))
            .and_then(|number| number.parse().ok())
            .ok_or(SealError::Broken)?;
        let store = self.0.lock().expect("no test panics while it opens");
        match store.get(index) {
            Some((place, value)) if *place == cell(context) => Ok(Zeroizing::new(value.clone())),
            _ => Err(SealError::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fakes_pass_the_contract_kits() {
        crate::contract::clock(&FixedClock::new(time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)));
        crate::contract::random(&CountingRandom::new(1));
        crate::contract::sealer(&TicketSealer::default());
    }
}
