//! Recognising a presented key.

use crate::format::{hash_of, lookup_id};
use crate::{Credential, CredentialKind, IamStore};
use certctl_kernel::{Actor, ActorType, StoreError, Timestamp};
use certctl_rbac::{EffectivePermission, access_of};
use std::collections::BTreeSet;
use subtle::ConstantTimeEq as _;
use time::Duration;

/// A recognised key.
#[derive(Debug, Clone)]
pub struct AuthenticatedKey {
    /// Who.
    pub actor: Actor,
    /// Id of the key.
    pub key_id: String,
    /// Roles through live grants.
    pub roles: Vec<String>,
    /// What they add up to.
    pub permissions: BTreeSet<EffectivePermission>,
    /// How often anything about access had changed when this was looked up.
    pub version: i64,
    /// When the key or the first grant ends.
    pub valid_until: Option<Timestamp>,
    /// The credential, when its use is due to be noted with [`IamStore::touch`].
    pub touch: Option<Credential>,
}

/// How often a use is written down.
pub const TOUCH_INTERVAL: Duration = Duration::minutes(1);

/// Who the presented key belongs to; `None` for unknown, expired and disabled keys alike. The hash is compared in
/// constant time after an indexed lookup by the key's public part. Only reads: the caller notes the use.
pub async fn authenticate(
    store: &mut (impl IamStore + ?Sized),
    presented: &str,
    now: Timestamp,
) -> Result<Option<AuthenticatedKey>, StoreError> {
    if presented.len() > 512 {
        return Ok(None);
    }
    let hash = hash_of(presented);
    // Read first: a change while the rest is read makes the answer older than it is, never newer.
    let version = store.rbac_version().await?;
    let Some(credential) = store.credential(lookup_id(presented), &hash).await? else { return Ok(None) };
    let proven: bool = credential.hash.as_bytes().ct_eq(hash.as_bytes()).into();
    if !proven || credential.disabled_at.is_some() || credential.expires_at.is_some_and(|at| at <= now) {
        return Ok(None);
    }
    let kind = match credential.kind {
        CredentialKind::Agent => ActorType::Agent,
        CredentialKind::ApiKey => ActorType::APIKey,
    };
    let actor = Actor::new(&credential.actor_id, kind);
    let access = access_of(store, &actor, version, now).await?;
    let valid_until = access.valid_until.into_iter().chain(credential.expires_at).min();
    let touch_due = credential.last_used_at.is_none_or(|last| now - last >= TOUCH_INTERVAL);
    Ok(Some(AuthenticatedKey {
        actor,
        key_id: credential.id.clone(),
        permissions: access.permissions,
        roles: access.roles,
        version,
        valid_until,
        touch: touch_due.then_some(credential),
    }))
}
