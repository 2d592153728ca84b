//! Asking for a new leaf.

use crate::RenewalStore;
use certctl_approval::{ApprovalRequest, ApprovalSettings, ApprovalStore, Subject, request_issuance};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore, RenewalPolicyStore};
use certctl_jobs::{Job, JobStore, JobType, NewJob, Trigger};
use certctl_kernel::{DomainError, FieldError, IdKind, RequestContext, StoreError};
use certctl_ports::{Ambient, Announcer};
use certctl_profile::ProfileStore;
use certctl_rbac::{Caller, Permission, Scope};
use serde_json::json;

/// What the certificate's profile demands, where it demands a second person's approval. A profile that can't be read
/// stops the request: a gate that fails stays shut.
async fn gate(
    tx: &mut (impl ProfileStore + ?Sized),
    certificate: &Certificate,
) -> Result<Option<Subject>, DomainError> {
    let Some(id) = &certificate.certificate_profile_id else { return Ok(None) };
    let profile = tx.profile(id).await?.ok_or_else(|| DomainError::Internal {
        reason: format!("the profile of certificate {} is missing", certificate.id),
    })?;
    if !profile.enabled {
        let message = "the certificate's profile is disabled; enable it or choose another";
        let error = FieldError::new("certificate_profile_id", "profile_disabled", message);
        return Err(DomainError::Unprocessable(vec![error]));
    }
    Ok(Subject::of(certificate).filter(|_| profile.requires_approval))
}

/// What was ordered.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered {
    /// The job that waits for an agent's CSR, or for a decision first.
    pub job: Job,
    /// The request that a second person must grant, where the profile demands one.
    pub approval: Option<ApprovalRequest>,
}

/// Orders a new leaf: the certificate enters `RenewalInProgress` and a job waits for the agent's CSR, or first for the
/// approval that the profile demands. `force` calls off a request that is open, and allows a revoked certificate to be
/// issued anew.
pub async fn renew(
    tx: &mut (
             impl CertificateStore
             + JobStore
             + ProfileStore
             + RenewalPolicyStore
             + RenewalStore
             + ApprovalStore
             + AuditLog
             + Announcer
             + ?Sized
         ),
    ambient: &Ambient,
    approvals: &ApprovalSettings,
    caller: &Caller,
    certificate_id: &str,
    force: bool,
) -> Result<Ordered, DomainError> {
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
    let gated = gate(tx, &certificate).await?;
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
    if force {
        let reason = "a new request was forced";
        certctl_approval::call_off(tx, ambient, &caller.context, certificate_id, reason).await?;
    }
    let policy = tx.renewal_policy(&certificate.renewal_policy_id).await?.ok_or_else(|| DomainError::Internal {
        reason: format!("the renewal policy of certificate {certificate_id} is missing"),
    })?;
    let kind = if certificate.expires_at.is_none() { JobType::Issuance } else { JobType::Renewal };
    let ordered = order(
        tx,
        ambient,
        approvals,
        &caller.context,
        Order {
            certificate_id,
            status: certificate.status,
            kind,
            max_retries: policy.max_retries,
            trigger: Trigger::Manual,
            gated,
        },
    )
    .await?;
    let details = json!({
        "job_id": ordered.job.id, "type": kind.as_str(), "from": certificate.status.as_str(), "force": force,
        "called_off_job_id": called_off, "approval_id": ordered.approval.as_ref().map(|approval| &approval.id),
    });
    tx.record(AuditEvent::new(Action::RenewalTriggered, &caller.context, certificate_id, details)).await?;
    Ok(ordered)
}

pub(crate) struct Order<'a> {
    pub(crate) certificate_id: &'a str,
    pub(crate) status: CertificateStatus,
    pub(crate) kind: JobType,
    pub(crate) max_retries: i32,
    pub(crate) trigger: Trigger,
    /// What a second person must grant, where the profile demands it.
    pub(crate) gated: Option<Subject>,
}

/// Makes the job, asks for the approval that it needs, and moves the certificate, which the caller holds locked.
pub(crate) async fn order(
    tx: &mut (impl CertificateStore + JobStore + ApprovalStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    approvals: &ApprovalSettings,
    context: &RequestContext,
    order: Order<'_>,
) -> Result<Ordered, DomainError> {
    let now = ambient.now();
    let mut job = Job::from(NewJob {
        id: ambient.id(IdKind::Job),
        kind: order.kind,
        certificate_id: order.certificate_id.to_owned(),
        version_id: None,
        target_id: None,
        agent_id: None,
        max_attempts: order.max_retries + 1,
        requested_by: context.actor.id.clone(),
        trigger: order.trigger,
        needs_approval: order.gated.is_some(),
        now,
    });
    match tx.insert_job(&job).await {
        Err(StoreError::Duplicate { field, .. }) if field == "certificate_id" => {
            return Err(DomainError::conflict("job_open", "certificate renewal already in progress"));
        }
        other => other?,
    }
    let approval = match &order.gated {
        Some(subject) => Some(request_issuance(tx, ambient, approvals, context, subject, Some(&mut job), None).await?),
        None => None,
    };
    let in_progress = CertificateStatus::RenewalInProgress;
    if !tx.set_certificate_status(order.certificate_id, &[order.status], in_progress, now).await? {
        return Err(StoreError::Conflict.into());
    }
    Ok(Ordered { job, approval })
}
