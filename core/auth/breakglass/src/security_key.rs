//! Security keys (W3C Web Authentication Level 3) as the second factor of emergency accounts: once one is registered,
//! a password alone lets nobody in.

use crate::{BreakglassStore, SecurityKey};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, IdKind};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use certctl_session::{RevokedReason, SessionStore, revoke_of};
use serde_json::{Value, json};

/// Keys that one person may register.
pub const MOST_KEYS: usize = 10;

/// What the library gives out at the beginning of a ceremony.
pub struct Ceremony {
    /// For `navigator.credentials`, as JSON.
    pub options: Value,
    /// What it must know again at the end.
    pub state: String,
}

/// A key that passed its registration.
pub struct Registered {
    /// The credential's own id, base64url.
    pub credential_id: String,
    /// Public key, counter and flags.
    pub state: String,
}

/// A security key's answer or registration was not good; the reason is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the security key's answer is not good: {0}")]
pub struct NotGood(pub String);

/// The relying party's side of WebAuthn.
///
/// Contract: an answer is good only for the state that came with its options, for this relying party and its origin,
/// and from one of the keys given; a signature counter that went back is not good. The caller sees to it that a state
/// is used once.
pub trait WebAuthn: Send + Sync {
    /// Begins to register a key; `known` are not registered again.
    fn begin_registration(&self, actor_id: &str, name: &str, known: &[SecurityKey]) -> Result<Ceremony, NotGood>;
    /// Looks at what the browser made.
    fn finish_registration(&self, state: &str, answer: &Value) -> Result<Registered, NotGood>;
    /// Begins to ask one of these keys.
    fn begin_authentication(&self, keys: &[SecurityKey]) -> Result<Ceremony, NotGood>;
    /// Looks at what the browser answered; gives the key that did, with its new state.
    fn finish_authentication(&self, state: &str, answer: &Value, keys: &[SecurityKey]) -> Result<SecurityKey, NotGood>;
}

/// Whether the caller may register keys: a person with an emergency credential, for itself.
pub async fn registrant(
    tx: &mut (impl BreakglassStore + ?Sized),
    caller: &Caller,
) -> Result<Vec<SecurityKey>, DomainError> {
    let actor = &caller.context.actor;
    let none = || DomainError::not_found("credential", &actor.id);
    if actor.kind != ActorType::User || tx.breakglass_credential(&actor.id).await?.is_none() {
        return Err(none());
    }
    let keys = tx.security_keys(&actor.id).await?;
    if keys.len() >= MOST_KEYS {
        return Err(DomainError::conflict("too_many_keys", "ten security keys are registered; remove one first"));
    }
    Ok(keys)
}

/// Stores a key of the caller's.
pub async fn register(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    name: &str,
    registered: Registered,
) -> Result<SecurityKey, DomainError> {
    let name = name.trim();
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(DomainError::invalid("name", "invalid", "must have 1 to 64 octets and no control characters"));
    }
    registrant(tx, caller).await?;
    let key = SecurityKey {
        id: ambient.id(IdKind::SecurityKey),
        actor_id: caller.context.actor.id.clone(),
        name: name.to_owned(),
        credential_id: registered.credential_id,
        state: registered.state,
        created_at: ambient.now(),
        last_used_at: None,
    };
    tx.insert_security_key(&key).await?;
    let details = json!({"actor_id": key.actor_id, "key_name": key.name});
    tx.record(AuditEvent::new(Action::BreakglassKeyRegistered, &caller.context, &key.id, details)).await?;
    Ok(key)
}

/// The keys of a person, the caller when left out; those of others for those who look after credentials.
pub async fn list_keys(
    tx: &mut (impl BreakglassStore + ?Sized),
    caller: &Caller,
    actor_id: Option<&str>,
) -> Result<Vec<SecurityKey>, DomainError> {
    let own = &caller.context.actor;
    let Some(actor_id) = actor_id else {
        return Ok(if own.kind == ActorType::User { tx.security_keys(&own.id).await? } else { Vec::new() });
    };
    if *own != Actor::new(actor_id, ActorType::User) {
        caller.require(Permission::AuthBreakglassAdmin, &[])?;
    }
    Ok(tx.security_keys(actor_id).await?)
}

/// Removes a key. A session alone must not be able to take the second factor away, so the owner can't: those who look
/// after credentials do, and the host's commands. The person's sessions end with it.
pub async fn remove_key(
    tx: &mut (impl BreakglassStore + SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    actor_id: &str,
    id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthBreakglassAdmin, &[])?;
    let keys = tx.security_keys(actor_id).await?;
    let key = keys.iter().find(|key| key.id == id).ok_or_else(|| DomainError::not_found("security key", id))?;
    tx.remove_security_key(actor_id, id).await?;
    let details = json!({"actor_id": actor_id, "key_name": key.name, "keys_left": keys.len() - 1});
    tx.record(AuditEvent::new(Action::BreakglassKeyRemoved, &caller.context, id, details)).await?;
    let actor = Actor::new(actor_id, ActorType::User);
    revoke_of(tx, ambient, &caller.context, &actor, RevokedReason::CredentialChanged).await?;
    Ok(())
}
