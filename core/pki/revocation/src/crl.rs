//! Making and publishing CRLs.

use crate::{CrlEvent, PublishedCrl, StatusStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, Timestamp};
use certctl_port_issuer::{CrlContent, StatusAuthority};
use certctl_ports::Ambient;
use certctl_x509::crl::CrlEntry;
use serde_json::json;
use time::Duration;

/// How status objects are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusSettings {
    /// From a CRL's thisUpdate to its nextUpdate.
    pub crl_validity: Duration,
    /// From an OCSP answer's thisUpdate to its nextUpdate.
    pub ocsp_validity: Duration,
    /// How far thisUpdate lies in the past, for clients whose clock is behind.
    pub backdate: Duration,
    /// Lifetime of a responder's certificate.
    pub responder_validity: Duration,
    /// How long before its end a responder is replaced, at the latest.
    pub responder_grace: Duration,
}

impl Default for StatusSettings {
    fn default() -> Self {
        Self {
            crl_validity: Duration::hours(24),
            ocsp_validity: Duration::hours(12),
            backdate: Duration::seconds(60),
            responder_validity: Duration::hours(720),
            responder_grace: Duration::hours(168),
        }
    }
}

/// Whether a new CRL is wanted though the published one still serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Shows every revocation and is within its time.
    Serving,
    /// And is in the first half of its time.
    FirstHalf,
    /// A new one in any case.
    New,
}

impl Freshness {
    fn satisfied_by(self, crl: &PublishedCrl, now: Timestamp) -> bool {
        match self {
            Self::Serving => now < crl.next_update,
            Self::FirstHalf => now < crl.this_update + (crl.next_update - crl.this_update) / 2,
            Self::New => false,
        }
    }
}

/// The published CRL, when it shows every committed revocation and is fresh enough; reads only.
pub async fn published_crl(
    tx: &mut (impl StatusStore + ?Sized),
    ca_id: &str,
    now: Timestamp,
    freshness: Freshness,
) -> Result<Option<PublishedCrl>, DomainError> {
    let state = tx.crl(ca_id).await?;
    Ok(state.filter(|state| !state.dirty && freshness.satisfied_by(&state.crl, now)).map(|state| state.crl))
}

/// Makes and publishes the next CRL of a CA, unless another replica did so while this one waited for its turn; the
/// flag tells whether anything was written, and so whether the transaction has an audit event.
pub async fn publish_crl(
    tx: &mut (impl StatusStore + AuditLog + ?Sized),
    authority: &dyn StatusAuthority,
    ambient: &Ambient,
    settings: &StatusSettings,
    freshness: Freshness,
) -> Result<(PublishedCrl, bool), DomainError> {
    let ca = authority.ca().clone();
    tx.lock_status(&ca.id).await?;
    let started_at = ambient.now();
    if let Some(crl) = published_crl(tx, &ca.id, started_at, freshness).await? {
        return Ok((crl, false));
    }
    // First the counters, then the lines: a revocation that commits in between raises the revision above `built_from`.
    let counters = tx.crl_counters(&ca.id).await?;
    let lines = tx.crl_lines(&ca.id, counters.last_this_update).await?;
    // Backdated, but never before what the list tells of (RFC 5280 §5.1.2.6), and never in the future: another
    // replica's clock may be ahead.
    let newest = lines.iter().map(|line| line.revoked_at).max();
    let this_update = newest.unwrap_or(ca.not_before).max(started_at - settings.backdate).max(ca.not_before);
    let this_update = this_update.min(started_at).replace_nanosecond(0).unwrap_or(started_at);
    let next_update = (this_update + settings.crl_validity).min(ca.not_after);
    if next_update <= started_at {
        return Err(DomainError::conflict(
            "issuer_expired",
            format!("CA {} has expired; it signs no more CRLs", ca.id),
        ));
    }
    let number = (counters.last_number + 1).max(started_at.unix_timestamp());
    let mut entries = Vec::with_capacity(lines.len());
    for line in &lines {
        let serial = certctl_x509::Serial::parse(&line.serial_number)
            .map_err(|error| DomainError::Internal { reason: format!("{}: {error}", line.serial_number) })?;
        entries.push(CrlEntry {
            serial,
            revoked_at: line.revoked_at.min(this_update),
            reason: line.reason.code(),
            invalidity_date: line.invalidity_date,
        });
    }
    let content = CrlContent { number: u64::try_from(number).unwrap_or(0), this_update, next_update, entries };
    let der = authority.sign_crl(content).await?;
    let generated_at = ambient.now();
    let crl = PublishedCrl {
        ca_id: ca.id.clone(),
        issuer_id: ca.issuer_id.clone(),
        der,
        number,
        this_update,
        next_update,
        generated_at,
        duration_ms: milliseconds(generated_at - started_at),
        revoked_count: i32::try_from(lines.len()).unwrap_or(i32::MAX),
        built_from: counters.revision,
    };
    tx.publish_crl(&crl, started_at).await?;
    let details = json!({
        "issuer_id": ca.issuer_id,
        "crl_number": number,
        "revoked_count": crl.revoked_count,
        "next_update": certctl_kernel::timestamp::to_rfc3339(next_update),
    });
    tx.record(AuditEvent::new(Action::CrlPublished, &RequestContext::system("crl"), &ca.id, details)).await?;
    Ok((crl, true))
}

/// Remembers that a CRL could not be made; run it in a transaction of its own.
pub async fn record_crl_failure(
    tx: &mut (impl StatusStore + ?Sized),
    authority: &dyn StatusAuthority,
    ambient: &Ambient,
    error: &DomainError,
) -> Result<(), DomainError> {
    let ca = authority.ca();
    let event = CrlEvent {
        started_at: ambient.now(),
        duration_ms: 0,
        succeeded: false,
        crl_number: 0,
        revoked_count: 0,
        error: Some(error.to_string()),
    };
    Ok(tx.record_crl_failure(&ca.issuer_id, &ca.id, &event).await?)
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.whole_milliseconds().max(0)).unwrap_or(i32::MAX)
}
