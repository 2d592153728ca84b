//! What agents report of their work.

use crate::{AnsweredRequest, DeploymentRecord, Step, WorkStore};
use certctl_agents::{AgentStore, acting_agent};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{CertificateStore, RenewalPolicyStore};
use certctl_jobs::{ErrorClass, IllegalTransition, Job, JobFailure, JobStatus, JobStore, JobType, fail};
use certctl_kernel::{DomainError, FieldError, IdKind, RequestContext, StoreError};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;

use crate::LeaseSettings;

/// How a deployment went, as the agent tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentResult {
    /// `changed`, `unchanged`, `refused`, `rolled_back` or `rollback_failed`.
    pub outcome: String,
    /// What was done.
    pub steps: Vec<Step>,
    /// Leaf before, SHA-256 hex.
    pub old_fingerprint: Option<String>,
    /// Leaf after.
    pub new_fingerprint: Option<String>,
    /// Leaf that the endpoint was seen to serve.
    pub served_fingerprint: Option<String>,
    /// Main path or address.
    pub target_address: Option<String>,
}

/// A status report.
#[derive(Debug, Clone)]
pub struct JobReport {
    /// `Running`, `Completed` or `Failed`.
    pub status: JobStatus,
    /// The attempt that the agent was given, where it tells; another attempt than the present one is over.
    pub attempt: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
    /// How the deployment went.
    pub result: Option<DeploymentResult>,
}

const OUTCOMES: [&str; 5] = ["changed", "unchanged", "refused", "rolled_back", "rollback_failed"];
const MOST_STEPS: usize = 100;
const LONGEST_DETAIL: usize = 8192;

fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn check(report: &JobReport) -> Result<(), DomainError> {
    let mut errors = Vec::new();
    if !matches!(report.status, JobStatus::Running | JobStatus::Completed | JobStatus::Failed) {
        errors.push(FieldError::new("status", "unknown_value", "must be Running, Completed or Failed"));
    }
    if let Some(result) = &report.result {
        if !OUTCOMES.contains(&result.outcome.as_str()) {
            let message = format!("must be one of {}", OUTCOMES.join(", "));
            errors.push(FieldError::new("result.outcome", "unknown_value", message));
        }
        for (field, value) in [
            ("result.old_fingerprint", &result.old_fingerprint),
            ("result.new_fingerprint", &result.new_fingerprint),
            ("result.served_fingerprint", &result.served_fingerprint),
        ] {
            if value.as_deref().is_some_and(|text| !is_fingerprint(text)) {
                errors.push(FieldError::new(field, "invalid", "must be 64 lower-case hex digits"));
            }
        }
        let long = |text: &str| text.len() > LONGEST_DETAIL || text.contains('\0');
        if result.steps.len() > MOST_STEPS || result.steps.iter().any(|s| long(&s.step) || long(&s.detail)) {
            let message = format!("at most {MOST_STEPS} steps of at most {LONGEST_DETAIL} bytes each");
            errors.push(FieldError::new("result.steps", "too_long", message));
        }
        if result.target_address.as_deref().is_some_and(long) {
            errors.push(FieldError::new("result.target_address", "too_long", "is too long"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(DomainError::Validation(errors)) }
}

/// Takes a report. Returns whether anything changed: a repeated report of the same end changes nothing, and records
/// nothing.
pub async fn report_job(
    tx: &mut (impl WorkStore + AgentStore + JobStore + CertificateStore + RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    leases: LeaseSettings,
    (agent_id, job_id): (&str, &str),
    report: JobReport,
) -> Result<bool, DomainError> {
    caller.require(Permission::AgentJobComplete, &[])?;
    acting_agent(tx, caller, agent_id).await?;
    check(&report)?;
    let unknown = || DomainError::not_found("job", job_id);
    let is_own = |job: &Job| job.agent_id.as_deref() == Some(agent_id);
    let seen = tx.job(job_id).await?.filter(is_own).ok_or_else(unknown)?;
    if report.status != JobStatus::Running {
        // Certificate before job, as everywhere: an end of the job touches both.
        tx.certificate_for_update(&seen.certificate_id).await?;
    }
    let mut job = tx.job_for_update(job_id).await?.filter(is_own).ok_or_else(unknown)?;
    if report.attempt.is_some_and(|attempt| attempt != job.attempts) && job.status == JobStatus::Running {
        let message = "the job went on without this attempt: its lease had ended";
        return Err(DomainError::conflict("lease_lost", message));
    }
    let now = ambient.now();
    let owner = format!("agent:{agent_id}");
    let details = json!({
        "agent_id": agent_id, "certificate_id": job.certificate_id, "target_id": job.target_id,
        "type": job.kind.as_str(), "from": job.status.as_str(), "status": report.status.as_str(),
        "attempt": job.attempts, "outcome": report.result.as_ref().map(|result| &result.outcome),
    });
    let told = AuditEvent::new(Action::JobStatusReported, &caller.context, &job.id, details);
    match report.status {
        JobStatus::Running => {
            let until = now + leases.deployment;
            if !job.renew_lease(&owner, until) {
                job.claim(&owner, until, now)?;
            }
            save(tx, &job).await?;
            tx.record(told).await?;
            Ok(true)
        }
        status if status == job.status => Ok(false),
        JobStatus::Completed => {
            complete(tx, ambient, &caller.context, job, agent_id, report.result).await?;
            tx.record(told).await?;
            Ok(true)
        }
        _ => {
            if !matches!(job.status, JobStatus::Running | JobStatus::AwaitingCSR) {
                return Err(IllegalTransition { from: job.status, to: JobStatus::Failed }.into());
            }
            tx.record(told).await?;
            failed(tx, ambient, &caller.context, job, agent_id, report).await?;
            Ok(true)
        }
    }
}

async fn complete(
    tx: &mut (impl WorkStore + JobStore + CertificateStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    mut job: Job,
    agent_id: &str,
    result: Option<DeploymentResult>,
) -> Result<(), DomainError> {
    // A request ends with the leaf that answers it, never by the agent's word.
    if job.kind != JobType::Deployment || job.status != JobStatus::Running {
        return Err(IllegalTransition { from: job.status, to: JobStatus::Completed }.into());
    }
    let now = ambient.now();
    let expected = match &job.version_id {
        Some(version) => tx.version(version).await?.map(|version| version.fingerprint_sha256),
        None => None,
    };
    let result = result.unwrap_or_else(|| DeploymentResult { outcome: "changed".to_owned(), ..Default::default() });
    if !matches!(result.outcome.as_str(), "changed" | "unchanged") {
        let message = format!("a deployment that was {} did not complete", result.outcome);
        return Err(DomainError::invalid("result.outcome", "contradiction", message));
    }
    if result.new_fingerprint.is_some() && result.new_fingerprint != expected {
        let message = "the reported leaf is not the version that this job deploys";
        return Err(DomainError::conflict("fingerprint_mismatch", message));
    }
    let verified = result.served_fingerprint.is_some() && result.served_fingerprint == expected;
    let started = job.started_at.unwrap_or(now);
    job.complete(None, now)?;
    save(tx, &job).await?;
    let record = record_of(ambient, &job, agent_id, result, verified, None, started)?;
    tx.record_deployment(&record).await?;
    let details = json!({
        "certificate_id": job.certificate_id, "target_id": job.target_id, "version_id": job.version_id,
        "attempt": job.attempts, "outcome": record.outcome, "verified": verified,
        "old_fingerprint": record.old_fingerprint, "new_fingerprint": expected,
        "duration_ms": i64::try_from((now - started).whole_milliseconds()).unwrap_or(i64::MAX),
    });
    tx.record(AuditEvent::new(Action::DeploymentJobCompleted, context, &job.id, details)).await?;
    Ok(())
}

async fn failed(
    tx: &mut (impl WorkStore + JobStore + CertificateStore + RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    job: Job,
    agent_id: &str,
    report: JobReport,
) -> Result<(), DomainError> {
    // A refusal is a fault of the configuration or the key, and after a failed rollback a human must look first.
    let class = match report.result.as_ref().map(|result| result.outcome.as_str()) {
        Some("refused" | "rollback_failed") => ErrorClass::Permanent,
        _ => ErrorClass::Transient,
    };
    let failure = JobFailure::new(report.error.as_deref().unwrap_or_default(), class);
    let action = if job.is_request() { Action::RenewalJobFailed } else { Action::DeploymentJobFailed };
    let started = job.started_at.unwrap_or_else(|| ambient.now());
    let job = fail(tx, ambient, context, job, &failure, action).await?;
    if job.kind == JobType::Deployment {
        let result =
            report.result.unwrap_or_else(|| DeploymentResult { outcome: "failed".to_owned(), ..Default::default() });
        let record = record_of(ambient, &job, agent_id, result, false, Some(failure.reason), started)?;
        tx.record_deployment(&record).await?;
    }
    Ok(())
}

fn record_of(
    ambient: &Ambient,
    job: &Job,
    agent_id: &str,
    result: DeploymentResult,
    verified: bool,
    error: Option<String>,
    started_at: certctl_kernel::Timestamp,
) -> Result<DeploymentRecord, DomainError> {
    let target_id = job
        .target_id
        .clone()
        .ok_or_else(|| DomainError::Internal { reason: format!("deployment job {} has no target", job.id) })?;
    Ok(DeploymentRecord {
        id: ambient.id(IdKind::Deployment),
        job_id: job.id.clone(),
        certificate_id: job.certificate_id.clone(),
        version_id: job.version_id.clone(),
        target_id,
        agent_id: agent_id.to_owned(),
        succeeded: error.is_none(),
        outcome: result.outcome,
        verified,
        steps: result.steps,
        old_fingerprint: result.old_fingerprint,
        new_fingerprint: result.new_fingerprint,
        served_fingerprint: result.served_fingerprint,
        target_address: result.target_address,
        error,
        started_at,
        finished_at: ambient.now(),
    })
}

/// Ends the attempt of a request whose CSR was refused or could not be signed, in a transaction of its own: the one that
/// tried to issue was discarded. Does nothing when the request moved meanwhile.
pub async fn fail_request(
    tx: &mut (impl JobStore + CertificateStore + RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    request: &AnsweredRequest,
    failure: &JobFailure,
) -> Result<bool, DomainError> {
    tx.certificate_for_update(&request.certificate_id).await?;
    let job = tx.job_for_update(&request.job.id).await?;
    let Some(job) = job.filter(|job| job.status == JobStatus::AwaitingCSR && job.attempts == request.job.attempts)
    else {
        return Ok(false);
    };
    fail(tx, ambient, &caller.context, job, failure, Action::RenewalJobFailed).await?;
    Ok(true)
}

async fn save(tx: &mut (impl JobStore + ?Sized), job: &Job) -> Result<(), DomainError> {
    if tx.save_job(job).await? { Ok(()) } else { Err(StoreError::Conflict.into()) }
}
