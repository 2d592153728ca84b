//! What the scheduler does to jobs: next attempts, and ends for those that nobody answers. Each function works on a
//! bounded batch, may run again at any time, and records an event for each job it moves.

use crate::failure::save;
use crate::{ErrorClass, Job, JobFailure, JobStatus, JobStore, fail};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{CertificateStore, RenewalPolicyStore};
use certctl_kernel::{DomainError, RequestContext, timestamp};
use certctl_ports::Ambient;
use serde_json::json;
use time::Duration;

/// Limits of the sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepSettings {
    /// Jobs a run and kind.
    pub batch: i64,
    /// How long a request waits for a CSR.
    pub csr_timeout: Duration,
    /// An agent silent for longer has lost its running jobs.
    pub silent_after: Duration,
}

impl Default for SweepSettings {
    fn default() -> Self {
        Self { batch: 100, csr_timeout: Duration::hours(24), silent_after: Duration::minutes(5) }
    }
}

/// Sends failed jobs whose pause is over back to where their next attempt starts; returns how many.
pub async fn retry_due(
    tx: &mut (impl JobStore + AuditLog + ?Sized),
    ambient: &Ambient,
    settings: &SweepSettings,
) -> Result<i64, DomainError> {
    let context = RequestContext::system("scheduler:job-retry");
    let now = ambient.now();
    let due = tx.retries_due(now, settings.batch).await?;
    let mut moved = 0;
    for mut job in due {
        job.requeue(now)?;
        save(tx, &job).await?;
        let details = json!({
            "certificate_id": job.certificate_id, "type": job.kind.as_str(), "target_id": job.target_id,
            "attempts": job.attempts, "max_attempts": job.max_attempts, "last_error": job.last_error,
        });
        tx.record(AuditEvent::new(Action::JobRetry, &context, &job.id, details)).await?;
        moved += 1;
    }
    Ok(moved)
}

/// Ends what nobody answers: requests without a CSR for too long, and running jobs whose lease ended or whose agent
/// fell silent. Returns how many.
pub async fn reap_timeouts(
    tx: &mut (impl JobStore + CertificateStore + RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    settings: &SweepSettings,
) -> Result<i64, DomainError> {
    let context = RequestContext::system("scheduler:job-reaper");
    let now = ambient.now();
    let mut ended = 0;
    for job in tx.unanswered_requests(now - settings.csr_timeout, settings.batch).await? {
        let reason = format!("timed out in {} after {}h", job.status.as_str(), settings.csr_timeout.whole_hours());
        let failure = JobFailure::new(&reason, ErrorClass::Timeout);
        ended += end(tx, ambient, &context, job, &failure, Action::JobTimeout).await?;
    }
    for (job, silent) in tx.abandoned_jobs(now, now - settings.silent_after, settings.batch).await? {
        let (reason, action) = if silent {
            let reason =
                format!("agent offline (no heartbeat for more than {}m)", settings.silent_after.whole_minutes());
            (reason, Action::JobOfflineAgentReap)
        } else {
            let ended = job.lease_expires_at.map_or_else(|| "unknown".to_owned(), timestamp::to_rfc3339);
            (format!("no report before the lease ended at {ended}"), Action::JobTimeout)
        };
        let failure = JobFailure::new(&reason, ErrorClass::Abandoned);
        ended += end(tx, ambient, &context, job, &failure, action).await?;
    }
    Ok(ended)
}

/// Locks in the common order (certificate before job) and leaves jobs alone that moved meanwhile.
async fn end(
    tx: &mut (impl JobStore + CertificateStore + RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    seen: Job,
    failure: &JobFailure,
    action: Action,
) -> Result<i64, DomainError> {
    if seen.is_request() {
        tx.certificate_for_update(&seen.certificate_id).await?;
    }
    let Some(job) = tx.job_for_update(&seen.id).await?.filter(|job| job.row_version == seen.row_version) else {
        return Ok(0);
    };
    if !matches!(job.status, JobStatus::AwaitingCSR | JobStatus::Running) {
        return Ok(0);
    }
    fail(tx, ambient, context, job, failure, action).await?;
    Ok(1)
}
