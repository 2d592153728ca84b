//! Guards that stand before every change of who may do what.

use crate::{
    AdminsUntil, Caller, DefaultRole, EffectivePermission, GrantedRole, RbacStore, Role, RolePermission,
    builtin_grants, effective_permissions,
};
use certctl_kernel::{Actor, ActorType, DomainError, Timestamp, timestamp};
use std::sync::Arc;

/// Id of the principal that every request is in the demo mode.
pub const DEMO_ACTOR: &str = "actor-demo-anon";

/// The caller with what it may do by the database at this moment. What the edge remembered may be older than a change
/// that committed just before; a right is given away only by those who hold it now. Take the identity lock before.
pub async fn current(
    tx: &mut (impl RbacStore + ?Sized),
    caller: &Caller,
    now: Timestamp,
) -> Result<Caller, DomainError> {
    let actor = &caller.context.actor;
    // The product itself and the demo principal hold their rights by what they are, not through grants.
    if matches!(actor.kind, ActorType::System | ActorType::Anonymous) {
        return Ok(caller.clone());
    }
    let mut grants = builtin_grants(actor);
    grants.extend(tx.grants_of(actor).await?);
    grants.retain(|grant| grant.expires_at.is_none_or(|at| at > now));
    let mut roles: Vec<String> = grants.iter().map(|grant| grant.role_id.clone()).collect();
    roles.sort();
    roles.dedup();
    let permitted = tx.permissions_of(&roles).await?;
    let permissions = Arc::new(effective_permissions(&grants, &permitted, now));
    Ok(Caller { context: caller.context.clone(), roles, permissions })
}

/// A caller gives only rights that it holds itself, in the same scope or everywhere.
pub fn guard_against_giving_more(
    caller: &Caller,
    given: impl IntoIterator<Item = EffectivePermission>,
) -> Result<(), DomainError> {
    match given.into_iter().find(|permission| !caller.holds(permission)) {
        Some(beyond) => Err(DomainError::Forbidden { permission: beyond.permission.as_str().to_owned() }),
        None => Ok(()),
    }
}

/// Whoever makes a credential for an actor can act as it, so it must already hold all that the actor may do.
pub async fn guard_against_taking_over(
    tx: &mut (impl RbacStore + ?Sized),
    caller: &Caller,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), DomainError> {
    if caller.context.actor == *actor {
        return Ok(());
    }
    let grants: Vec<GrantedRole> = tx.grants_of(actor).await?;
    let roles: Vec<String> = grants.iter().map(|grant| grant.role_id.clone()).collect();
    let permitted: Vec<RolePermission> = tx.permissions_of(&roles).await?;
    guard_against_giving_more(caller, effective_permissions(&grants, &permitted, now))
}

/// Refuses a change after which the installation would have no administrator, or have none at an earlier time than
/// before it. Look at [`RbacStore::admins_until`] before and after the change, under the identity lock.
pub fn guard_admins(before: AdminsUntil, after: AdminsUntil) -> Result<(), DomainError> {
    if after >= before {
        return Ok(());
    }
    let message = match after {
        AdminsUntil::Until(at) => format!(
            "after this no administrator would be left from {}; make another administrator without an end first",
            timestamp::to_rfc3339(at)
        ),
        _ => "this would take away the last working administrator; make another first".to_owned(),
    };
    Err(DomainError::conflict("last_admin", message))
}

/// Refuses changes of principals whose rights do not come from grants.
pub fn reserved(actor: &Actor) -> Result<(), DomainError> {
    match actor.kind {
        ActorType::Anonymous | ActorType::System => Err(reserved_actor(actor)),
        _ if actor.id == DEMO_ACTOR => Err(reserved_actor(actor)),
        _ => Ok(()),
    }
}

fn reserved_actor(actor: &Actor) -> DomainError {
    DomainError::conflict(
        "reserved_actor",
        format!("{} {} is the product's own principal; its roles can't be changed", actor.kind.as_str(), actor.id),
    )
}

/// The role that `named` means: an id, or a default role's short name.
pub async fn resolve_role(tx: &mut (impl RbacStore + ?Sized), named: &str) -> Result<Role, DomainError> {
    let known = DefaultRole::parse(named);
    tx.role(known.map_or(named, |role| role.id())).await?.ok_or_else(|| DomainError::not_found("role", named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, OffsetDateTime};

    #[test]
    fn administrators_may_become_more_lasting_but_not_less() {
        let at = |days| AdminsUntil::Until(OffsetDateTime::UNIX_EPOCH + Duration::days(days));
        for (before, after) in [
            (AdminsUntil::Nobody, AdminsUntil::Nobody),
            (AdminsUntil::Nobody, at(1)),
            (at(1), at(1)),
            (at(1), at(2)),
            (at(2), AdminsUntil::ForGood),
            (AdminsUntil::ForGood, AdminsUntil::ForGood),
        ] {
            assert_eq!(guard_admins(before, after), Ok(()));
        }
        for (before, after) in [(AdminsUntil::ForGood, at(9)), (at(2), at(1)), (at(1), AdminsUntil::Nobody)] {
            let refused = guard_admins(before, after).expect_err("refused");
            assert!(matches!(refused, DomainError::Conflict { code: "last_admin", .. }), "{refused:?}");
        }
    }

    #[test]
    fn the_products_own_principals_are_out_of_reach() {
        for actor in [
            Actor::new(DEMO_ACTOR, ActorType::Anonymous),
            Actor::new(DEMO_ACTOR, ActorType::APIKey),
            Actor::new("system", ActorType::System),
        ] {
            assert!(matches!(reserved(&actor), Err(DomainError::Conflict { code: "reserved_actor", .. })));
        }
        assert_eq!(reserved(&Actor::new("ci", ActorType::APIKey)), Ok(()));
    }
}
