//! Why somebody may do something, or why not.

use crate::grants::require_actor;
use crate::{Caller, DEMO_ACTOR, Grant, Permission, RbacStore, RolePermission, Scope, ScopeType, builtin_grants};
use certctl_kernel::{Actor, ActorType, DomainError, Timestamp};

/// The source of what a principal holds by what it is.
const BUILT_IN: &str = "builtin";

/// A question: may `actor` do this there?
#[derive(Debug, Clone)]
pub struct Explain {
    /// Who.
    pub actor: Actor,
    /// What.
    pub permission: Permission,
    /// Where; a global question is one that names no profile or issuer.
    pub scope: Scope,
}

/// What decides: a grant and the entry of its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deciding {
    /// The grant; what a principal holds by what it is has an empty id and the source `builtin`.
    pub grant: Grant,
    /// Where the role has the permission.
    pub permitted_in: Scope,
}

/// Why a grant whose role has the permission does not give it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The grant has ended.
    Expired,
    /// The grant, or the role's permission, holds elsewhere.
    OtherScope,
}

impl Obstacle {
    /// The wire spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::OtherScope => "other_scope",
        }
    }
}

/// A grant that would have given the permission under other circumstances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The grant with the entry.
    pub deciding: Deciding,
    /// What stands in the way.
    pub obstacle: Obstacle,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The grant that allows it; `None` means that it is not allowed.
    pub allowed_by: Option<Deciding>,
    /// Grants that nearly did; empty when it is allowed.
    pub near_misses: Vec<NearMiss>,
}

/// Decides as [`Caller::may`] does and names the grant: the widest first, then the one that lasts longest.
pub fn explain(
    grants: &[Grant],
    roles: &[RolePermission],
    permission: Permission,
    scope: &Scope,
    now: Timestamp,
) -> Explanation {
    let mut allowing: Vec<Deciding> = Vec::new();
    let mut near_misses = Vec::new();
    for grant in grants {
        for entry in roles.iter().filter(|e| e.role_id == grant.role_id && e.permission == permission) {
            let deciding = Deciding { grant: grant.clone(), permitted_in: entry.scope.clone() };
            match grant.scope.intersect(&entry.scope) {
                Some(held) if held == Scope::Global || held == *scope => {
                    if grant.live(now) {
                        allowing.push(deciding);
                    } else {
                        near_misses.push(NearMiss { deciding, obstacle: Obstacle::Expired });
                    }
                }
                _ if grant.live(now) => near_misses.push(NearMiss { deciding, obstacle: Obstacle::OtherScope }),
                _ => near_misses.push(NearMiss { deciding, obstacle: Obstacle::Expired }),
            }
        }
    }
    // Without an end comes before with one; false sorts before true.
    allowing.sort_by_key(|found| {
        let narrow = found.grant.scope.kind() != ScopeType::Global || found.permitted_in.kind() != ScopeType::Global;
        (narrow, found.grant.expires_at.is_some(), found.grant.expires_at.map(std::cmp::Reverse))
    });
    let allowed_by = allowing.into_iter().next();
    if allowed_by.is_some() {
        near_misses.clear();
    }
    Explanation { allowed_by, near_misses }
}

/// Answers from the database. Everybody may ask about itself; about others only who may list roles.
pub async fn explain_access(
    tx: &mut (impl RbacStore + ?Sized),
    caller: &Caller,
    question: &Explain,
    now: Timestamp,
) -> Result<Explanation, DomainError> {
    let asks_about_itself = caller.context.actor == question.actor;
    if !asks_about_itself {
        caller.require(Permission::AuthRoleList, &[])?;
        require_actor(tx, &question.actor).await?;
    }
    let built_in = |role_id: String| Grant {
        id: String::new(),
        actor: question.actor.clone(),
        role_id,
        scope: Scope::Global,
        source: BUILT_IN.to_owned(),
        granted_by: "system".to_owned(),
        granted_at: now,
        expires_at: None,
    };
    let mut grants: Vec<Grant> =
        builtin_grants(&question.actor).into_iter().map(|grant| built_in(grant.role_id)).collect();
    // Whoever asks as the demo principal has come through the demo mode, in which it is the administrator.
    if asks_about_itself && question.actor.kind == ActorType::Anonymous && question.actor.id == DEMO_ACTOR {
        grants.push(built_in(crate::ADMIN_ROLE.to_owned()));
    }
    grants.extend(tx.grants(&question.actor).await?);
    let mut roles: Vec<String> = grants.iter().map(|grant| grant.role_id.clone()).collect();
    roles.sort();
    roles.dedup();
    let permitted = tx.permissions_of(&roles).await?;
    Ok(explain(&grants, &permitted, question.permission, &question.scope, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EffectivePermission, effective_permissions};
    use certctl_kernel::RequestContext;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use time::{Duration, OffsetDateTime};

    const NOW: Timestamp = OffsetDateTime::UNIX_EPOCH;

    fn any_scope() -> impl Strategy<Value = Scope> {
        prop_oneof![Just(Scope::Global), "[ab]".prop_map(Scope::Profile), "[ab]".prop_map(Scope::Issuer)]
    }

    fn grant(role: u8, scope: Scope, hours: Option<i64>) -> Grant {
        Grant {
            id: format!("gra-{role}"),
            actor: Actor::new("ci", ActorType::APIKey),
            role_id: format!("r-{role}"),
            scope,
            source: "manual".to_owned(),
            granted_by: "root".to_owned(),
            granted_at: NOW,
            expires_at: hours.map(|hours| NOW + Duration::hours(hours)),
        }
    }

    proptest! {
        #[test]
        fn the_explanation_says_what_the_decision_says(
            grants in proptest::collection::vec((0..3_u8, any_scope(), proptest::option::of(-2..3_i64)), 0..6),
            entries in proptest::collection::vec((0..3_u8, any_scope(), any::<bool>()), 0..6),
            scope in any_scope(),
        ) {
            let grants: Vec<Grant> = grants.into_iter().map(|(role, scope, end)| grant(role, scope, end)).collect();
            let roles: Vec<RolePermission> = entries
                .into_iter()
                .map(|(role, scope, reads)| RolePermission {
                    role_id: format!("r-{role}"),
                    permission: if reads { Permission::CertRead } else { Permission::CertEdit },
                    scope,
                })
                .collect();
            let granted: Vec<_> = grants.iter().map(Grant::granted).collect();
            let held: BTreeSet<EffectivePermission> = effective_permissions(&granted, &roles, NOW);
            let caller =
                Caller { context: RequestContext::system("test"), roles: vec![], permissions: Arc::new(held) };
            let found = explain(&grants, &roles, Permission::CertRead, &scope, NOW);
            prop_assert_eq!(found.allowed_by.is_some(), caller.may(Permission::CertRead, &[scope]));
            if let Some(by) = &found.allowed_by {
                prop_assert!(by.grant.live(NOW) && found.near_misses.is_empty());
            }
        }
    }
}
