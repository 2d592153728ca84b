//! What a target was seen to serve after a deployment.

use crate::manage::permitted;
use crate::{Job, JobStore, JobType, Verification};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::CertificateStore;
use certctl_kernel::{ActorType, DomainError, FieldError, IdKind};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// A report of what a target serves.
#[derive(Debug, Clone)]
pub struct VerificationReport {
    /// The target that was asked.
    pub target_id: String,
    /// SHA-256 that should be served, hex.
    pub expected_fingerprint: String,
    /// SHA-256 that is served, hex; empty when the target could not be asked.
    pub actual_fingerprint: String,
    /// What went wrong.
    pub error: Option<String>,
}

const LONGEST_ERROR: usize = 4096;

fn check(report: &VerificationReport) -> Result<(), DomainError> {
    let mut errors = Vec::new();
    if report.target_id.is_empty() {
        errors.push(FieldError::new("target_id", "required", "is required"));
    }
    let is_fingerprint = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let rule = "must be a SHA-256 of 64 hex digits";
    if !is_fingerprint(&report.expected_fingerprint) {
        errors.push(FieldError::new("expected_fingerprint", "invalid", rule));
    }
    // A target that could not be asked has no fingerprint; its report must say why.
    let unanswered = report.actual_fingerprint.is_empty() && report.error.as_ref().is_some_and(|e| !e.is_empty());
    if !unanswered && !is_fingerprint(&report.actual_fingerprint) {
        let message = format!("{rule}, or empty together with a non-empty error");
        errors.push(FieldError::new("actual_fingerprint", "invalid", message));
    }
    if report.error.as_ref().is_some_and(|error| error.len() > LONGEST_ERROR) {
        errors.push(FieldError::new("error", "too_long", "must be at most 4096 bytes"));
    }
    if errors.is_empty() { Ok(()) } else { Err(DomainError::Validation(errors)) }
}

/// A job that the caller may report on or look at: an agent sees only its own.
async fn visible(
    tx: &mut (impl JobStore + CertificateStore + ?Sized),
    caller: &Caller,
    permission: Permission,
    id: &str,
) -> Result<Job, DomainError> {
    let actor = &caller.context.actor;
    let job = permitted(tx, caller, permission, id).await?;
    if actor.kind == ActorType::Agent && job.agent_id.as_ref() != Some(&actor.id) {
        return Err(DomainError::not_found("job", id));
    }
    Ok(job)
}

/// Takes a report. Whether the deployment counts as verified is decided here, from the fingerprint of the version that
/// the job deployed, and not by the reporter.
pub async fn record_verification(
    tx: &mut (impl JobStore + CertificateStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    job_id: &str,
    report: VerificationReport,
) -> Result<Verification, DomainError> {
    check(&report)?;
    let job = visible(tx, caller, Permission::VerificationRun, job_id).await?;
    if job.kind != JobType::Deployment {
        return Err(DomainError::conflict("not_a_deployment", "only deployments can be verified"));
    }
    if job.target_id.as_ref() != Some(&report.target_id) {
        return Err(DomainError::conflict("wrong_target", "target_id is not the target of this job"));
    }
    let deployed = match &job.version_id {
        Some(version) => tx.version(version).await?.map(|version| version.fingerprint_sha256),
        None => None,
    };
    let expected = report.expected_fingerprint.to_ascii_lowercase();
    let actual = report.actual_fingerprint.to_ascii_lowercase();
    let error = report.error.filter(|text| !text.is_empty());
    let success = error.is_none() && actual == expected && deployed.is_none_or(|fingerprint| fingerprint == actual);
    let seen = Verification {
        id: ambient.id(IdKind::Verification),
        job_id: job.id.clone(),
        at: ambient.now(),
        success,
        expected_fingerprint: expected,
        actual_fingerprint: actual,
        error,
    };
    tx.insert_verification(&seen).await?;
    let action = if success { Action::JobVerificationSuccess } else { Action::JobVerificationFailed };
    let details = json!({
        "certificate_id": job.certificate_id, "target_id": job.target_id, "version_id": job.version_id,
        "expected_fingerprint": seen.expected_fingerprint, "actual_fingerprint": seen.actual_fingerprint,
        "reason": seen.error,
    });
    tx.record(AuditEvent::new(action, &caller.context, &job.id, details)).await?;
    Ok(seen)
}

/// The job with the newest report on it.
pub async fn verification(
    tx: &mut (impl JobStore + CertificateStore + ?Sized),
    caller: &Caller,
    job_id: &str,
) -> Result<Job, DomainError> {
    visible(tx, caller, Permission::VerificationRead, job_id).await
}
