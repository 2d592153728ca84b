//! What an actor may do at the moment, as a credential's judge needs it.

use crate::{EffectivePermission, GrantedRole, RbacStore, builtin_grants, effective_permissions};
use certctl_kernel::{Actor, StoreError, Timestamp};
use std::collections::BTreeSet;

/// What an actor may do.
#[derive(Debug, Clone)]
pub struct Access {
    /// Roles through live grants, each once.
    pub roles: Vec<String>,
    /// What they add up to.
    pub permissions: BTreeSet<EffectivePermission>,
    /// How often anything about access had changed when this was looked up.
    pub version: i64,
    /// When the first of the grants ends.
    pub valid_until: Option<Timestamp>,
}

/// Looks up what `actor` may do. `version` was read before anything that the answer is used with.
pub async fn access_of(
    store: &mut (impl RbacStore + ?Sized),
    actor: &Actor,
    version: i64,
    now: Timestamp,
) -> Result<Access, StoreError> {
    let mut grants = builtin_grants(actor);
    grants.extend(store.grants_of(actor).await?);
    let live: Vec<GrantedRole> =
        grants.into_iter().filter(|grant| grant.expires_at.is_none_or(|at| at > now)).collect();
    let mut roles: Vec<String> = live.iter().map(|grant| grant.role_id.clone()).collect();
    roles.sort();
    roles.dedup();
    let permitted = store.permissions_of(&roles).await?;
    Ok(Access {
        permissions: effective_permissions(&live, &permitted, now),
        valid_until: live.iter().filter_map(|grant| grant.expires_at).min(),
        roles,
        version,
    })
}
