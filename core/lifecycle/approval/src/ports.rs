//! Where requests are kept.

use crate::{ApprovalFilter, ApprovalRequest, Comment, Event, Standing};
use async_trait::async_trait;
use certctl_kernel::{Actor, ListQuery, Page, StoreError, Timestamp};

/// Keeps approval requests, their comments and what is to be told of them.
#[async_trait]
pub trait ApprovalStore: Send {
    /// What is known of the person behind an actor. Someone whose working credentials name different persons, or not
    /// all a person, has no owner.
    async fn standing(&mut self, actor: &Actor) -> Result<Standing, StoreError>;
    /// Adds a request; false when one of its kind is pending for the certificate or profile already.
    async fn insert_approval(&mut self, request: &ApprovalRequest) -> Result<bool, StoreError>;
    /// The request with this id.
    async fn approval(&mut self, id: &str) -> Result<Option<ApprovalRequest>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn approval_for_update(&mut self, id: &str) -> Result<Option<ApprovalRequest>, StoreError>;
    /// The newest request of a job.
    async fn approval_of_job(&mut self, job_id: &str) -> Result<Option<ApprovalRequest>, StoreError>;
    /// The pending issuance request of a certificate, locked.
    async fn pending_issuance(&mut self, certificate_id: &str) -> Result<Option<ApprovalRequest>, StoreError>;
    /// The pending change of a profile.
    async fn pending_profile_edit(&mut self, profile_id: &str) -> Result<Option<ApprovalRequest>, StoreError>;
    /// Approved issuance requests of a certificate that were not used and did not end before `now`, oldest first,
    /// locked.
    async fn unused_approvals(
        &mut self,
        certificate_id: &str,
        now: Timestamp,
    ) -> Result<Vec<ApprovalRequest>, StoreError>;
    /// Writes a request over the stored one if its row version is still the one read; false when it is not.
    async fn save_approval(&mut self, request: &ApprovalRequest) -> Result<bool, StoreError>;
    /// Pending requests that ended before `now`, and such whose job waits no longer; not locked, so whoever acts on one
    /// looks again.
    async fn overdue_approvals(&mut self, now: Timestamp, limit: i64) -> Result<Vec<ApprovalRequest>, StoreError>;
    /// One page, newest first.
    async fn approvals_page(
        &mut self,
        filter: &ApprovalFilter,
        list: &ListQuery,
    ) -> Result<Page<ApprovalRequest>, StoreError>;
    /// Adds a comment.
    async fn insert_comment(&mut self, request_id: &str, comment: &Comment) -> Result<(), StoreError>;
    /// The comments on a request, oldest first.
    async fn comments(&mut self, request_id: &str) -> Result<Vec<Comment>, StoreError>;
    /// Queues what is to be told, for delivery after the commit.
    async fn queue_telling(&mut self, request_id: &str, event: Event, at: Timestamp) -> Result<(), StoreError>;
}
