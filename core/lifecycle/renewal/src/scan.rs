//! The scheduler's look at the inventory. Each function works on a bounded batch and may run again at any time.

use crate::RenewalStore;
use crate::renew::{Order, order};
use certctl_approval::{ApprovalSettings, ApprovalStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::CertificateStore;
use certctl_jobs::{JobStore, JobType, Trigger};
use certctl_kernel::{DomainError, RequestContext, timestamp};
use certctl_ports::{Ambient, Announcer};
use serde_json::json;
use time::Duration;

/// Limits of the renewal scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanSettings {
    /// Certificates a run and kind of change.
    pub batch: i64,
}

impl Default for ScanSettings {
    fn default() -> Self {
        Self { batch: 100 }
    }
}

/// Gives certificates the state that their dates say, and orders a new leaf for those that are due. Returns how many it
/// touched; as many as the batch means that more may wait. Where a profile demands approval, the order waits for it.
pub async fn renewal_scan(
    tx: &mut (impl RenewalStore + CertificateStore + JobStore + ApprovalStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    approvals: &ApprovalSettings,
    settings: &ScanSettings,
) -> Result<i64, DomainError> {
    let context = RequestContext::system("scheduler:renewal-check");
    let now = ambient.now();
    let mut touched = 0;
    for change in tx.age_certificates(now, settings.batch).await? {
        let details = json!({
            "from": change.from.as_str(), "to": change.to.as_str(),
            "expires_at": timestamp::to_rfc3339(change.expires_at),
        });
        let event = AuditEvent::new(Action::CertificateExpiryStatus, &context, &change.certificate_id, details);
        tx.record(event).await?;
        touched += 1;
    }
    for due in tx.due_certificates(now, settings.batch).await? {
        let kind = if due.expires_at.is_none() { JobType::Issuance } else { JobType::Renewal };
        let ordered = order(
            tx,
            ambient,
            approvals,
            &context,
            Order {
                certificate_id: &due.certificate_id,
                status: due.status,
                kind,
                max_retries: due.max_retries,
                trigger: Trigger::Schedule,
                gated: due.gated,
            },
        )
        .await?;
        let details = json!({
            "certificate_id": due.certificate_id, "type": kind.as_str(),
            "due_at": timestamp::to_rfc3339(due.due_at),
            "days_until_expiry": due.expires_at.map(|end| (end - now).whole_days()),
            "approval_id": ordered.approval.as_ref().map(|approval| &approval.id),
        });
        tx.record(AuditEvent::new(Action::RenewalJobCreated, &context, &ordered.job.id, details)).await?;
        touched += 1;
    }
    Ok(touched)
}

/// How long housekeeping rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeSettings {
    /// Runs of scheduler loops.
    pub keep_runs: Duration,
}

impl Default for PurgeSettings {
    fn default() -> Self {
        Self { keep_runs: Duration::days(30) }
    }
}

/// Drops rows that only serve for a time: idempotency keys and the history of scheduler loops. Records no event: nothing
/// that anyone manages changes.
pub async fn purge(
    tx: &mut (impl RenewalStore + ?Sized),
    ambient: &Ambient,
    settings: &PurgeSettings,
) -> Result<i64, DomainError> {
    let now = ambient.now();
    Ok(tx.purge_housekeeping(now, now - settings.keep_runs).await?)
}
