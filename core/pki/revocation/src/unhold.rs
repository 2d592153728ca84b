//! Lifting a hold.

use crate::{RevocationReason, StatusStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore};
use certctl_kernel::{DomainError, Timestamp};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{Caller, Permission, Scope};
use serde_json::json;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unheld {
    /// The certificate's status now.
    pub status: CertificateStatus,
    /// The serials whose hold was lifted.
    pub serials: Vec<String>,
    /// Changes to drop from this replica's caches as soon as the transaction has committed.
    pub changes: Vec<Change>,
}

/// Lifts the hold of a certificate: its versions leave the next CRL and are called good again.
///
/// Fails with not found (404) and a conflict when a version is revoked for any other reason, or nothing is on hold (409).
pub async fn unhold(
    tx: &mut (impl CertificateStore + StatusStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    certificate_id: &str,
) -> Result<Unheld, DomainError> {
    let not_found = || DomainError::not_found("certificate", certificate_id);
    let certificate = tx.certificate_for_update(certificate_id).await?.ok_or_else(not_found)?;
    caller.require(Permission::CertRevoke, &scopes(&certificate))?;
    let held = tx.revocations_of(&certificate.id).await?;
    if held.is_empty() {
        return Err(DomainError::conflict("not_on_hold", "no version of the certificate is on hold"));
    }
    if let Some(other) = held.iter().find(|revocation| revocation.reason != RevocationReason::CertificateHold) {
        let message = format!("revoked for {}; only certificateHold can be lifted", other.reason.as_str());
        return Err(DomainError::conflict("not_on_hold", message));
    }
    let now = ambient.now();
    let ids: Vec<String> = held.iter().map(|revocation| revocation.id.clone()).collect();
    tx.lift_revocations(&ids, now).await?;
    let status = status_after(&certificate, now);
    if certificate.status == CertificateStatus::Revoked {
        tx.mark_unheld(&certificate.id, status, now).await?;
    }
    let mut changes = Vec::new();
    for revocation in &held {
        let ca = revocation.ca_id.clone().unwrap_or_else(|| revocation.issuer_id.clone());
        changes.push(Change::Revocation(ca, revocation.serial_number.clone()));
    }
    tx.announce_all(changes.clone()).await?;
    let serials: Vec<String> = held.into_iter().map(|revocation| revocation.serial_number).collect();
    let details = json!({
        "common_name": certificate.common_name,
        "serials": serials,
        "status": [certificate.status.as_str(), status.as_str()],
    });
    tx.record(AuditEvent::new(Action::CertificateUnheld, &caller.context, &certificate.id, details)).await?;
    Ok(Unheld { status, serials, changes })
}

fn scopes(certificate: &Certificate) -> Vec<Scope> {
    let mut scopes = vec![Scope::Issuer(certificate.issuer_id.clone())];
    scopes.extend(certificate.certificate_profile_id.clone().map(Scope::Profile));
    scopes
}

/// The sweep that follows moves it on to `Expiring` where that is due.
fn status_after(certificate: &Certificate, now: Timestamp) -> CertificateStatus {
    match certificate.expires_at {
        Some(end) if end <= now => CertificateStatus::Expired,
        _ => CertificateStatus::Active,
    }
}
