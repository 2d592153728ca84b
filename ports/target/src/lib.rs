//! The seam between certificates and the products that serve them: what a target connector must do, what it says
//! afterwards, and the kit ([`contract`]) that every connector and the in-memory [`fake`] pass.
//!
//! Connectors are synchronous: the agent runs each deployment on a thread of its own.

mod catalogue;
pub mod contract;
pub mod fake;
mod material;
mod outcome;

pub use catalogue::{TARGET_TYPES, TargetCatalogue};
pub use material::Material;
pub use outcome::{DeployOutcome, Deployment, Step, Verification};

use certctl_kernel::FieldError;
use serde_json::Value;

/// One deployment: what goes where, on whose order.
#[derive(Debug, Clone, Copy)]
pub struct DeployRequest<'a> {
    /// The job that ordered it; names the journal and the deployment.
    pub job_id: &'a str,
    /// The target row.
    pub target_id: &'a str,
    /// The managed certificate.
    pub certificate_id: &'a str,
    /// The target's configuration, complete.
    pub config: &'a Value,
    /// Certificate, chain and key.
    pub material: &'a Material,
    /// Installs a leaf that is older than the deployed one.
    pub force: bool,
}

/// Installs certificates into one kind of product.
///
/// Contract, checked by [`contract::connector`]:
/// - `validate_config` looks at the text only, never at the host, names every broken rule at once, each under its
///   member (`config.cert_path`), and refuses members it does not know.
/// - `deploy` leaves either all of the new material in place and the service running on it, or all of the old material
///   in place and the service running on that. Only [`DeployOutcome::RollbackFailed`] says otherwise.
/// - `deploy` of what is deployed and served already changes nothing and says [`DeployOutcome::Unchanged`].
/// - Material whose key does not belong to the leaf is refused before anything changes.
/// - No message, step or debug text holds key material.
/// - `dry_run` writes nothing that the service could see.
pub trait TargetConnector: Send + Sync {
    /// The type string of the targets it serves (`NGINX`).
    fn target_type(&self) -> &'static str;
    /// Checks the configuration's text.
    fn validate_config(&self, config: &Value) -> Result<(), Vec<FieldError>>;
    /// Keys of the physical things a deployment touches, such as file paths. Two deployments that share a key must not
    /// run at once. Empty when the configuration is invalid.
    fn endpoint_keys(&self, config: &Value) -> Vec<String>;
    /// Tells what a deployment would meet, as steps; a failed step is a reason that a deployment would fail.
    fn dry_run(&self, request: &DeployRequest<'_>) -> Vec<Step>;
    /// Deploys.
    fn deploy(&self, request: &DeployRequest<'_>) -> Deployment;
    /// Compares what is stored and, where an endpoint is known, what is served, with the request's leaf.
    fn verify(&self, request: &DeployRequest<'_>) -> Verification;
}
