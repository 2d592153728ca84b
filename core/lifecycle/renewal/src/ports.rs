//! What the scan reads and changes of many certificates at once.

use async_trait::async_trait;
use certctl_approval::Subject;
use certctl_inventory::CertificateStatus;
use certctl_kernel::{Id, StoreError, Timestamp};

/// A certificate whose dates gave it another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusChange {
    /// The certificate.
    pub certificate_id: Id,
    /// State before.
    pub from: CertificateStatus,
    /// State now.
    pub to: CertificateStatus,
    /// End of its current version.
    pub expires_at: Timestamp,
}

/// A certificate that is due for renewal, locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCertificate {
    /// The certificate.
    pub certificate_id: Id,
    /// State.
    pub status: CertificateStatus,
    /// End of its current version.
    pub expires_at: Option<Timestamp>,
    /// When it was due.
    pub due_at: Timestamp,
    /// Further attempts that its policy allows.
    pub max_retries: i32,
    /// What a second person must grant first, where the profile demands it.
    pub gated: Option<Subject>,
}

/// Reads and changes certificates by their dates.
#[async_trait]
pub trait RenewalStore: Send {
    /// Moves issued certificates whose dates say so to `Expiring` or `Expired`, at most `limit` of each.
    async fn age_certificates(&mut self, now: Timestamp, limit: i64) -> Result<Vec<StatusChange>, StoreError>;
    /// Certificates due at `now`, most urgent first, locked; those that another transaction holds are left out. Due is
    /// one whose policy renews, whose profile is enabled, that has a target in service to answer the request, and no
    /// request that has not ended.
    async fn due_certificates(&mut self, now: Timestamp, limit: i64) -> Result<Vec<DueCertificate>, StoreError>;
    /// Whether the certificate has a target in service, whose agent could answer a request.
    async fn has_answering_target(&mut self, certificate_id: &str) -> Result<bool, StoreError>;
    /// Drops idempotency keys that ended before `now` and loop runs that ended before `runs_before`; returns how many
    /// rows went.
    async fn purge_housekeeping(&mut self, now: Timestamp, runs_before: Timestamp) -> Result<i64, StoreError>;
}
