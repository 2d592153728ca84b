//! A target in memory, for tests of what stands above connectors.

use crate::{DeployOutcome, DeployRequest, Deployment, Step, TargetConnector, Verification};
use certctl_kernel::FieldError;
use serde_json::Value;
use std::sync::Mutex;

#[derive(Default)]
struct State {
    leaf: Option<Vec<u8>>,
    refuses: bool,
}

/// A service that keeps its certificate in memory. Its configuration has one member, `name`, a non-empty text. A key
/// belongs to a leaf here when the leaf's octets end with the key's text.
#[derive(Default)]
pub struct InMemoryTarget(Mutex<State>);

impl InMemoryTarget {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the target")
    }

    /// Makes the service refuse new material, or accept it again.
    pub fn refuse(&self, refuses: bool) {
        self.state().refuses = refuses;
    }

    /// Fingerprint of what is served.
    pub fn served(&self) -> Option<String> {
        self.state().leaf.as_deref().map(crate::Material::fingerprint_of)
    }
}

impl TargetConnector for InMemoryTarget {
    fn target_type(&self) -> &'static str {
        "NGINX"
    }

    fn validate_config(&self, config: &Value) -> Result<(), Vec<FieldError>> {
        let Some(members) = config.as_object() else {
            return Err(vec![FieldError::new("config", "type", "must be an object")]);
        };
        let mut errors: Vec<_> = members
            .keys()
            .filter(|name| *name != "name")
            .map(|name| FieldError::new(format!("config.{name}"), "unknown_member", "is not a member"))
            .collect();
        if members.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
            errors.push(FieldError::new("config.name", "required", "must be a non-empty text"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn endpoint_keys(&self, config: &Value) -> Vec<String> {
        config.get("name").and_then(Value::as_str).map(str::to_owned).into_iter().collect()
    }

    fn dry_run(&self, _request: &DeployRequest<'_>) -> Vec<Step> {
        let ok = !self.state().refuses;
        vec![Step { step: "reach".into(), ok, ms: 0, detail: "asked the service".into() }]
    }

    fn deploy(&self, request: &DeployRequest<'_>) -> Deployment {
        let mut state = self.state();
        let new = &request.material.leaf;
        let old_fingerprint = state.leaf.as_deref().map(crate::Material::fingerprint_of);
        let (outcome, detail) = if !new.ends_with(request.material.key_pem.expose().as_bytes()) {
            let cause = "the key does not belong to the leaf";
            (DeployOutcome::Refused { cause: cause.into() }, cause)
        } else if state.leaf.as_ref() == Some(new) {
            (DeployOutcome::Unchanged, "already in place")
        } else if state.refuses {
            let cause = "the service refused";
            (DeployOutcome::RolledBack { cause: cause.into() }, cause)
        } else {
            state.leaf = Some(new.clone());
            (DeployOutcome::Changed, "replaced")
        };
        Deployment {
            steps: vec![Step { step: "replace".into(), ok: outcome.is_success(), ms: 0, detail: detail.into() }],
            old_fingerprint,
            new_fingerprint: request.material.fingerprint(),
            deployment_id: format!("memory-{}", request.job_id),
            target_address: "memory".into(),
            served_fingerprint: state.leaf.as_deref().map(crate::Material::fingerprint_of),
            outcome,
        }
    }

    fn verify(&self, request: &DeployRequest<'_>) -> Verification {
        let served = self.served();
        let valid = served.as_deref() == Some(request.material.fingerprint().as_str());
        Verification { valid, stored_fingerprint: served.clone(), served_fingerprint: served, message: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Material;
    use certctl_kernel::Secret;
    use serde_json::json;

    fn material(leaf: &str, key: &str) -> Material {
        Material { leaf: leaf.as_bytes().to_vec(), chain: Vec::new(), key_pem: Secret::new(key.to_owned()) }
    }

    #[test]
    fn the_fake_passes_the_contract_kit() {
        let target = InMemoryTarget::default();
        crate::contract::connector(&crate::contract::Subject {
            connector: &target,
            config: json!({"name": "memory"}),
            broken_config: (json!({"name": ""}), vec!["config.name"]),
            first: material("leaf:key-one", "key-one"),
            second: material("leaf:key-two", "key-two"),
            mismatched: material("leaf:key-two", "key-one"),
            served: &|| target.served(),
            break_service: &|refuses| target.refuse(refuses),
        });
    }
}
