//! Which connectors this build has.

use crate::host::Host;
use crate::nginx::{self, Nginx};
use certctl_kernel::FieldError;
use certctl_port_target::{TARGET_TYPES, TargetCatalogue, TargetConnector};
use serde_json::Value;
use std::sync::Arc;

/// The types that have a connector.
const AVAILABLE: &[&str] = &[nginx::TYPE];

/// Checks a target's configuration: `type` as the wire spells it, then the type's own schema.
pub fn validate_target_config(target_type: &str, config: &Value) -> Result<(), Vec<FieldError>> {
    match target_type {
        nginx::TYPE => nginx::validate(config),
        other if TARGET_TYPES.contains(&other) => Err(vec![FieldError::new(
            "type",
            "unavailable_type",
            format!("this build has no connector for target type {other}; available: {}", AVAILABLE.join(", ")),
        )]),
        _ => Err(vec![FieldError::new("type", "enum", format!("must be one of {}", TARGET_TYPES.join(", ")))]),
    }
}

/// The connector of a type, over a host.
pub fn connector(target_type: &str, host: &Host) -> Option<Arc<dyn TargetConnector>> {
    (target_type == nginx::TYPE).then(|| Arc::new(Nginx::new(host.clone())) as Arc<dyn TargetConnector>)
}

/// The connectors of this build, for the control plane's checks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Catalogue;

impl TargetCatalogue for Catalogue {
    fn available(&self) -> &'static [&'static str] {
        AVAILABLE
    }

    fn validate_config(&self, target_type: &str, config: &Value) -> Result<(), Vec<FieldError>> {
        validate_target_config(target_type, config)
    }

    fn secret_members(&self, _target_type: &str) -> &'static [&'static str] {
        // File-based web servers hold paths and commands only.
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_passes_the_contract_kit() {
        certctl_port_target::contract::catalogue(&Catalogue);
    }
}
