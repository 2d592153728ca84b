//! Making another first administrator possible, after all of them are gone.

use crate::FirstAdminStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{AdminsUntil, RbacStore};
use serde_json::json;

/// Lets a first administrator be made once more. Only whoever runs commands on the host may ask for it; it is refused
/// while somebody is an administrator.
pub async fn reopen(
    tx: &mut (impl RbacStore + FirstAdminStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
) -> Result<(), DomainError> {
    tx.lock_identity().await?;
    if tx.admins_until(ambient.now()).await? != AdminsUntil::Nobody {
        return Err(DomainError::conflict("admin_exists", "somebody who can sign in is an administrator; ask them"));
    }
    let before = tx.first_admin_at().await?;
    tx.set_first_admin_at(None).await?;
    let details = json!({"first_admin_at": before.map(timestamp::to_rfc3339)});
    tx.record(AuditEvent::new(Action::BootstrapReopened, context, "bootstrap", details)).await?;
    Ok(())
}
