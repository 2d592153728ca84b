//! Asking for a new leaf.

use crate::RenewalStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore, RenewalPolicyStore};
use certctl_jobs::{Job, JobStore, JobType, NewJob, Trigger};
use certctl_kernel::{DomainError, FieldError, IdKind, StoreError};
use certctl_ports::Ambient;
use certctl_profile::ProfileStore;
use certctl_rbac::{Caller, Permission, Scope};
use serde_json::json;

fn refused(code: &str, message: &str) -> DomainError {
    DomainError::Unprocessable(vec![FieldError::new("certificate_profile_id", code, message)])
}

/// A profile that can't be read or demands what this server can't do stops the request: a gate that fails stays shut.
async fn gate(tx: &mut (impl ProfileStore + ?Sized), certificate: &Certificate) -> Result<(), DomainError> {
    let Some(id) = &certificate.certificate_profile_id else { return Ok(()) };
    let profile = tx.profile(id).await?.ok_or_else(|| DomainError::Internal {
        reason: format!("the profile of certificate {} is missing", certificate.id),
    })?;
    if !profile.enabled {
        return Err(refused("profile_disabled", "the certificate's profile is disabled; enable it or choose another"));
    }
    if profile.requires_approval {
        return Err(refused(
            "approval_required",
            "the certificate's profile requires an approval, which this server can't give; use another profile",
        ));
    }
    Ok(())
}

/// Orders a new leaf: the certificate enters `RenewalInProgress` and a job waits for the agent's CSR. `force` calls off
/// a request that is open, and allows a revoked certificate to be issued anew.
pub async fn renew(
    tx: &mut (impl CertificateStore + JobStore + ProfileStore + RenewalPolicyStore + RenewalStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    certificate_id: &str,
    force: bool,
) -> Result<Job, DomainError> {
    let certificate = tx
        .certificate_for_update(certificate_id)
        .await?
        .ok_or_else(|| DomainError::not_found("certificate", certificate_id))?;
    let mut scopes = vec![Scope::Issuer(certificate.issuer_id.clone())];
    scopes.extend(certificate.certificate_profile_id.clone().map(Scope::Profile));
    caller.require(Permission::CertIssue, &scopes)?;
    if certificate.status == CertificateStatus::Archived {
        return Err(DomainError::conflict("certificate_archived", "the certificate is archived"));
    }
    if certificate.revoked_at.is_some() && !force {
        let message = "the certificate is revoked; repeat with force=true to have it issued anew";
        return Err(DomainError::conflict("certificate_revoked", message));
    }
    gate(tx, &certificate).await?;
    let open = tx.open_request(certificate_id).await?;
    if let Some(open) = &open
        && !force
    {
        return Err(DomainError::Conflict {
            code: "job_open",
            message: "certificate renewal already in progress; repeat with force=true to start over".to_owned(),
            existing_id: Some(open.id.clone()),
        });
    }
    if !tx.has_answering_target(certificate_id).await? {
        let message = "no target in service is attached, so no agent could make the key: attach a target \
                       (target_ids), or send a CSR to POST /api/v1/certificates/{id}/versions";
        return Err(DomainError::conflict("no_target", message));
    }
    let now = ambient.now();
    let mut called_off = None;
    if let Some(open) = open {
        let mut open = tx.job_for_update(&open.id).await?.ok_or(StoreError::Conflict)?;
        if !open.is_terminal() {
            open.cancel("a new request was forced", now)?;
            if !tx.save_job(&open).await? {
                return Err(StoreError::Conflict.into());
            }
            called_off = Some(open.id);
        }
    }
    let policy = tx.renewal_policy(&certificate.renewal_policy_id).await?.ok_or_else(|| DomainError::Internal {
        reason: format!("the renewal policy of certificate {certificate_id} is missing"),
    })?;
    let kind = if certificate.expires_at.is_none() { JobType::Issuance } else { JobType::Renewal };
    let job = order(
        tx,
        ambient,
        Order {
            certificate_id,
            status: certificate.status,
            kind,
            max_retries: policy.max_retries,
            requested_by: &caller.context.actor.id,
            trigger: Trigger::Manual,
        },
    )
    .await?;
    let details = json!({
        "job_id": job.id, "type": kind.as_str(), "from": certificate.status.as_str(), "force": force,
        "called_off_job_id": called_off,
    });
    tx.record(AuditEvent::new(Action::RenewalTriggered, &caller.context, certificate_id, details)).await?;
    Ok(job)
}

pub(crate) struct Order<'a> {
    pub(crate) certificate_id: &'a str,
    pub(crate) status: CertificateStatus,
    pub(crate) kind: JobType,
    pub(crate) max_retries: i32,
    pub(crate) requested_by: &'a str,
    pub(crate) trigger: Trigger,
}

/// Makes the job and moves the certificate, which the caller holds locked.
pub(crate) async fn order(
    tx: &mut (impl CertificateStore + JobStore + ?Sized),
    ambient: &Ambient,
    order: Order<'_>,
) -> Result<Job, DomainError> {
    let now = ambient.now();
    let job = Job::from(NewJob {
        id: ambient.id(IdKind::Job),
        kind: order.kind,
        certificate_id: order.certificate_id.to_owned(),
        version_id: None,
        target_id: None,
        agent_id: None,
        max_attempts: order.max_retries + 1,
        requested_by: order.requested_by.to_owned(),
        trigger: order.trigger,
        now,
    });
    match tx.insert_job(&job).await {
        Err(StoreError::Duplicate { field, .. }) if field == "certificate_id" => {
            return Err(DomainError::conflict("job_open", "certificate renewal already in progress"));
        }
        other => other?,
    }
    let in_progress = CertificateStatus::RenewalInProgress;
    let moved = tx.set_certificate_status(order.certificate_id, &[order.status], in_progress, now).await?;
    if moved { Ok(job) } else { Err(StoreError::Conflict.into()) }
}
