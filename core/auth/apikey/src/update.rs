//! Changing a key that exists, and telling of keys that ended by themselves.

use crate::{IamStore, StoredKey};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, RequestContext, Timestamp, timestamp};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{Caller, Permission, current, guard_admins, guard_against_taking_over};
use serde_json::{Map, json};

const BATCH: i64 = 500;

/// When a key shall end by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum End {
    /// When it was to end before.
    #[default]
    Unchanged,
    /// Not by itself.
    Never,
    /// At this instant.
    At(Timestamp),
}

/// What to change of a key.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpdateKey {
    /// When it ends by itself.
    pub end: End,
    /// Whether it is switched off for the time being; `None` leaves it as it is.
    pub disabled: Option<bool>,
}

/// Gives a key another end, or switches it off and on again. What ended or was deleted stays so.
pub async fn update_key(
    tx: &mut (impl IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    command: UpdateKey,
) -> Result<StoredKey, DomainError> {
    caller.require(Permission::AuthKeyRotate, &[])?;
    let now = ambient.now();
    if command.end == End::Unchanged && command.disabled.is_none() {
        return Err(DomainError::invalid("expires_at", "required", "name expires_at, disabled or both"));
    }
    if matches!(command.end, End::At(at) if at <= now) {
        return Err(DomainError::invalid("expires_at", "not_in_future", "must be in the future"));
    }
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthKeyRotate, &[])?;
    let old = tx.key_for_update(id).await?.ok_or_else(|| DomainError::not_found("API key", id))?;
    if old.ended(now) {
        return Err(DomainError::conflict("key_ended", "the key ended and can't come back; make another"));
    }
    // Whoever brings a key back or lets it live longer gives what its actor may do.
    guard_against_taking_over(tx, caller, &Actor::new(&old.name, ActorType::APIKey), now).await?;
    let before = tx.admins_until(now).await?;
    let mut changes = Map::new();
    let expires_at = match command.end {
        End::Unchanged => old.expires_at,
        End::Never => None,
        End::At(at) => Some(at),
    };
    if expires_at != old.expires_at {
        tx.set_key_expiry(id, expires_at).await?;
        let told = [old.expires_at, expires_at].map(|at| at.map(timestamp::to_rfc3339));
        changes.insert("expires_at".to_owned(), json!(told));
    }
    match command.disabled {
        Some(true) if old.disabled_at.is_none() => {
            tx.disable_key(id, &caller.context.actor.id, now).await?;
            changes.insert("disabled".to_owned(), json!([false, true]));
        }
        Some(false) if old.disabled_at.is_some() => {
            tx.enable_key(id).await?;
            changes.insert("disabled".to_owned(), json!([true, false]));
        }
        _ => {}
    }
    guard_admins(before, tx.admins_until(now).await?)?;
    let details = json!({"name": old.name, "changes": changes});
    tx.record(AuditEvent::new(Action::ApiKeyUpdated, &caller.context, id, details)).await?;
    tx.announce(Change::Access).await?;
    tx.key_for_update(id).await?.ok_or_else(|| DomainError::not_found("API key", id))
}

/// Tells once of each key that ended by itself, by its date or because another took over. They have not been
/// accepted since then.
pub async fn tell_of_ended_keys(
    tx: &mut (impl IamStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
) -> Result<i64, DomainError> {
    let ended = tx.take_ended_keys(ambient.now(), BATCH).await?;
    for key in &ended {
        let details = json!({
            "name": key.name, "expires_at": key.expires_at.map(timestamp::to_rfc3339),
            "overlap_until": key.overlap_until.map(timestamp::to_rfc3339),
        });
        tx.record(AuditEvent::new(Action::ApiKeyExpired, context, &key.id, details)).await?;
    }
    Ok(i64::try_from(ended.len()).unwrap_or(i64::MAX))
}
