//! Wall-clock time.

use certctl_kernel::{Timestamp, timestamp};
use certctl_ports::Clock;
use time::OffsetDateTime;

/// The host's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that everything else takes time from")]
    fn now(&self) -> Timestamp {
        timestamp::truncate(OffsetDateTime::now_utc())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_keeps_the_contract() {
        certctl_ports::contract::clock(&super::SystemClock);
    }
}
