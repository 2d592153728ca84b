//! Which target types exist and which this build can serve.

use certctl_kernel::FieldError;
use serde_json::Value;

/// Every type string of the wire, in its exact case.
pub const TARGET_TYPES: &[&str] = &[
    "NGINX",
    "Apache",
    "HAProxy",
    "F5",
    "IIS",
    "Traefik",
    "Caddy",
    "Envoy",
    "Postfix",
    "Dovecot",
    "SSH",
    "WinCertStore",
    "JavaKeystore",
    "KubernetesSecrets",
    "AWSACM",
    "AzureKeyVault",
];

/// What the control plane asks about target types when an operator creates or changes a target.
///
/// Contract: `validate_config` of a type outside [`TARGET_TYPES`] names the member `type`; of a type without a
/// connector too, and says that this build has none; else it answers as the connector's `validate_config`.
pub trait TargetCatalogue: Send + Sync {
    /// The types that have a connector.
    fn available(&self) -> &'static [&'static str];
    /// Checks a configuration of a type.
    fn validate_config(&self, target_type: &str, config: &Value) -> Result<(), Vec<FieldError>>;
    /// Members, dotted where nested, whose values are secrets; every other member may be shown.
    fn secret_members(&self, target_type: &str) -> &'static [&'static str];
}
