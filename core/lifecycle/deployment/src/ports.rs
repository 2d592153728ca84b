//! Where targets, assignments and deployments are kept.

use crate::{Attachment, ClaimedWork, DeploymentRecord, Target, TargetFilter, TargetUsage, WorkState};
use async_trait::async_trait;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};

/// Until when claimed work belongs to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leases {
    /// Now.
    pub now: Timestamp,
    /// End of a deployment's lease.
    pub deployment_until: Timestamp,
    /// End of a request's lease.
    pub request_until: Timestamp,
}

/// Keeps targets and what should stand on them.
#[async_trait]
pub trait DeploymentStore: Send {
    /// The target with this id, in service or not.
    async fn target(&mut self, id: &str) -> Result<Option<Target>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn target_for_update(&mut self, id: &str) -> Result<Option<Target>, StoreError>;
    /// Those of the targets that exist.
    async fn targets_by_id(&mut self, ids: &[Id]) -> Result<Vec<Target>, StoreError>;
    /// Adds a target.
    async fn insert_target(&mut self, target: &Target) -> Result<(), StoreError>;
    /// Writes the members that operators may edit over the stored ones and bumps the row version.
    async fn update_target(&mut self, target: &Target) -> Result<(), StoreError>;
    /// Takes a target out of service, detaches its certificates and calls off its jobs.
    async fn retire_target(&mut self, id: &str, reason: Option<&str>, at: Timestamp) -> Result<(), StoreError>;
    /// What refers to the target.
    async fn target_usage(&mut self, id: &str) -> Result<TargetUsage, StoreError>;
    /// Keeps the outcome of a connection test.
    async fn set_target_test_result(&mut self, id: &str, status: &str, at: Timestamp) -> Result<(), StoreError>;
    /// One page, newest first.
    async fn targets_page(&mut self, filter: &TargetFilter, list: &ListQuery) -> Result<Page<Target>, StoreError>;

    /// Makes `target_ids` the certificate's targets: others are detached and their jobs called off; new ones wait for
    /// the certificate's current version.
    async fn attach_targets(
        &mut self,
        certificate_id: &str,
        target_ids: &[Id],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// One page of a certificate's targets, by id.
    async fn attachments_page(
        &mut self,
        certificate_id: &str,
        list: &ListQuery,
    ) -> Result<Page<Attachment>, StoreError>;
}

/// Hands out work and keeps how it went.
#[async_trait]
pub trait WorkStore: Send {
    /// Makes Deployment jobs for the certificate's targets in service, or for the one named, except where one is open.
    async fn create_missing_deployment_jobs(
        &mut self,
        certificate_id: &str,
        version_id: &str,
        target_id: Option<&str>,
        now: Timestamp,
        requested_by: &str,
    ) -> Result<Vec<Id>, StoreError>;

    /// Whether there is anything for the agent to claim; `None` when there is no such agent. Reads only.
    async fn work_state(&mut self, agent_id: &str, now: Timestamp) -> Result<Option<WorkState>, StoreError>;
    /// Claims what waits for the agent: its due deployments, which become Running with their attempt counted, and the
    /// requests of certificates on its targets that no other agent is at. Deployments first, each oldest first. No
    /// two callers get the same job while its lease lasts.
    async fn claim_work(&mut self, agent_id: &str, leases: Leases, limit: i64) -> Result<Vec<ClaimedWork>, StoreError>;
    /// Whether the certificate stands on a target of the agent.
    async fn agent_serves(&mut self, agent_id: &str, certificate_id: &str) -> Result<bool, StoreError>;
    /// Certificates on the agent's targets whose request waits for a CSR that the agent may give; at most two.
    async fn requests_for_agent(&mut self, agent_id: &str) -> Result<Vec<Id>, StoreError>;
    /// Keeps how a deployment went; a success makes its version the deployed one, of the target and in the
    /// certificate's last deployment.
    async fn record_deployment(&mut self, record: &DeploymentRecord) -> Result<(), StoreError>;
}
