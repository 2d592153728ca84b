//! Where jobs are kept.

use crate::{Job, JobFilter, Verification};
use async_trait::async_trait;
use certctl_inventory::CertificateStatus;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};

/// Keeps jobs. The store itself writes a job's history, so no move can go untold.
#[async_trait]
pub trait JobStore: Send {
    /// The job with this id, with its newest verification.
    async fn job(&mut self, id: &str) -> Result<Option<Job>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn job_for_update(&mut self, id: &str) -> Result<Option<Job>, StoreError>;
    /// Adds a job. [`StoreError::Duplicate`] of `certificate_id` when the certificate (or the certificate on the
    /// target) already has an open one of its kind.
    async fn insert_job(&mut self, job: &Job) -> Result<(), StoreError>;
    /// Writes a job over the stored one if its row version is still the one read; false when it is not.
    async fn save_job(&mut self, job: &Job) -> Result<bool, StoreError>;
    /// The certificate's Issuance or Renewal job that waits for a CSR, locked. With `agent_id`, only one that is not
    /// bound to another agent; with `job_id`, only that one.
    async fn awaiting_csr_job_for_update(
        &mut self,
        certificate_id: &str,
        agent_id: Option<&str>,
        job_id: Option<&str>,
    ) -> Result<Option<Job>, StoreError>;
    /// The certificate's Issuance or Renewal job that is open or will be tried again.
    async fn open_request(&mut self, certificate_id: &str) -> Result<Option<Job>, StoreError>;
    /// Ends a request that waits for a CSR or runs: it brought about `version_id`. False when it does neither.
    async fn complete_job(&mut self, id: &str, version_id: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// Calls off every job of the certificate that has not ended for good; returns how many.
    async fn cancel_open_jobs(&mut self, certificate_id: &str, reason: &str, now: Timestamp)
    -> Result<u64, StoreError>;
    /// Makes one Deployment job for each attached, enabled, unretired target and makes `version_id` the wanted one
    /// there. Deployments of earlier versions that have not ended are called off. Returns the new jobs' ids.
    async fn create_deployment_jobs(
        &mut self,
        certificate_id: &str,
        version_id: &str,
        now: Timestamp,
        requested_by: &str,
    ) -> Result<Vec<Id>, StoreError>;
    /// Takes a certificate out of `RenewalInProgress`; with a time, the next scheduled attempt moves there. False when
    /// it was in another state.
    async fn leave_renewal(
        &mut self,
        certificate_id: &str,
        to: CertificateStatus,
        next_renewal_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// One page, newest first.
    async fn jobs_page(&mut self, filter: &JobFilter, list: &ListQuery) -> Result<Page<Job>, StoreError>;
    /// Adds what was seen at a target.
    async fn insert_verification(&mut self, seen: &Verification) -> Result<(), StoreError>;
    /// Failed jobs whose next attempt is due, locked; those that another transaction holds are left out.
    async fn retries_due(&mut self, now: Timestamp, limit: i64) -> Result<Vec<Job>, StoreError>;
    /// Requests that entered their wait for a CSR before `before`; not locked, so whoever acts on one looks again.
    async fn unanswered_requests(&mut self, before: Timestamp, limit: i64) -> Result<Vec<Job>, StoreError>;
    /// Running jobs whose lease ended before `now`, or whose agent was last heard of before `heard_after` (which the
    /// flag tells); not locked either.
    async fn abandoned_jobs(
        &mut self,
        now: Timestamp,
        heard_after: Timestamp,
        limit: i64,
    ) -> Result<Vec<(Job, bool)>, StoreError>;
}
