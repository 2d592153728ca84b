//! Use cases of people's accounts.

use crate::{User, UserFilter, UserState, UserStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, ListQuery, Page, RequestContext};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission, RbacStore, guard_admins};
use certctl_session::{RevokedReason, SessionStore, revoke_of};
use serde_json::json;

/// `code` of the refusal to shut oneself out.
pub const SELF_DEACTIVATE: &str = "self_deactivate_blocked";

fn missing(id: &str) -> DomainError {
    DomainError::not_found("user", id)
}

/// One page of people, oldest first; that they were looked at is recorded.
pub async fn list_users(
    tx: &mut (impl UserStore + AuditLog + ?Sized),
    caller: &Caller,
    filter: &UserFilter,
    list: &ListQuery,
) -> Result<Page<User>, DomainError> {
    caller.require(Permission::AuthUserRead, &[])?;
    let page = tx.users_page(filter, list).await?;
    let details = json!({
        "count": page.rows.len(), "total": page.total, "provider_filter": filter.oidc_provider_id,
        "state_filter": filter.state.map(UserState::as_str), "searched": filter.q.is_some(),
    });
    tx.record(AuditEvent::new(Action::UserList, &caller.context, "users", details)).await?;
    Ok(page)
}

/// The person with this id. Everybody may see themselves.
pub async fn get_user(tx: &mut (impl UserStore + ?Sized), caller: &Caller, id: &str) -> Result<User, DomainError> {
    let found = tx.user(id).await?;
    if !found.as_ref().is_some_and(|user| user.actor() == caller.context.actor) {
        caller.require(Permission::AuthUserRead, &[])?;
    }
    found.ok_or_else(|| missing(id))
}

/// Shuts a person out: no sign-in is let in any more, every session ends, and keys that belong to the person are
/// switched off, all in one transaction. Doing it twice changes nothing.
pub async fn deactivate_user(
    tx: &mut (impl UserStore + SessionStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthUserDeactivate, &[])?;
    tx.lock_identity().await?;
    let mut user = tx.user_for_update(id).await?.ok_or_else(|| missing(id))?;
    if user.actor() == caller.context.actor {
        return Err(DomainError::conflict(
            SELF_DEACTIVATE,
            "you can't deactivate your own account; ask another administrator",
        ));
    }
    let mut details = json!({"user_id": id, "oidc_provider_id": user.oidc_provider_id});
    if user.deactivated_at.is_some() {
        details["already_deactivated"] = json!(true);
    } else {
        let now = ambient.now();
        let before = tx.admins_until(now).await?;
        user.deactivated_at = Some(now);
        user.updated_at = now;
        tx.update_user(&user).await?;
        let keys = tx.disable_keys_of(id, &caller.context.actor.id, now).await?;
        guard_admins(before, tx.admins_until(now).await?)?;
        let sessions = revoke_of(tx, ambient, &caller.context, &user.actor(), RevokedReason::Deactivated).await?;
        details["session_revoke_status"] = json!("ok");
        details["sessions_revoked"] = json!(sessions);
        details["disabled_key_ids"] = json!(keys);
    }
    tx.record(AuditEvent::new(Action::UserDeactivated, &caller.context, id, details)).await?;
    Ok(())
}

/// The event that tells of somebody who tried to shut themselves out; the caller stores it in a transaction of its own.
pub fn self_deactivation(context: &RequestContext, id: &str) -> AuditEvent {
    let details = json!({"user_id": id, "reason": SELF_DEACTIVATE});
    AuditEvent::new(Action::UserDeactivateSelfRejected, context, id, details)
}

/// Lets a person in again; sessions and keys that ended stay ended. Doing it twice changes nothing.
pub async fn reactivate_user(
    tx: &mut (impl UserStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthUserDeactivate, &[])?;
    tx.lock_identity().await?;
    let mut user = tx.user_for_update(id).await?.ok_or_else(|| missing(id))?;
    let mut details = json!({"user_id": id, "oidc_provider_id": user.oidc_provider_id});
    match user.state() {
        UserState::Purged => {
            return Err(DomainError::conflict(
                "purged",
                "the account's data was removed; it can't be used again, and stays so that its person stays shut out",
            ));
        }
        UserState::Active => details["already_active"] = json!(true),
        UserState::Deactivated => {
            user.deactivated_at = None;
            user.updated_at = ambient.now();
            tx.update_user(&user).await?;
        }
    }
    tx.record(AuditEvent::new(Action::UserReactivated, &caller.context, id, details)).await?;
    Ok(())
}
