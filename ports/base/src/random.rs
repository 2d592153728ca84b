//! Randomness.

use crate::Clock;
use certctl_kernel::{Id, IdKind};

/// Cryptographically secure random octets. An implementation whose source fails aborts the process: there is no
/// safe way on without randomness.
pub trait Random: Send + Sync {
    /// Fills `buffer` with unpredictable octets.
    fn fill(&self, buffer: &mut [u8]);
}

impl dyn Random + '_ {
    /// A fresh time-ordered identifier.
    pub fn id(&self, kind: IdKind, clock: &dyn Clock) -> Id {
        let mut random = [0u8; 10];
        self.fill(&mut random);
        kind.generate(clock.unix_millis(), &random)
    }
}
