//! One transaction over every store.
//!
//! A use case takes `&mut (impl SomeStore + AuditLog + ?Sized)`; whoever calls it begins a [`UnitOfWork`], runs the
//! use case and saves. Dropping one unsaved discards it, so a forgotten save changes nothing.

use async_trait::async_trait;
use certctl_audit::{AuditLog, AuditStore};
use certctl_kernel::StoreError;
use certctl_ports::Announcer;

pub mod contract;
pub mod fake;
mod idempotency;
mod leader;

pub use leader::{LoopRun, LoopRunStore};

pub use idempotency::{IdempotencyClaim, IdempotencyKey, IdempotencyStore, StoredResponse};

/// Every store of the product behind one transaction.
pub trait Stores:
    AuditLog
    + AuditStore
    + certctl_audit_log::LogStore
    + certctl_audit_log::VerificationStore
    + certctl_audit_log::ExportStore
    + certctl_audit_log::RetentionStore
    + certctl_audit::AccessLogStore
    + Announcer
    + IdempotencyStore
    + LoopRunStore
    + certctl_rbac::RbacStore
    + certctl_apikey::IamStore
    + certctl_bootstrap::FirstAdminStore
    + certctl_session::SessionStore
    + certctl_breakglass::BreakglassStore
    + Send
    + certctl_inventory::OrgStore
    + certctl_inventory::IssuerStore
    + certctl_inventory::RenewalPolicyStore
    + certctl_inventory::CertificateStore
    + certctl_profile::ProfileStore
    + certctl_jobs::JobStore
    + certctl_agents::AgentStore
    + certctl_deployment::DeploymentStore
    + certctl_deployment::WorkStore
    + certctl_renewal::RenewalStore
    + certctl_approval::ApprovalStore
    + certctl_ca::CaStore
    + certctl_issuance::IssuanceStore
    + certctl_revocation::StatusStore
    + certctl_revocation::BulkStore
    + certctl_secrets::SecretStore
    + certctl_secrets::InstallationSecretStore
    + certctl_oidc::OidcStore
    + certctl_user::UserStore
    + certctl_user::TraceStore
    + certctl_stats::StatsStore
{
}

/// A transaction. Nothing is visible to others before it is saved; dropping it discards it.
#[async_trait]
pub trait Transaction: AuditLog {
    /// Commits. Refuses, and discards, when the transaction recorded no audit event: a change without its event must
    /// not happen.
    async fn save(self: Box<Self>) -> Result<(), StoreError>;

    /// Commits a change that by design leaves no event (heartbeats, caches, leases); `reason` is for the reader.
    async fn save_unaudited(self: Box<Self>, reason: &'static str) -> Result<(), StoreError>;

    /// Rolls back and gives the connection back; cheaper than dropping, which closes it.
    async fn discard(self: Box<Self>) -> Result<(), StoreError>;
}

/// A transaction over every store.
pub trait UnitOfWork: Stores + Transaction {
    /// The same stores as a plain trait object, for use cases.
    fn stores(&mut self) -> &mut dyn Stores;
}

/// Where units of work come from.
#[async_trait]
pub trait Database: Send + Sync {
    /// Begins a transaction.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError>;

    /// Stores on a connection that the database itself holds to reading: no transaction, no round trips for one, and
    /// a write through it fails.
    async fn read(&self) -> Result<Box<dyn UnitOfWork>, StoreError>;

    /// Answers when the database answers and its schema is the one this build needs.
    async fn ping(&self) -> Result<(), StoreError>;
}
