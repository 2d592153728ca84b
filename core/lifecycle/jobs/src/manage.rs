//! Looking at jobs and calling them off.

use crate::failure::{save, settled_status};
use crate::{Job, JobFilter, JobStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{CertificateStatus, CertificateStore};
use certctl_kernel::{DomainError, ListQuery, Page};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// One page of the jobs that the caller may read, newest first. A cursor must come from the filter that
/// [`visible_jobs`] gives.
pub async fn list_jobs(
    tx: &mut (impl JobStore + ?Sized),
    caller: &Caller,
    filter: JobFilter,
    list: &ListQuery,
) -> Result<Page<Job>, DomainError> {
    let filter = visible_jobs(filter, caller)?;
    Ok(tx.jobs_page(&filter, list).await?)
}

/// The filter narrowed to what the caller may read: jobs of certificates in its scopes.
pub fn visible_jobs(mut filter: JobFilter, caller: &Caller) -> Result<JobFilter, DomainError> {
    filter.within = caller.within(Permission::JobRead)?;
    Ok(filter)
}

/// The job, if the caller holds the permission everywhere or for the job's certificate.
pub(crate) async fn permitted(
    tx: &mut (impl JobStore + CertificateStore + ?Sized),
    caller: &Caller,
    permission: Permission,
    id: &str,
) -> Result<Job, DomainError> {
    // Who holds it nowhere learns nothing of what there is.
    let within = caller.within(permission)?;
    let job = tx.job(id).await?.ok_or_else(|| DomainError::not_found("job", id))?;
    if within.is_some() {
        let scopes = tx.certificate(&job.certificate_id).await?.map(|certificate| certificate.scopes());
        caller.require(permission, &scopes.unwrap_or_default())?;
    }
    Ok(job)
}

/// One job.
pub async fn get_job(
    tx: &mut (impl JobStore + CertificateStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<Job, DomainError> {
    permitted(tx, caller, Permission::JobRead, id).await
}

/// Calls a job off. A certificate whose request it was gets back the state that its dates give.
pub async fn cancel_job(
    tx: &mut (impl JobStore + CertificateStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<Job, DomainError> {
    let now = ambient.now();
    let found = permitted(tx, caller, Permission::JobCancel, id).await?;
    // Certificate before job, as everywhere: two locks in two orders would meet.
    let certificate = if found.is_request() { tx.certificate_for_update(&found.certificate_id).await? } else { None };
    let mut job = tx.job_for_update(id).await?.ok_or_else(|| DomainError::not_found("job", id))?;
    let was = job.status;
    job.cancel("cancelled by user", now)?;
    save(tx, &job).await?;
    if let Some(certificate) = certificate.filter(|c| c.status == CertificateStatus::RenewalInProgress) {
        let status = settled_status(&certificate, false, now);
        tx.leave_renewal(&certificate.id, status, None, now).await?;
    }
    let details = json!({
        "certificate_id": job.certificate_id, "type": job.kind.as_str(), "target_id": job.target_id,
        "from": was.as_str(),
    });
    tx.record(AuditEvent::new(Action::JobCancelled, &caller.context, &job.id, details)).await?;
    Ok(job)
}
