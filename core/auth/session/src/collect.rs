//! What goes by itself.

use crate::{Collected, SessionError, SessionStore, rotate_signing_key};
use certctl_audit::AuditLog;
use certctl_kernel::{RequestContext, StoreError};
use certctl_ports::{Ambient, Sealer};
use time::Duration;

/// For how long an ended session is kept, so that its browser is told why it ended.
const KEEP_REVOKED: Duration = Duration::days(7);

/// Removes sessions past their end, used sign-ins and logout tokens past theirs, and retired keys past `retention`
/// that no session names.
pub async fn collect(
    tx: &mut (impl SessionStore + ?Sized),
    ambient: &Ambient,
    retention: Duration,
) -> Result<Collected, StoreError> {
    let now = ambient.now();
    tx.collect_sessions(now, now - KEEP_REVOKED, now - retention).await
}

/// Rotates the signing key when it is older than `every`; true when it did.
pub async fn rotate_when_due(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
    context: &RequestContext,
    every: Duration,
) -> Result<bool, SessionError> {
    let now = ambient.now();
    // Looked at under the lock: two replicas at once must not both find it due.
    tx.lock_signing_keys().await?;
    let active = tx.signing_keys().await?.into_iter().find(|key| key.retired_at.is_none());
    if active.is_some_and(|key| now - key.created_at < every) {
        return Ok(false);
    }
    rotate_signing_key(tx, ambient, sealer, context, false).await?;
    Ok(true)
}
