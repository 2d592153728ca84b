//! Exchanging the roles of a principal in one step.

use crate::grants::{check_expiry, grant_details, guard_grant, holder, require_actor, require_scope};
use crate::{
    Caller, Grant, Permission, RbacStore, Scope, current, grant_source, guard_admins, reserved, resolve_role,
    rotate_csrf,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, DomainError, FieldError, IdKind, Timestamp};
use certctl_ports::Ambient;
use serde_json::json;

const MOST_ROLES: usize = 32;

/// A role that the principal shall hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRole {
    /// Id of the role, or a default role's short name.
    pub role: String,
    /// Where it shall hold.
    pub scope: Scope,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// The roles that a principal shall hold from now on, and no others.
#[derive(Debug, Clone)]
pub struct ReplaceRoles {
    /// Who.
    pub actor: Actor,
    /// What it shall hold; nothing means that all is taken back.
    pub roles: Vec<WantedRole>,
}

fn check(roles: &[WantedRole], now: Timestamp) -> Result<(), DomainError> {
    let mut errors = Vec::new();
    if roles.len() > MOST_ROLES {
        errors.push(FieldError::new("roles", "too_many", "must be at most 32"));
    }
    for (at, wanted) in roles.iter().enumerate() {
        if let Err(mut error) = check_expiry(wanted.expires_at, now) {
            error.field = format!("roles[{at}].expires_at");
            errors.push(error);
        }
        let same = |other: &&WantedRole| other.role == wanted.role && other.scope == wanted.scope;
        if roles[..at].iter().any(|other| same(&other)) {
            errors.push(FieldError::new(format!("roles[{at}]"), "duplicate", "is named twice"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(DomainError::Validation(errors)) }
}

/// Makes the roles of a principal exactly those asked for, in one transaction: at no moment does it hold both sets or
/// neither. What follows a federated sign-in stays, because the next sign-in would bring it back. Returns all that the
/// principal then holds.
pub async fn replace_roles(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: ReplaceRoles,
) -> Result<Vec<Grant>, DomainError> {
    caller.require(Permission::AuthRoleAssign, &[])?;
    let now = ambient.now();
    reserved(&command.actor)?;
    check(&command.roles, now)?;
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthRoleAssign, &[])?;
    require_actor(tx, &command.actor).await?;
    let before = tx.admins_until(now).await?;
    let mut leftover: Vec<Grant> = tx
        .grants(&command.actor)
        .await?
        .into_iter()
        .filter(|grant| !grant.source.starts_with(grant_source::OIDC))
        .collect();
    let mut added = Vec::new();
    for wanted in command.roles {
        let role = resolve_role(tx, &wanted.role).await?;
        require_scope(tx, &wanted.scope).await?;
        let same = |grant: &Grant| {
            grant.role_id == role.id && grant.scope == wanted.scope && grant.expires_at == wanted.expires_at
        };
        if let Some(at) = leftover.iter().position(same) {
            leftover.remove(at);
            continue;
        }
        guard_grant(tx, caller, &role, &wanted.scope, now).await?;
        // A grant that only gets another end is written over.
        leftover.retain(|grant| {
            grant.role_id != role.id || grant.scope != wanted.scope || grant.source != grant_source::MANUAL
        });
        added.push(Grant {
            id: ambient.id(IdKind::Grant),
            actor: command.actor.clone(),
            role_id: role.id,
            scope: wanted.scope,
            source: grant_source::MANUAL.to_owned(),
            granted_by: caller.context.actor.id.clone(),
            granted_at: now,
            expires_at: wanted.expires_at,
        });
    }
    if !leftover.is_empty() {
        caller.require(Permission::AuthRoleRevoke, &[])?;
        tx.remove_grants(&leftover.iter().map(|grant| grant.id.clone()).collect::<Vec<_>>()).await?;
    }
    for grant in &added {
        tx.put_grant(grant).await?;
    }
    guard_admins(before, tx.admins_until(now).await?)?;
    if !(leftover.is_empty() && added.is_empty()) {
        rotate_csrf(tx, now, &caller.context, &command.actor, None).await?;
    }
    let object = holder(&command.actor);
    for grant in &leftover {
        let mut details = grant_details(grant);
        details["replaced"] = json!(true);
        tx.record(AuditEvent::new(Action::ActorRoleRevoke, &caller.context, &object, details)).await?;
    }
    for grant in &added {
        let mut details = grant_details(grant);
        details["replaced"] = json!(true);
        tx.record(AuditEvent::new(Action::ActorRoleGrant, &caller.context, &object, details)).await?;
    }
    if leftover.is_empty() && added.is_empty() {
        let details = json!({
            "actor_id": command.actor.id, "actor_type": command.actor.kind.as_str(), "already_held": true,
        });
        tx.record(AuditEvent::new(Action::ActorRoleGrant, &caller.context, &object, details)).await?;
    }
    Ok(tx.grants(&command.actor).await?)
}
