//! Ordering deployments, and how a certificate stands on its targets.

use crate::{Attachment, DeploymentStore, WorkStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore};
use certctl_kernel::{DomainError, Id, ListQuery, Page};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission, Scope};
use serde_json::json;

pub(crate) fn scopes(certificate: &Certificate) -> Vec<Scope> {
    let mut scopes = vec![Scope::Issuer(certificate.issuer_id.clone())];
    scopes.extend(certificate.certificate_profile_id.clone().map(Scope::Profile));
    scopes
}

/// Orders the deployment of the current version on every target in service, or on one. Targets with an open deployment
/// are left alone. Returns the ids of the new jobs.
pub async fn deploy(
    tx: &mut (impl WorkStore + CertificateStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    certificate_id: &str,
    target_id: Option<&str>,
) -> Result<Vec<Id>, DomainError> {
    let certificate = tx
        .certificate_for_update(certificate_id)
        .await?
        .ok_or_else(|| DomainError::not_found("certificate", certificate_id))?;
    caller.require(Permission::CertEdit, &scopes(&certificate))?;
    if certificate.status == CertificateStatus::Archived {
        return Err(DomainError::conflict("certificate_archived", "the certificate is archived"));
    }
    if certificate.revoked_at.is_some() {
        return Err(DomainError::conflict("certificate_revoked", "the certificate is revoked; renew it first"));
    }
    let version = certificate.current_version_id.as_deref().ok_or_else(|| {
        DomainError::conflict("not_issued", "the certificate has no version yet; renew it to have one issued")
    })?;
    if certificate.target_ids.is_empty() {
        return Err(DomainError::conflict("no_target", "no target is attached; set target_ids on the certificate"));
    }
    if let Some(target) = target_id
        && !certificate.target_ids.iter().any(|attached| attached == target)
    {
        return Err(DomainError::invalid("target_id", "not_attached", "is not a target of this certificate"));
    }
    let jobs = tx
        .create_missing_deployment_jobs(certificate_id, version, target_id, ambient.now(), &caller.context.actor.id)
        .await?;
    let details = json!({"version_id": version, "target_id": target_id, "job_ids": jobs});
    tx.record(AuditEvent::new(Action::DeploymentTriggered, &caller.context, certificate_id, details)).await?;
    Ok(jobs)
}

/// One page of a certificate's targets, each with how it stands there.
pub async fn list_attachments(
    tx: &mut (impl DeploymentStore + CertificateStore + ?Sized),
    caller: &Caller,
    certificate_id: &str,
    list: &ListQuery,
) -> Result<Page<Attachment>, DomainError> {
    let certificate =
        tx.certificate(certificate_id).await?.ok_or_else(|| DomainError::not_found("certificate", certificate_id))?;
    caller.require(Permission::CertRead, &scopes(&certificate))?;
    Ok(tx.attachments_page(certificate_id, list).await?)
}
