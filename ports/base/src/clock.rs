//! Time.

use certctl_kernel::Timestamp;

/// Wall-clock time. `now` is UTC, cut to microseconds, and may go backwards when the host's clock is set: whoever
/// needs order across calls takes it from the database.
pub trait Clock: Send + Sync {
    /// The current instant.
    fn now(&self) -> Timestamp;

    /// Milliseconds since the Unix epoch, for time-ordered identifiers.
    fn unix_millis(&self) -> u64 {
        u64::try_from(self.now().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
    }
}
