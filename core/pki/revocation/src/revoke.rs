//! Revoking a managed certificate.

use crate::{Revocation, RevocationReason, StatusStore};
use certctl_approval::ApprovalStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::CaStore;
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore, CertificateVersion};
use certctl_jobs::JobStore;
use certctl_kernel::{DomainError, IdKind, StoreError, Timestamp};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{Caller, Permission, Scope};
use certctl_x509::serial;
use serde_json::json;
use std::collections::BTreeSet;

/// What to revoke, and why.
#[derive(Debug, Clone)]
pub struct Revoke {
    /// The managed certificate.
    pub certificate_id: String,
    /// Why.
    pub reason: RevocationReason,
    /// One serial; absent means every version that has not expired.
    pub serial: Option<String>,
    /// Since when the certificate is not to be trusted.
    pub invalidity_date: Option<Timestamp>,
    /// Free text for the record.
    pub comment: Option<String>,
    /// Whether the keys are barred from being certified again; by default they are when they are compromised.
    pub block_key: Option<bool>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// True when everything asked for had been revoked before for the same reason; nothing changed.
    pub already: bool,
    /// The serials that the request is about.
    pub serials: Vec<String>,
    /// Other certificates with the same, now compromised, key.
    pub same_key: Vec<String>,
    /// Changes to drop from this replica's caches as soon as the transaction has committed.
    pub changes: Vec<Change>,
}

struct Plan {
    fresh: Vec<CertificateVersion>,
    upgraded: Vec<Revocation>,
    repeated: Vec<Revocation>,
    kept: Vec<Revocation>,
}

/// Revokes: certificate row, revocation rows, jobs, blocked keys, announcements and audit event in one transaction.
///
/// Fails with not found (404), a conflict when the certificate was never issued, has nothing left to revoke, or is
/// revoked for another reason (409), and a validation error for an archived certificate (400).
pub async fn revoke(
    tx: &mut (impl CertificateStore + JobStore + CaStore + StatusStore + ApprovalStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    cmd: Revoke,
) -> Result<Revoked, DomainError> {
    let not_found = || DomainError::not_found("certificate", cmd.certificate_id.clone());
    let certificate = tx.certificate_for_update(&cmd.certificate_id).await?.ok_or_else(not_found)?;
    caller.require(Permission::CertRevoke, &scopes(&certificate))?;
    let now = ambient.now();
    check(&cmd, caller, &certificate, now)?;
    let serial = cmd.serial.as_deref().map(canonical).transpose()?;
    let plan = plan(tx, &cmd, &certificate, serial.as_deref(), now).await?;

    let mut serials: BTreeSet<String> = plan.fresh.iter().map(|version| version.serial_number.clone()).collect();
    let known = plan.upgraded.iter().chain(&plan.repeated).map(|revocation| revocation.serial_number.clone());
    serials.extend(known);
    let serials: Vec<String> = serials.into_iter().collect();
    if plan.fresh.is_empty() && plan.upgraded.is_empty() {
        return Ok(Revoked { already: true, serials, same_key: Vec::new(), changes: Vec::new() });
    }

    let fresh: Vec<Revocation> =
        plan.fresh.iter().map(|version| row(version, &cmd, caller, now, ambient.id(IdKind::Revocation))).collect();
    if !fresh.is_empty() {
        tx.insert_revocations(&fresh, now).await?;
    }
    let upgraded: Vec<String> = plan.upgraded.iter().map(|revocation| revocation.id.clone()).collect();
    if !upgraded.is_empty() {
        tx.change_revocation_reason(&upgraded, cmd.reason, now).await?;
    }

    let current = certificate.current_version_id.as_deref();
    let touches_current = |id: &str| Some(id) == current;
    let whole = serial.is_none()
        || fresh.iter().any(|revocation| touches_current(&revocation.version_id))
        || plan.upgraded.iter().any(|revocation| touches_current(&revocation.version_id));
    let mut cancelled = 0;
    if whole {
        let since = certificate.revoked_at.unwrap_or(now);
        tx.mark_revoked(&certificate.id, since, cmd.reason.as_str()).await?;
        let reason = "the certificate was revoked";
        cancelled = tx.cancel_open_jobs(&certificate.id, reason, now).await?;
        certctl_approval::call_off(tx, ambient, &caller.context, &certificate.id, reason).await?;
    }

    let same_key = if cmd.reason == RevocationReason::KeyCompromise {
        bar_keys(tx, &cmd, caller, &certificate, &plan, now).await?
    } else {
        Vec::new()
    };
    let mut changes = Vec::new();
    for revocation in fresh.iter().chain(&plan.upgraded) {
        let ca = revocation.ca_id.clone().unwrap_or_else(|| revocation.issuer_id.clone());
        let change = Change::Revocation(ca, revocation.serial_number.clone());
        tx.announce(change.clone()).await?;
        changes.push(change);
    }
    let details = json!({
        "common_name": certificate.common_name,
        "serial": serials.first(),
        "serials": serials,
        "reason": cmd.reason.as_str(),
        "upgraded_from": plan.upgraded.iter().map(|r| r.reason.as_str()).collect::<BTreeSet<_>>(),
        "invalidity_date": cmd.invalidity_date.map(certctl_kernel::timestamp::to_rfc3339),
        "comment": cmd.comment,
        "status": [certificate.status.as_str(), if whole { "Revoked" } else { certificate.status.as_str() }],
        "cancelled_jobs": cancelled,
    });
    tx.record(AuditEvent::new(Action::CertificateRevoked, &caller.context, &certificate.id, details)).await?;
    Ok(Revoked { already: false, serials, same_key, changes })
}

fn scopes(certificate: &Certificate) -> Vec<Scope> {
    let mut scopes = vec![Scope::Issuer(certificate.issuer_id.clone())];
    scopes.extend(certificate.certificate_profile_id.clone().map(Scope::Profile));
    scopes
}

fn canonical(text: &str) -> Result<String, DomainError> {
    serial::canonical(text).map_err(|error| DomainError::invalid("serial", "invalid", error.to_string()))
}

fn check(cmd: &Revoke, caller: &Caller, certificate: &Certificate, now: Timestamp) -> Result<(), DomainError> {
    if certificate.status == CertificateStatus::Archived {
        return Err(DomainError::invalid("id", "archived", "the certificate is archived and can't be revoked"));
    }
    if cmd.reason == RevocationReason::CaCompromise && !caller.is_admin() {
        return Err(DomainError::invalid(
            "reason",
            "admin_only",
            "caCompromise says that our CA is lost; only an administrator may record it",
        ));
    }
    if cmd.invalidity_date.is_some_and(|at| at > now) {
        return Err(DomainError::invalid("invalidity_date", "in_the_future", "must not lie in the future"));
    }
    if cmd.comment.as_ref().is_some_and(|text| text.len() > 4096) {
        return Err(DomainError::invalid("comment", "too_long", "must have at most 4096 bytes"));
    }
    if certificate.current_version_id.is_none() {
        return Err(DomainError::conflict(
            "never_issued",
            "the certificate was never issued; there is nothing to revoke",
        ));
    }
    Ok(())
}

async fn plan(
    tx: &mut (impl CertificateStore + StatusStore + ?Sized),
    cmd: &Revoke,
    certificate: &Certificate,
    serial: Option<&str>,
    now: Timestamp,
) -> Result<Plan, DomainError> {
    let wanted = |candidate: &str| serial.is_none_or(|serial| serial == candidate);
    let mut plan = Plan { fresh: Vec::new(), upgraded: Vec::new(), repeated: Vec::new(), kept: Vec::new() };
    let mut revoked = BTreeSet::new();
    for revocation in tx.revocations_of(&certificate.id).await? {
        revoked.insert(revocation.version_id.clone());
        if !wanted(&revocation.serial_number) {
            continue;
        }
        if revocation.reason == cmd.reason {
            plan.repeated.push(revocation);
        } else if cmd.reason == RevocationReason::KeyCompromise || is_final(cmd.reason, revocation.reason) {
            plan.upgraded.push(revocation);
        } else {
            plan.kept.push(revocation);
        }
    }
    let versions = tx.unexpired_versions(&certificate.id, now).await?;
    plan.fresh = versions
        .into_iter()
        .filter(|version| wanted(&version.serial_number) && !revoked.contains(&version.id))
        .collect();
    if plan.fresh.is_empty() && plan.upgraded.is_empty() {
        if let Some(kept) = plan.kept.first() {
            return Err(DomainError::conflict(
                "already_revoked",
                format!(
                    "already revoked for {}; only keyCompromise may replace a reason other than certificateHold",
                    kept.reason.as_str()
                ),
            ));
        }
        if plan.repeated.is_empty() {
            return Err(match serial {
                Some(serial) => DomainError::not_found("unexpired version with serial", serial),
                None => DomainError::conflict("expired", "every version has expired; there is nothing left to revoke"),
            });
        }
    }
    Ok(plan)
}

/// A hold may turn into any other revocation.
fn is_final(wanted: RevocationReason, stored: RevocationReason) -> bool {
    stored == RevocationReason::CertificateHold && wanted != RevocationReason::CertificateHold
}

fn row(version: &CertificateVersion, cmd: &Revoke, caller: &Caller, now: Timestamp, id: String) -> Revocation {
    Revocation {
        id,
        certificate_id: version.certificate_id.clone(),
        version_id: version.id.clone(),
        issuer_id: version.issuer_id.clone(),
        ca_id: version.ca_id.clone(),
        serial_number: version.serial_number.clone(),
        reason: cmd.reason,
        revoked_by: caller.context.actor.id.clone(),
        revoked_at: now,
        invalidity_date: cmd.invalidity_date,
        comment: cmd.comment.clone().unwrap_or_default(),
        not_after: version.not_after,
        revocation_exempt: version.revocation_exempt,
    }
}

async fn bar_keys(
    tx: &mut (impl CertificateStore + CaStore + StatusStore + ?Sized),
    cmd: &Revoke,
    caller: &Caller,
    certificate: &Certificate,
    plan: &Plan,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let mut keys: BTreeSet<String> = plan.fresh.iter().map(|version| version.spki_sha256.clone()).collect();
    for revocation in &plan.upgraded {
        if let Some(version) = tx.version(&revocation.version_id).await? {
            keys.insert(version.spki_sha256);
        }
    }
    if cmd.block_key != Some(false) {
        for key in &keys {
            tx.block_key(key, "keyCompromise", &caller.context.actor.id, now).await?;
        }
    }
    let keys: Vec<String> = keys.into_iter().collect();
    tx.certificates_with_keys(&keys, &certificate.id).await
}
