//! Failed attempts: when the next one follows, and what a final failure does to the certificate.

use crate::{Job, JobStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore, RenewalPolicyStore};
use certctl_kernel::{DomainError, RequestContext, StoreError, Timestamp, timestamp};
use certctl_ports::Ambient;
use serde_json::json;
use time::Duration;

/// The longest pause between two attempts, and the pause before a certificate whose job failed for good is tried anew.
const LONGEST_PAUSE: Duration = Duration::hours(6);
const LONGEST_REASON: usize = 4096;

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// May go away by itself.
    Transient,
    /// The same attempt would fail again: policy, validation.
    Permanent,
    /// Nobody answered in time.
    Timeout,
    /// The agent or its lease was lost.
    Abandoned,
}

impl ErrorClass {
    /// The database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Timeout => "timeout",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether another attempt makes sense.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Abandoned)
    }
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// Why, for people.
    pub reason: String,
    /// Its kind.
    pub class: ErrorClass,
}

impl JobFailure {
    /// Keeps what people can read: control characters become spaces, and the text stays within 4 KiB.
    pub fn new(reason: &str, class: ErrorClass) -> Self {
        let mut clean: String =
            reason.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect::<String>();
        if clean.len() > LONGEST_REASON {
            let mut end = LONGEST_REASON;
            while !clean.is_char_boundary(end) {
                end -= 1;
            }
            clean.truncate(end);
        }
        let clean = clean.trim();
        let reason = if clean.is_empty() { "failed without a reason".to_owned() } else { clean.to_owned() };
        Self { reason, class }
    }
}

/// The pause after attempt number `attempts`: `base · 2^(attempts−1)`, at most six hours, ±20 % by `draw`.
pub fn backoff(base_seconds: i32, attempts: i32, draw: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).clamp(0, 20);
    let seconds = i64::from(base_seconds.max(1)) << doublings;
    let pause = seconds.min(LONGEST_PAUSE.whole_seconds()) * 1000;
    let swing = pause / 5;
    let offset = i64::from(draw) * (2 * swing) / i64::from(u32::MAX) - swing;
    Duration::milliseconds(pause + offset)
}

/// The state of a certificate without an open request.
pub fn settled_status(certificate: &Certificate, after_failure: bool, now: Timestamp) -> CertificateStatus {
    if certificate.archived_at.is_some() {
        return CertificateStatus::Archived;
    }
    if certificate.revoked_at.is_some() {
        return CertificateStatus::Revoked;
    }
    match certificate.expires_at {
        None if after_failure => CertificateStatus::Failed,
        None => CertificateStatus::Pending,
        Some(end) if end <= now => CertificateStatus::Expired,
        Some(_) if certificate.next_renewal_at.is_some_and(|due| due <= now) => CertificateStatus::Expiring,
        Some(_) => CertificateStatus::Active,
    }
}

/// Ends an attempt of `job`, which the caller holds locked (and, of a request, its certificate before it). Another
/// attempt follows by the renewal policy's pauses, or the failure is final and the certificate leaves
/// `RenewalInProgress`.
pub async fn fail(
    tx: &mut (impl JobStore + CertificateStore + RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    mut job: Job,
    failure: &JobFailure,
    action: Action,
) -> Result<Job, DomainError> {
    let now = ambient.now();
    let certificate = tx
        .certificate(&job.certificate_id)
        .await?
        .ok_or_else(|| DomainError::not_found("certificate", &job.certificate_id))?;
    let retry_at = if failure.class.is_retryable() {
        let policy = tx.renewal_policy(&certificate.renewal_policy_id).await?.ok_or_else(|| DomainError::Internal {
            reason: format!("the renewal policy of certificate {} is missing", certificate.id),
        })?;
        let attempts = job.attempts.max(1);
        Some(now + backoff(policy.retry_interval_seconds, attempts, u32::from_be_bytes(ambient.octets())))
    } else {
        None
    };
    job.fail(&failure.reason, failure.class.as_str(), retry_at, now)?;
    save(tx, &job).await?;
    let details = json!({
        "certificate_id": job.certificate_id, "type": job.kind.as_str(), "target_id": job.target_id,
        "attempt": job.attempts, "max_attempts": job.max_attempts, "reason": failure.reason,
        "error_class": failure.class.as_str(), "final": !job.retryable,
        "retry_at": job.retryable.then(|| timestamp::to_rfc3339(job.scheduled_at)),
    });
    tx.record(AuditEvent::new(action, context, &job.id, details)).await?;
    if job.is_request() && job.is_terminal() {
        let status = settled_status(&certificate, true, now);
        tx.leave_renewal(&certificate.id, status, Some(now + LONGEST_PAUSE), now).await?;
    }
    Ok(job)
}

/// Writes a job that the caller holds locked.
pub(crate) async fn save(tx: &mut (impl JobStore + ?Sized), job: &Job) -> Result<(), DomainError> {
    if tx.save_job(job).await? { Ok(()) } else { Err(StoreError::Conflict.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use time::OffsetDateTime;

    fn now() -> Timestamp {
        OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
    }

    fn certificate() -> Certificate {
        Certificate {
            id: "mc-1".into(),
            tenant_id: certctl_kernel::DEFAULT_TENANT.into(),
            name: "web".into(),
            common_name: "web.example.com".into(),
            sans: vec![],
            environment: String::new(),
            owner_id: "owner-1".into(),
            team_id: "team-1".into(),
            issuer_id: "iss-local".into(),
            renewal_policy_id: "rp-default".into(),
            certificate_profile_id: None,
            status: CertificateStatus::RenewalInProgress,
            expires_at: None,
            next_renewal_at: None,
            tags: BTreeMap::new(),
            target_ids: vec![],
            current_version_id: None,
            last_renewal_at: None,
            last_deployment_at: None,
            revoked_at: None,
            revocation_reason: None,
            source: "API".into(),
            row_version: 1,
            created_at: now(),
            updated_at: now(),
            archived_at: None,
        }
    }

    #[test]
    fn a_certificate_without_a_request_has_the_state_of_its_dates() {
        let never = certificate();
        assert_eq!(settled_status(&never, true, now()), CertificateStatus::Failed);
        assert_eq!(settled_status(&never, false, now()), CertificateStatus::Pending);
        let valid = Certificate { expires_at: Some(now() + Duration::days(60)), ..certificate() };
        assert_eq!(settled_status(&valid, true, now()), CertificateStatus::Active);
        let due = Certificate { next_renewal_at: Some(now()), ..valid.clone() };
        assert_eq!(settled_status(&due, true, now()), CertificateStatus::Expiring);
        let ended = Certificate { expires_at: Some(now()), ..due.clone() };
        assert_eq!(settled_status(&ended, true, now()), CertificateStatus::Expired);
        let revoked = Certificate { revoked_at: Some(now()), ..due };
        assert_eq!(settled_status(&revoked, true, now()), CertificateStatus::Revoked);
    }

    #[test]
    fn reasons_are_readable_and_bounded() {
        let failure = JobFailure::new(&format!("\u{1b}[31m{}", "ü".repeat(5000)), ErrorClass::Transient);
        assert!(failure.reason.len() <= LONGEST_REASON && failure.reason.starts_with("[31m"));
        assert_eq!(JobFailure::new(" \0 ", ErrorClass::Transient).reason, "failed without a reason");
    }

    #[test]
    fn pauses_double_up_to_six_hours() {
        let middle = u32::MAX / 2;
        let minutes = |attempts| backoff(600, attempts, middle).whole_minutes();
        assert_eq!([minutes(1), minutes(2), minutes(3)].map(|m| (m + 5) / 10), [1, 2, 4]);
        assert!((LONGEST_PAUSE - backoff(600, 30, middle)).whole_seconds().abs() <= 1);
    }

    proptest! {
        #[test]
        fn every_pause_lies_within_a_fifth_of_its_step(base in 60..=86_400_i32, attempts in 1..12_i32, draw: u32) {
            let step = (i64::from(base) << (attempts - 1)).min(LONGEST_PAUSE.whole_seconds());
            let pause = backoff(base, attempts, draw).whole_milliseconds();
            prop_assert!(pause >= i128::from(step) * 800 && pause <= i128::from(step) * 1200);
        }
    }
}
