//! Leaves that were signed and whose commit failed.

use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::{CaStore, Orphan};
use certctl_inventory::CertificateVersion;
use certctl_kernel::{DomainError, RequestContext};
use certctl_ports::Ambient;
use certctl_x509::certificate;
use serde_json::json;

/// Remembers a signed leaf whose commit failed or whose fate is unknown, so that OCSP knows it and it can be revoked.
/// Run it in a transaction of its own; it tells whether it wrote anything, and so whether there is an audit event.
pub async fn record_orphan(
    tx: &mut (impl CaStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    version: &CertificateVersion,
    reason: &str,
) -> Result<bool, DomainError> {
    let leaf = certificate::inspect_pem(&version.pem_chain)
        .map_err(|error| DomainError::Internal { reason: format!("the signed leaf can't be read: {error}") })?;
    let orphan = Orphan {
        issuer_id: version.issuer_id.clone(),
        ca_id: version.ca_id.clone(),
        certificate_id: version.certificate_id.clone(),
        serial_number: version.serial_number.clone(),
        der: leaf.der,
        reason: reason.to_owned(),
    };
    if !tx.record_orphan(&orphan, ambient.now()).await? {
        return Ok(false);
    }
    let details = json!({"reason": "commit_failed", "serial": orphan.serial_number, "issuer_id": orphan.issuer_id});
    tx.record(AuditEvent::new(Action::CertificateIssuanceRefused, context, &orphan.certificate_id, details)).await?;
    Ok(true)
}
