//! What the figures need of a database.

use crate::{DatedCount, Inventory, JobDay, StatusCount};
use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};
use time::{Date, Duration};

/// Counts. Days are UTC; a day without anything is left out.
#[async_trait]
pub trait StatsStore: Send {
    /// The figures at `now`: certificates that end within `expiring` are expiring, agents silent for longer than
    /// `silent` are offline.
    async fn inventory_counts(
        &mut self,
        now: Timestamp,
        expiring: Duration,
        silent: Duration,
    ) -> Result<Inventory, StoreError>;
    /// Certificates by state, by name of the state. Those that dates move between Active, Expiring and Expired are
    /// counted by their dates at `now`.
    async fn certificates_by_status(
        &mut self,
        now: Timestamp,
        expiring: Duration,
    ) -> Result<Vec<StatusCount>, StoreError>;
    /// Certificates that end on each day of `from` to `to`, both included; revoked and archived ones left out.
    async fn expirations(&mut self, from: Date, to: Date) -> Result<Vec<DatedCount>, StoreError>;
    /// Jobs that ended on each day of `from` to `to`.
    async fn jobs_ended(&mut self, from: Date, to: Date) -> Result<Vec<JobDay>, StoreError>;
    /// Versions issued on each day of `from` to `to`.
    async fn versions_issued(&mut self, from: Date, to: Date) -> Result<Vec<DatedCount>, StoreError>;
}
