//! What a change of somebody's rights means for the browsers they are signed in with.

use crate::RbacStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, RequestContext, StoreError, Timestamp};
use serde_json::json;

/// Gives the live sessions of an actor, but one, new CSRF tokens, so that a token captured before is worth nothing
/// after. Their browsers are given the new ones with the next answer. Returns how many.
pub async fn rotate_csrf(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    now: Timestamp,
    context: &RequestContext,
    actor: &Actor,
    except: Option<&str>,
) -> Result<usize, StoreError> {
    let rotated = tx.rotate_csrf_of(actor, except, now).await?;
    for id in &rotated {
        let event = AuditEvent::new(Action::SessionCsrfRotated, context, id, json!({"session_id": id}));
        tx.record(event.by(Actor::system())).await?;
    }
    Ok(rotated.len())
}
