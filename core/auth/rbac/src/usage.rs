//! What principals really use, and the least that would do.

use crate::grants::require_actor;
use crate::{
    Caller, EffectivePermission, Permission, PermissionUse, RbacStore, Scope, builtin_grants, effective_permissions,
};
use certctl_kernel::{Actor, DomainError, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A suggestion of fewer rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeDown {
    /// Roles held through live grants, sorted.
    pub current: Vec<String>,
    /// Roles that would do, sorted; empty when nothing was used.
    pub suggested: Vec<String>,
    /// What was used, by permission.
    pub used: Vec<PermissionUse>,
    /// Permissions that are held now and would no longer be.
    pub given_up: Vec<Permission>,
    /// Permissions that were used, are held, and that no role within the present rights gives.
    pub uncovered: Vec<Permission>,
}

impl ScopeDown {
    /// Whether taking the suggestion would change anything for the better without taking away what is used.
    pub fn useful(&self) -> bool {
        self.uncovered.is_empty() && self.suggested != self.current
    }
}

/// The roles out of `roles` that cover `used` with the fewest permissions beyond it: greedily, the role that adds most
/// of what is missing first, then the one that brings least else, then the first by id.
pub fn minimal_roles(
    roles: &BTreeMap<String, BTreeSet<Permission>>,
    used: &BTreeSet<Permission>,
) -> (Vec<String>, BTreeSet<Permission>) {
    let excess = |permissions: &BTreeSet<Permission>| permissions.difference(used).count();
    // One role that covers all is what a person would choose.
    let single = roles
        .iter()
        .filter(|(_, permissions)| used.is_subset(permissions))
        .min_by_key(|(id, permissions)| (excess(permissions), (*id).clone()));
    if used.is_empty() {
        return (Vec::new(), BTreeSet::new());
    }
    let mut missing = used.clone();
    let mut chosen: Vec<&String> = Vec::new();
    let mut brought: BTreeSet<Permission> = BTreeSet::new();
    while !missing.is_empty() {
        let best = roles
            .iter()
            .filter(|(id, permissions)| !chosen.contains(id) && !permissions.is_disjoint(&missing))
            .min_by_key(|(id, permissions)| {
                let gain = permissions.intersection(&missing).count();
                let more = permissions.difference(used).filter(|p| !brought.contains(p)).count();
                // Excess a permission gained, in thousandths, so that a large role does not win by size alone.
                (more * 1000 / gain, usize::MAX - gain, (*id).clone())
            });
        let Some((id, permissions)) = best else { break };
        missing.retain(|permission| !permissions.contains(permission));
        brought.extend(permissions.iter().copied());
        chosen.push(id);
    }
    // What came first may have become needless by what came later.
    for id in chosen.clone() {
        let rest = || chosen.iter().filter(|other| **other != id);
        let covered = |permission: &Permission| rest().any(|other| roles[*other].contains(permission));
        if used.iter().all(|permission| missing.contains(permission) || covered(permission)) {
            chosen.retain(|other| *other != id);
        }
    }
    let brought: BTreeSet<Permission> = chosen.iter().flat_map(|id| roles[*id].iter().copied()).collect();
    if let Some((id, permissions)) = single
        && missing.is_empty()
        && excess(permissions) <= brought.difference(used).count()
    {
        return (vec![id.clone()], BTreeSet::new());
    }
    let mut chosen: Vec<String> = chosen.into_iter().cloned().collect();
    chosen.sort();
    (chosen, missing)
}

/// Suggests the roles that a principal needs for what it used since `since`; only roles within its present rights are
/// considered, so that taking the suggestion never widens them. Suggestions are for grants that hold everywhere.
pub async fn suggest_scope_down(
    tx: &mut (impl RbacStore + ?Sized),
    caller: &Caller,
    actor: &Actor,
    since: Timestamp,
    now: Timestamp,
) -> Result<ScopeDown, DomainError> {
    caller.require(Permission::AuthRoleAssign, &[])?;
    require_actor(tx, actor).await?;
    let granted = tx.grants_of(actor).await?;
    let mut current: Vec<String> =
        granted.iter().filter(|g| g.expires_at.is_none_or(|at| at > now)).map(|g| g.role_id.clone()).collect();
    current.sort();
    current.dedup();
    let all: Vec<String> = tx.roles().await?.into_iter().map(|role| role.id).collect();
    let permitted = tx.permissions_of(&all).await?;
    let held = effective_permissions(&granted, &permitted, now);
    let held_somewhere: BTreeSet<Permission> = held.iter().map(|entry| entry.permission).collect();
    let mut candidates: BTreeMap<String, BTreeSet<Permission>> = BTreeMap::new();
    for entry in &permitted {
        candidates.entry(entry.role_id.clone()).or_default();
        if entry.scope == Scope::Global
            && let Some(permissions) = candidates.get_mut(&entry.role_id)
        {
            permissions.insert(entry.permission);
        }
    }
    let everywhere = |permission: Permission| held.contains(&EffectivePermission { permission, scope: Scope::Global });
    // A role with a scoped entry gives other things elsewhere; only wholly global roles can be weighed by name.
    let scoped: BTreeSet<&String> =
        permitted.iter().filter(|entry| entry.scope != Scope::Global).map(|entry| &entry.role_id).collect();
    candidates.retain(|id, permissions| {
        !scoped.contains(id) && !permissions.is_empty() && permissions.iter().all(|p| everywhere(*p))
    });
    let used = tx.permission_uses(actor, since).await?;
    // What comes with being an agent needs no role.
    let built_in: BTreeSet<Permission> =
        effective_permissions(&builtin_grants(actor), &permitted, now).iter().map(|entry| entry.permission).collect();
    let needed: BTreeSet<Permission> = used
        .iter()
        .map(|entry| entry.permission)
        .filter(|permission| held_somewhere.contains(permission) && !built_in.contains(permission))
        .collect();
    let (suggested, uncovered) = minimal_roles(&candidates, &needed);
    let kept: BTreeSet<Permission> = suggested.iter().filter_map(|id| candidates.get(id)).flatten().copied().collect();
    let given_up = held_somewhere.difference(&kept).copied().collect();
    Ok(ScopeDown { current, suggested, used, given_up, uncovered: uncovered.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DefaultRole;
    use proptest::prelude::*;

    fn default_roles() -> BTreeMap<String, BTreeSet<Permission>> {
        DefaultRole::ALL.iter().map(|role| (role.id().to_owned(), role.permissions().into_iter().collect())).collect()
    }

    fn minimal(used: &[Permission]) -> Vec<String> {
        let (roles, uncovered) = minimal_roles(&default_roles(), &used.iter().copied().collect());
        assert!(uncovered.is_empty());
        roles
    }

    #[test]
    fn readers_need_no_more_than_a_reader() {
        assert_eq!(minimal(&[Permission::AuditRead, Permission::AuditExport]), ["r-auditor"]);
        assert_eq!(minimal(&[Permission::TeamRead, Permission::JobRead]), ["r-viewer"]);
        assert_eq!(minimal(&[Permission::AuthRoleEdit]), ["r-admin"]);
        assert!(minimal(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn a_suggestion_covers_what_was_used(used in proptest::sample::subsequence(Permission::ALL, 0..20)) {
            let roles = default_roles();
            let used: BTreeSet<Permission> = used.into_iter().collect();
            let (chosen, uncovered) = minimal_roles(&roles, &used);
            prop_assert!(uncovered.is_empty());
            let covered: BTreeSet<Permission> = chosen.iter().flat_map(|id| roles[id].iter().copied()).collect();
            prop_assert!(used.is_subset(&covered));
            // No role can be left out.
            for without in &chosen {
                let rest: BTreeSet<Permission> =
                    chosen.iter().filter(|id| *id != without).flat_map(|id| roles[id].iter().copied()).collect();
                prop_assert!(!used.is_subset(&rest) || chosen.len() == 1, "{without} is needless in {chosen:?}");
            }
        }
    }
}
