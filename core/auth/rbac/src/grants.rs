//! Giving roles to principals and taking them back.

use crate::{
    Caller, Grant, GrantedRole, Permission, RbacStore, Role, Scope, ScopeType, current, effective_permissions,
    grant_source, guard_admins, guard_against_giving_more, reserved, resolve_role, rotate_csrf,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, FieldError, IdKind, Timestamp, timestamp};
use certctl_ports::Ambient;
use serde_json::{Value, json};

/// A role to give.
#[derive(Debug, Clone)]
pub struct GrantRole {
    /// To whom.
    pub actor: Actor,
    /// Id of the role, or a default role's short name.
    pub role: String,
    /// Where it shall hold.
    pub scope: Scope,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A role to take back.
#[derive(Debug, Clone)]
pub struct RevokeRole {
    /// From whom.
    pub actor: Actor,
    /// Id of the role, or a default role's short name.
    pub role: String,
    /// The grant of this scope only, which must be there; left out, the grants of every scope.
    pub scope: Option<Scope>,
}

/// Reads a scope from its wire members; both left out mean everywhere.
pub fn parse_scope(scope_type: Option<&str>, scope_id: Option<&str>) -> Result<Scope, DomainError> {
    let id = scope_id.filter(|id| !id.is_empty());
    let Some(text) = scope_type.filter(|text| !text.is_empty()) else {
        return match id {
            None => Ok(Scope::Global),
            Some(_) => Err(DomainError::invalid("scope_type", "required", "is required with scope_id")),
        };
    };
    let kind = ScopeType::parse(text)
        .ok_or_else(|| DomainError::invalid("scope_type", "unknown_value", "must be one of global, profile, issuer"))?;
    Scope::from_parts(kind, id).ok_or_else(|| match kind {
        ScopeType::Global => DomainError::invalid("scope_id", "not_allowed", "must be left out with scope_type global"),
        _ => DomainError::invalid("scope_id", "required", format!("names the {text}")),
    })
}

/// Reads a principal from its wire members: kinds that roles can be given to.
pub fn check_actor(kind: &str, id: &str) -> Result<Actor, DomainError> {
    match ActorType::parse(kind) {
        Some(kind) => Ok(Actor::new(id, kind)),
        None => Err(DomainError::invalid("type", "unknown_value", "must be one of User, Agent, APIKey")),
    }
}

/// Members of a scope, as events tell it.
pub(crate) fn scope_details(details: &mut Value, scope: &Scope) {
    details["scope_type"] = json!(scope.kind().as_str());
    if let Some(id) = scope.id() {
        details["scope_id"] = json!(id);
    }
}

pub(crate) fn grant_details(grant: &Grant) -> Value {
    let mut details = json!({
        "actor_id": grant.actor.id, "actor_type": grant.actor.kind.as_str(), "role_id": grant.role_id,
        "source": grant.source, "expires_at": grant.expires_at.map(timestamp::to_rfc3339),
    });
    scope_details(&mut details, &grant.scope);
    details
}

/// Id of the object that events about an actor's roles are about.
pub(crate) fn holder(actor: &Actor) -> String {
    format!("{}:{}", actor.kind.as_str(), actor.id)
}

pub(crate) fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), FieldError> {
    if expires_at.is_some_and(|at| at <= now) {
        return Err(FieldError::new("expires_at", "not_in_future", "must be in the future"));
    }
    Ok(())
}

/// Whether the actor exists.
pub(crate) async fn require_actor(tx: &mut (impl RbacStore + ?Sized), actor: &Actor) -> Result<(), DomainError> {
    if tx.actor_known(actor).await? { Ok(()) } else { Err(DomainError::not_found("actor", holder(actor))) }
}

/// Whether the object of the scope exists.
pub async fn require_scope(tx: &mut (impl RbacStore + ?Sized), scope: &Scope) -> Result<(), DomainError> {
    if tx.scope_known(scope).await? {
        return Ok(());
    }
    let kind = match scope {
        Scope::Issuer(_) => "issuer",
        _ => "profile",
    };
    Err(DomainError::not_found(kind, scope.id().unwrap_or_default()))
}

/// All that a grant of `role` with `scope` would permit must be the caller's own.
pub async fn guard_grant(
    tx: &mut (impl RbacStore + ?Sized),
    caller: &Caller,
    role: &Role,
    scope: &Scope,
    now: Timestamp,
) -> Result<(), DomainError> {
    let permitted = tx.permissions_of(std::slice::from_ref(&role.id)).await?;
    let wanted = GrantedRole { role_id: role.id.clone(), scope: scope.clone(), expires_at: None };
    guard_against_giving_more(caller, effective_permissions(&[wanted], &permitted, now))
}

/// Grants of an actor, ended ones included until they are swept.
pub async fn list_grants(
    tx: &mut (impl RbacStore + ?Sized),
    caller: &Caller,
    actor: &Actor,
) -> Result<Vec<Grant>, DomainError> {
    // Everybody may see what it holds itself.
    if caller.context.actor != *actor {
        caller.require(Permission::AuthKeyList, &[])?;
    }
    let grants = tx.grants(actor).await?;
    if grants.is_empty() {
        require_actor(tx, actor).await?;
    }
    Ok(grants)
}

/// Gives a role. The same grant again changes nothing but its end.
pub async fn grant_role(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: GrantRole,
) -> Result<Grant, DomainError> {
    caller.require(Permission::AuthRoleAssign, &[])?;
    let now = ambient.now();
    reserved(&command.actor)?;
    check_expiry(command.expires_at, now).map_err(|error| DomainError::Validation(vec![error]))?;
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthRoleAssign, &[])?;
    let role = resolve_role(tx, &command.role).await?;
    require_scope(tx, &command.scope).await?;
    require_actor(tx, &command.actor).await?;
    guard_grant(tx, caller, &role, &command.scope, now).await?;
    let before = tx.admins_until(now).await?;
    let stored =
        tx.grants(&command.actor).await?.into_iter().find(|grant| {
            grant.role_id == role.id && grant.scope == command.scope && grant.source == grant_source::MANUAL
        });
    let grant = Grant {
        id: stored.as_ref().map_or_else(|| ambient.id(IdKind::Grant), |grant| grant.id.clone()),
        actor: command.actor,
        role_id: role.id,
        scope: command.scope,
        source: grant_source::MANUAL.to_owned(),
        granted_by: caller.context.actor.id.clone(),
        granted_at: now,
        expires_at: command.expires_at,
    };
    let mut details = grant_details(&grant);
    let unchanged = stored.as_ref().is_some_and(|old| old.expires_at == grant.expires_at);
    if unchanged {
        details["already_held"] = json!(true);
    } else {
        tx.put_grant(&grant).await?;
        guard_admins(before, tx.admins_until(now).await?)?;
        rotate_csrf(tx, now, &caller.context, &grant.actor, None).await?;
        if let Some(old) = &stored {
            let times = [old.expires_at, grant.expires_at].map(|at| at.map(timestamp::to_rfc3339));
            details["changes"] = json!({"expires_at": times});
        }
    }
    tx.record(AuditEvent::new(Action::ActorRoleGrant, &caller.context, holder(&grant.actor), details)).await?;
    Ok(if unchanged { stored.unwrap_or(grant) } else { grant })
}

/// Takes a role back, whatever its source. With a scope that grant must be there; without one it is no error when
/// nothing was granted.
pub async fn revoke_role(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: RevokeRole,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthRoleRevoke, &[])?;
    let now = ambient.now();
    reserved(&command.actor)?;
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthRoleRevoke, &[])?;
    let role = resolve_role(tx, &command.role).await?;
    require_actor(tx, &command.actor).await?;
    let held: Vec<Grant> = tx
        .grants(&command.actor)
        .await?
        .into_iter()
        .filter(|grant| grant.role_id == role.id && command.scope.as_ref().is_none_or(|scope| grant.scope == *scope))
        .collect();
    if held.is_empty() && command.scope.is_some() {
        return Err(DomainError::not_found("grant", format!("{} of {}", role.id, holder(&command.actor))));
    }
    let before = tx.admins_until(now).await?;
    tx.remove_grants(&held.iter().map(|grant| grant.id.clone()).collect::<Vec<_>>()).await?;
    guard_admins(before, tx.admins_until(now).await?)?;
    if !held.is_empty() {
        rotate_csrf(tx, now, &caller.context, &command.actor, None).await?;
    }
    let mut details = json!({
        "actor_id": command.actor.id, "actor_type": command.actor.kind.as_str(), "role_id": role.id,
        "removed": held.iter().map(grant_details).collect::<Vec<_>>(),
    });
    match &command.scope {
        Some(scope) => scope_details(&mut details, scope),
        None => details["scope"] = json!("all_variants"),
    }
    tx.record(AuditEvent::new(Action::ActorRoleRevoke, &caller.context, holder(&command.actor), details)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(result: Result<Scope, DomainError>) -> String {
        match result {
            Err(DomainError::Validation(errors)) => errors[0].field.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scopes_are_whole_or_refused() {
        assert_eq!(parse_scope(None, None), Ok(Scope::Global));
        assert_eq!(parse_scope(Some("global"), Some("")), Ok(Scope::Global));
        assert_eq!(parse_scope(Some("profile"), Some("p")), Ok(Scope::Profile("p".to_owned())));
        assert_eq!(parse_scope(Some("issuer"), Some("i")), Ok(Scope::Issuer("i".to_owned())));
        assert_eq!(field(parse_scope(Some("team"), Some("t"))), "scope_type");
        assert_eq!(field(parse_scope(Some("Profile"), Some("p"))), "scope_type");
        assert_eq!(field(parse_scope(None, Some("p"))), "scope_type");
        assert_eq!(field(parse_scope(Some("global"), Some("p"))), "scope_id");
        assert_eq!(field(parse_scope(Some("profile"), None)), "scope_id");
    }
}
