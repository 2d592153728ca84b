//! Whether an issuer could sign now.

use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::{CaStore, Lend};
use certctl_inventory::{IssuerStore, test_status};
use certctl_kernel::DomainError;
use certctl_port_issuer::{IssuerError, IssuerRegistry};
use certctl_ports::{Ambient, Announcer};
use certctl_rbac::{Caller, Permission, Scope};
use serde_json::json;

/// Loads the issuer afresh, making a local CA's root if there is none, and asks it whether it could sign; signs
/// nothing. The outcome is kept with the issuer. A failure is an upstream error with its cause, to be kept with
/// [`record_failed_test`] in another transaction.
pub async fn test_issuer(
    tx: &mut (impl IssuerStore + CaStore + AuditLog + Announcer + ?Sized),
    issuers: &dyn IssuerRegistry,
    ambient: &Ambient,
    caller: &Caller,
    issuer_id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::IssuerEdit, &[Scope::Issuer(issuer_id.to_owned())])?;
    issuers.forget(issuer_id);
    let issuer = issuers.issuer(&mut Lend(&mut *tx), issuer_id).await.map_err(failed)?;
    issuer.test(ambient.now()).await.map_err(failed)?;
    tx.set_issuer_test_result(issuer_id, test_status::SUCCESS, ambient.now()).await?;
    tx.record(AuditEvent::new(Action::IssuerTestSuccess, &caller.context, issuer_id, json!({}))).await?;
    Ok(())
}

fn failed(error: IssuerError) -> DomainError {
    match error {
        IssuerError::Unknown(id) => DomainError::not_found("issuer", id),
        IssuerError::Store(error) => error.into(),
        other => DomainError::Upstream { message: other.to_string() },
    }
}

/// Keeps a failed test with the issuer; errors that are no outcome of a test leave nothing to keep.
pub async fn record_failed_test(
    tx: &mut (impl IssuerStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    issuer_id: &str,
    error: &DomainError,
) -> Result<bool, DomainError> {
    let DomainError::Upstream { message } = error else { return Ok(false) };
    tx.set_issuer_test_result(issuer_id, test_status::FAILED, ambient.now()).await?;
    let details = json!({"error": message});
    tx.record(AuditEvent::new(Action::IssuerTestFailed, &caller.context, issuer_id, details)).await?;
    Ok(true)
}
