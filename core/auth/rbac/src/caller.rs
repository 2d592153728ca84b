//! The decision: what a caller may do.

use crate::{ADMIN_ROLE, DefaultRole, GrantedRole, Permission, RolePermission, Scope};
use certctl_kernel::{Actor, ActorType, DomainError, RequestContext, Timestamp};
use std::collections::BTreeSet;

/// One permission that a caller holds, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectivePermission {
    /// The permission.
    pub permission: Permission,
    /// Where it holds.
    pub scope: Scope,
}

/// Joins live grants with what their roles permit: the union over roles of the scope intersections.
pub fn effective_permissions(
    grants: &[GrantedRole],
    roles: &[RolePermission],
    now: Timestamp,
) -> BTreeSet<EffectivePermission> {
    let mut effective = BTreeSet::new();
    for grant in grants.iter().filter(|grant| grant.expires_at.is_none_or(|at| at > now)) {
        for entry in roles.iter().filter(|entry| entry.role_id == grant.role_id) {
            if let Some(scope) = grant.scope.intersect(&entry.scope) {
                effective.insert(EffectivePermission { permission: entry.permission, scope });
            }
        }
    }
    effective
}

/// What a principal holds by what it is and no grant can take away: an agent has its own role, which the use cases
/// bind to itself.
pub fn builtin_grants(actor: &Actor) -> Vec<GrantedRole> {
    match actor.kind {
        ActorType::Agent => {
            vec![GrantedRole { role_id: DefaultRole::Agent.id().to_owned(), scope: Scope::Global, expires_at: None }]
        }
        _ => Vec::new(),
    }
}

/// An authenticated principal with the permissions it holds at this moment.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who, and in which request.
    pub context: RequestContext,
    /// Roles held through live grants, for display.
    pub roles: Vec<String>,
    /// What they add up to.
    pub permissions: std::sync::Arc<BTreeSet<EffectivePermission>>,
}

impl Caller {
    /// Whether `permission` holds in any of the candidate scopes; a global grant always satisfies, a scoped grant
    /// never satisfies a request that names no scope.
    pub fn may(&self, permission: Permission, candidates: &[Scope]) -> bool {
        self.permissions.iter().any(|held| {
            held.permission == permission && (held.scope == Scope::Global || candidates.contains(&held.scope))
        })
    }

    /// Where the caller may do this: `None` means everywhere. Lists are narrowed to these scopes; fails with
    /// [`DomainError::Forbidden`] when the caller holds the permission nowhere.
    pub fn within(&self, permission: Permission) -> Result<Option<Vec<Scope>>, DomainError> {
        if self.may(permission, &[]) {
            return Ok(None);
        }
        let held = self.permissions.iter().filter(|held| held.permission == permission);
        let scopes: Vec<Scope> = held.map(|held| held.scope.clone()).collect();
        if scopes.is_empty() {
            return Err(DomainError::Forbidden { permission: permission.as_str().to_owned() });
        }
        Ok(Some(scopes))
    }

    /// Fails with [`DomainError::Forbidden`] unless the caller [`may`](Self::may).
    pub fn require(&self, permission: Permission, candidates: &[Scope]) -> Result<(), DomainError> {
        if self.may(permission, candidates) {
            Ok(())
        } else {
            Err(DomainError::Forbidden { permission: permission.as_str().to_owned() })
        }
    }

    /// Whether the caller holds this very permission: globally, or in the same scope. Who may give rights away may give
    /// only such.
    pub fn holds(&self, wanted: &EffectivePermission) -> bool {
        self.permissions.contains(wanted)
            || self.permissions.contains(&EffectivePermission { permission: wanted.permission, scope: Scope::Global })
    }

    /// Whether the caller holds the administrator role everywhere; within a scope it makes no administrator.
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == ADMIN_ROLE)
            && Permission::ALL.iter().all(|permission| self.may(*permission, &[]))
    }

    /// The product's own work, which every permission covers.
    pub fn system(run: impl Into<String>) -> Self {
        let all = Permission::ALL.iter().map(|p| EffectivePermission { permission: *p, scope: Scope::Global });
        Self {
            context: RequestContext::system(run),
            roles: Vec::new(),
            permissions: std::sync::Arc::new(all.collect()),
        }
    }

    /// Requires that the caller is the agent `agent_id` itself, or holds `agent.edit`.
    pub fn require_agent(&self, agent_id: &str) -> Result<(), DomainError> {
        let actor = &self.context.actor;
        if actor.kind == ActorType::Agent && actor.id == agent_id {
            return Ok(());
        }
        self.require(Permission::AgentEdit, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::{Duration, OffsetDateTime};

    fn now() -> Timestamp {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
    }

    fn caller(scope: Scope) -> Caller {
        Caller {
            context: RequestContext::system("test"),
            roles: vec![],
            permissions: std::sync::Arc::new(BTreeSet::from([EffectivePermission {
                permission: Permission::CertRead,
                scope,
            }])),
        }
    }

    #[test]
    fn a_scoped_permission_never_satisfies_a_global_request() {
        let scoped = caller(Scope::Profile("prof-1".into()));
        assert!(!scoped.may(Permission::CertRead, &[]));
        assert!(scoped.may(Permission::CertRead, &[Scope::Issuer("iss".into()), Scope::Profile("prof-1".into())]));
        assert!(!scoped.may(Permission::CertRead, &[Scope::Profile("prof-2".into())]));
        assert!(caller(Scope::Global).may(Permission::CertRead, &[]));
    }

    #[test]
    fn the_administrator_role_within_a_scope_makes_no_administrator() {
        let mut everywhere = Caller::system("test");
        everywhere.roles = vec![ADMIN_ROLE.to_owned()];
        assert!(everywhere.is_admin());
        let scoped = Caller { roles: vec![ADMIN_ROLE.to_owned()], ..caller(Scope::Profile("prof-1".into())) };
        assert!(!scoped.is_admin());
    }

    #[test]
    fn an_expired_grant_gives_nothing() {
        let grant = GrantedRole { role_id: "r-x".into(), scope: Scope::Global, expires_at: Some(now()) };
        let entry = RolePermission { role_id: "r-x".into(), permission: Permission::CertRead, scope: Scope::Global };
        assert!(effective_permissions(std::slice::from_ref(&grant), std::slice::from_ref(&entry), now()).is_empty());
        let live = GrantedRole { expires_at: Some(now() + Duration::SECOND), ..grant };
        assert_eq!(effective_permissions(&[live], &[entry], now()).len(), 1);
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        prop_oneof![Just(Scope::Global), "[ab]".prop_map(Scope::Profile), "[ab]".prop_map(Scope::Issuer),]
    }

    proptest! {
        #[test]
        fn intersection_never_widens(left in any_scope(), right in any_scope()) {
            if let Some(both) = left.intersect(&right) {
                prop_assert!(left == Scope::Global || both == left);
                prop_assert!(right == Scope::Global || both == right);
            }
        }
    }
}
