//! Listing sessions and ending them.

use crate::{RevokedReason, Session, SessionFilter, SessionSettings, SessionStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, DomainError, ListQuery, Page, RequestContext};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission, RbacStore, rotate_csrf};
use serde_json::json;

/// Whose sessions to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The caller's own; needs no permission.
    Own,
    /// Another actor's.
    Of(Actor),
    /// Everybody's.
    All,
}

/// Live sessions, newest first. Those of others need `auth.session.list.all`.
pub async fn list_sessions(
    store: &mut (impl SessionStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    settings: &SessionSettings,
    whose: Whose,
    mut filter: SessionFilter,
    list: &ListQuery,
) -> Result<Page<Session>, DomainError> {
    let own = &caller.context.actor;
    filter.actor = match whose {
        Whose::Own => Some(own.clone()),
        Whose::Of(actor) => Some(actor),
        Whose::All => None,
    };
    if filter.actor.as_ref() != Some(own) {
        caller.require(Permission::AuthSessionListAll, &[])?;
    }
    let now = ambient.now();
    Ok(store.sessions_page(&filter, now, now - settings.idle, list).await?)
}

/// Ends one session: an own one needs no permission, another's `auth.session.revoke`. Ending it twice is fine.
pub async fn revoke_session(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<(), DomainError> {
    let session = tx.session_for_update(id).await?.ok_or_else(|| DomainError::not_found("session", id))?;
    let own = session.actor == caller.context.actor;
    if !own {
        caller.require(Permission::AuthSessionRevoke, &[])?;
    }
    let reason = if own { RevokedReason::Own } else { RevokedReason::Admin };
    let ended = tx.revoke_session(id, ambient.now(), reason).await?;
    let details = json!({
        "session_id": id, "target_actor_id": session.actor.id, "target_actor_type": session.actor.kind.as_str(),
        "reason": reason.as_str(), "already_ended": !ended,
    });
    tx.record(AuditEvent::new(Action::SessionRevoked, &caller.context, id, details)).await?;
    Ok(())
}

/// Ends all of the caller's sessions but the one it comes with, if it comes with one; returns how many.
pub async fn revoke_others(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    current: Option<&str>,
) -> Result<usize, DomainError> {
    let actor = &caller.context.actor;
    let ended = tx.revoke_sessions_of(actor, current, ambient.now(), RevokedReason::Own).await?;
    let details = json!({"count": ended.len(), "current_session_id": current, "sessions": ended});
    let event = AuditEvent::new(Action::SessionsRevokedExceptCurrent, &caller.context, &actor.id, details);
    tx.record(event).await?;
    Ok(ended.len())
}

/// Ends every session of an actor, within a change that asks for it; returns how many.
pub async fn revoke_of(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    actor: &Actor,
    reason: RevokedReason,
) -> Result<usize, DomainError> {
    let ended = tx.revoke_sessions_of(actor, None, ambient.now(), reason).await?;
    if !ended.is_empty() {
        let details = json!({
            "actor_id": actor.id, "actor_type": actor.kind.as_str(), "reason": reason.as_str(), "sessions": ended,
        });
        tx.record(AuditEvent::new(Action::SessionsRevokedForActor, context, &actor.id, details)).await?;
    }
    Ok(ended.len())
}

/// Ends the session that its browser gives up, and gives the actor's other sessions new CSRF tokens. Returns false when
/// it had ended already.
pub async fn log_out(
    tx: &mut (impl SessionStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    session: &Session,
) -> Result<bool, DomainError> {
    let now = ambient.now();
    if !tx.revoke_session(&session.id, now, RevokedReason::Logout).await? {
        return Ok(false);
    }
    let rotated = rotate_csrf(tx, now, context, &session.actor, Some(&session.id)).await?;
    let details = json!({
        "session_id": session.id, "self_initiated": true, "csrf_rotated": rotated, "reason": RevokedReason::Logout.as_str(),
    });
    let event = AuditEvent::new(Action::SessionRevoked, context, &session.id, details);
    tx.record(event.by(session.actor.clone())).await?;
    Ok(true)
}
