//! Which targets a certificate belongs on.

use crate::DeploymentStore;
use certctl_kernel::{DomainError, FieldError, Id};
use certctl_ports::Ambient;
use std::collections::BTreeSet;

/// Targets a certificate may have.
pub const MAX_TARGETS: usize = 100;

/// Makes `target_ids` the certificate's targets, inside the transaction that creates or changes the certificate; the
/// caller checks the right to do so and records the event. Returns the ids in order.
///
/// All targets must belong to one agent: the private key is made on a host and never leaves it, so another agent could
/// not install the leaf.
pub async fn set_targets(
    tx: &mut (impl DeploymentStore + ?Sized),
    ambient: &Ambient,
    certificate_id: &str,
    target_ids: &[Id],
) -> Result<Vec<Id>, DomainError> {
    let wanted: Vec<Id> = target_ids.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    if wanted.len() > MAX_TARGETS {
        return Err(DomainError::invalid("target_ids", "too_many", format!("at most {MAX_TARGETS} targets")));
    }
    let found = if wanted.is_empty() { Vec::new() } else { tx.targets_by_id(&wanted).await? };
    let mut errors = Vec::new();
    for id in &wanted {
        match found.iter().find(|target| target.id == *id) {
            None => errors.push(FieldError::new("target_ids", "unknown_reference", format!("{id} is not a target"))),
            Some(target) if target.retired_at.is_some() => {
                errors.push(FieldError::new("target_ids", "target_retired", format!("{id} is out of service")));
            }
            Some(_) => {}
        }
    }
    if found.iter().map(|target| &target.agent_id).collect::<BTreeSet<_>>().len() > 1 {
        let message = "must all belong to one agent: the private key never leaves its host; \
                       make one certificate for each host";
        errors.push(FieldError::new("target_ids", "agents_differ", message));
    }
    if !errors.is_empty() {
        return Err(DomainError::Validation(errors));
    }
    tx.attach_targets(certificate_id, &wanted, ambient.now()).await?;
    Ok(wanted)
}
