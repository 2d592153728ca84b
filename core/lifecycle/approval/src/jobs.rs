//! Decisions and cancellations that name the job.

use crate::{ApprovalError, ApprovalRequest, ApprovalSettings, ApprovalStore, approve, call_off, reject};
use certctl_audit::AuditLog;
use certctl_inventory::CertificateStore;
use certctl_jobs::{Job, JobStore};
use certctl_kernel::DomainError;
use certctl_ports::{Ambient, Announcer};
use certctl_profile::ProfileStore;
use certctl_rbac::Caller;

/// The request of a job.
async fn request_of(tx: &mut (impl ApprovalStore + JobStore + ?Sized), job_id: &str) -> Result<String, ApprovalError> {
    if let Some(request) = tx.approval_of_job(job_id).await? {
        return Ok(request.id);
    }
    let job = tx.job(job_id).await?.ok_or_else(|| DomainError::not_found("job", job_id))?;
    let message = format!("names a job that is {} and never waited for an approval", job.status.as_str());
    Err(DomainError::invalid("id", "job_not_waiting", message).into())
}

/// Grants the request of a job: the same as [`approve`].
pub async fn approve_job(
    tx: &mut (impl ApprovalStore + CertificateStore + JobStore + ProfileStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    settings: &ApprovalSettings,
    caller: &Caller,
    job_id: &str,
    note: Option<String>,
) -> Result<ApprovalRequest, ApprovalError> {
    let id = request_of(tx, job_id).await?;
    approve(tx, ambient, settings, caller, &id, note).await
}

/// Refuses the request of a job: the same as [`reject`].
pub async fn reject_job(
    tx: &mut (impl ApprovalStore + CertificateStore + JobStore + ProfileStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    job_id: &str,
    note: Option<String>,
) -> Result<ApprovalRequest, ApprovalError> {
    let id = request_of(tx, job_id).await?;
    reject(tx, ambient, caller, &id, note).await
}

/// Calls a job off, and with it the request that it waits for.
pub async fn cancel_job(
    tx: &mut (impl ApprovalStore + JobStore + CertificateStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<Job, DomainError> {
    let job = certctl_jobs::cancel_job(tx, ambient, caller, id).await?;
    if job.is_request() {
        call_off(tx, ambient, &caller.context, &job.certificate_id, "its job was cancelled").await?;
    }
    Ok(job)
}
