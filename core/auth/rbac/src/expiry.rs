//! Grants that ended, and those that the demo mode left behind.

use crate::grants::{grant_details, holder};
use crate::{Caller, DEMO_ACTOR, Permission, RbacStore, current};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, RequestContext};
use certctl_ports::Ambient;
use serde_json::json;

const BATCH: i64 = 500;

/// Clears grants away that ended by themselves, and tells of each. They gave nothing any more since they ended.
pub async fn expire_grants(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
) -> Result<i64, DomainError> {
    let ended = tx.take_expired_grants(ambient.now(), BATCH).await?;
    for grant in &ended {
        let details = grant_details(grant);
        tx.record(AuditEvent::new(Action::ActorRoleExpired, context, holder(&grant.actor), details)).await?;
    }
    Ok(i64::try_from(ended.len()).unwrap_or(i64::MAX))
}

/// Takes back what the demo principal holds through grants; returns how many roles that were.
pub async fn remove_demo_residue(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
) -> Result<usize, DomainError> {
    caller.require(Permission::AuthRoleAssign, &[])?;
    tx.lock_identity().await?;
    let caller = current(tx, caller, ambient.now()).await?;
    caller.require(Permission::AuthRoleAssign, &[])?;
    let demo = Actor::new(DEMO_ACTOR, ActorType::Anonymous);
    let held = tx.grants(&demo).await?;
    tx.remove_grants(&held.iter().map(|grant| grant.id.clone()).collect::<Vec<_>>()).await?;
    let details = json!({"removed": held.iter().map(grant_details).collect::<Vec<_>>()});
    let event = AuditEvent::new(Action::DemoResidualGrantsCleaned, &caller.context, DEMO_ACTOR, details);
    tx.record(event).await?;
    Ok(held.len())
}
