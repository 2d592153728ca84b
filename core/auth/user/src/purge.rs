//! Removing the personal data of people who were shut out.

use crate::{PURGED_EMAIL, PURGED_NAME, User, UserState, UserStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission, RbacStore};
use certctl_session::{RevokedReason, SessionStore, revoke_of};
use serde_json::json;
use time::Duration;

/// How long data is kept after a person was shut out, and how much is removed in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// From when the person was shut out.
    pub window: Duration,
    /// People in one run; 0 means all.
    pub batch_cap: u32,
}

/// What of a person is removed: address, name, subject, groups, grants, the traces of sessions. The row, its id and the
/// keyed hash of the subject stay, so that the person is recognised and refused.
async fn purge(
    tx: &mut (impl UserStore + SessionStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    mut user: User,
    by_hand: bool,
) -> Result<(), DomainError> {
    let now = ambient.now();
    let sessions = revoke_of(tx, ambient, context, &user.actor(), RevokedReason::Deactivated).await?;
    let roles = tx.revoke_grants(&user.actor()).await?;
    PURGED_EMAIL.clone_into(&mut user.email);
    PURGED_NAME.clone_into(&mut user.display_name);
    user.oidc_subject = None;
    user.idp_groups = Vec::new();
    user.purged_at = Some(now);
    user.updated_at = now;
    tx.update_user(&user).await?;
    let scrubbed = tx.scrub_traces_of(&user).await?;
    let details = json!({
        "retained_id": user.id, "hashed_oidc_subject_set": user.subject_lookup.is_some(),
        "oidc_provider_id": user.oidc_provider_id, "by_hand": by_hand, "sessions_revoked": sessions,
        "traces_scrubbed": scrubbed, "roles_revoked": roles,
    });
    tx.record(AuditEvent::new(Action::UserPurgePii, context, &user.id, details)).await?;
    Ok(())
}

/// Removes the data of people who were shut out long enough ago; returns how many. Each row is changed with its event.
pub async fn purge_due(
    tx: &mut (impl UserStore + SessionStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    retention: Retention,
) -> Result<i64, DomainError> {
    let before = ambient.now() - retention.window;
    let due = tx.take_users_to_purge(before, retention.batch_cap.into()).await?;
    let count = i64::try_from(due.len()).unwrap_or(i64::MAX);
    for user in due {
        purge(tx, ambient, context, user, false).await?;
    }
    Ok(count)
}

/// Removes a person's data now, who must be shut out. Doing it twice changes nothing.
pub async fn purge_user(
    tx: &mut (impl UserStore + SessionStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthUserDeactivate, &[])?;
    tx.lock_identity().await?;
    let user = tx.user_for_update(id).await?.ok_or_else(|| DomainError::not_found("user", id))?;
    match user.state() {
        UserState::Active => Err(DomainError::conflict(
            "not_deactivated",
            "the account is in use; deactivate it first, then its data can be removed",
        )),
        UserState::Deactivated => purge(tx, ambient, &caller.context, user, true).await,
        UserState::Purged => {
            let details = json!({"retained_id": id, "already_purged": true});
            tx.record(AuditEvent::new(Action::UserPurgePii, &caller.context, id, details)).await?;
            Ok(())
        }
    }
}
