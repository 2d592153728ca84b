//! Revoking many certificates by what they have in common.
//!
//! A plan names the whole set from one snapshot; it is worked off in chunks, each in a transaction of its own. Whatever
//! stops in between, the same request goes on where it stopped: what was revoked is skipped.

use crate::{BulkStore, LiveVersion, Revocation, RevocationReason, StatusStore};
use certctl_approval::ApprovalStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::CaStore;
use certctl_kernel::{DomainError, IdKind, Timestamp};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{Caller, Permission, Scope};
use certctl_x509::{HashAlgorithm, serial, sha256_hex};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Certificates in one transaction.
const CHUNK: usize = 500;

/// What the certificates have in common; all that are set must hold, and one at least must be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Criteria {
    /// These.
    pub certificate_ids: Option<Vec<String>>,
    /// Of this profile.
    pub profile_id: Option<String>,
    /// Of this owner.
    pub owner_id: Option<String>,
    /// Deployed by this agent.
    pub agent_id: Option<String>,
    /// Signed by this issuer.
    pub issuer_id: Option<String>,
    /// Of this team.
    pub team_id: Option<String>,
    /// With a version of one of these serials, in canonical hex.
    pub serials: Option<Vec<String>>,
    /// With a common name that ends so, such as `.example.com`; lower case.
    pub common_name_suffix: Option<String>,
    /// With a version that carries this key.
    pub spki_sha256: Option<String>,
    /// That came this way, one of [`certctl_inventory::sources`].
    pub source: Option<String>,
    /// Created strictly after.
    pub created_after: Option<Timestamp>,
    /// Created strictly before.
    pub created_before: Option<Timestamp>,
    /// Only those of these issuers and profiles; what the caller may do is set by [`plan_bulk_revocation`].
    pub within: Option<Vec<Scope>>,
}

impl Criteria {
    /// The criteria that are set, by their names on the wire.
    pub fn describe(&self) -> BTreeMap<&'static str, Value> {
        let join = |list: &Option<Vec<String>>| list.as_ref().map(|list| json!(list.join(",")));
        let text = |value: &Option<String>| value.as_ref().map(|value| json!(value));
        let time = |at: Option<Timestamp>| at.map(|at| json!(certctl_kernel::timestamp::to_rfc3339(at)));
        [
            ("certificate_ids", join(&self.certificate_ids)),
            ("profile_id", text(&self.profile_id)),
            ("owner_id", text(&self.owner_id)),
            ("agent_id", text(&self.agent_id)),
            ("issuer_id", text(&self.issuer_id)),
            ("team_id", text(&self.team_id)),
            ("serials", join(&self.serials)),
            ("common_name_suffix", text(&self.common_name_suffix)),
            ("spki_sha256", text(&self.spki_sha256)),
            ("created_after", time(self.created_after)),
            ("created_before", time(self.created_before)),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }
}

/// An order to revoke many.
#[derive(Debug, Clone)]
pub struct BulkRevoke {
    /// Which; `source` alone is no criterion.
    pub criteria: Criteria,
    /// Why.
    pub reason: RevocationReason,
    /// Free text for the record.
    pub comment: Option<String>,
    /// Refuses unless this many match.
    pub expected_count: Option<u64>,
    /// Refuses unless the set is still the one of this plan.
    pub plan_hash: Option<String>,
    /// Refuses when more match.
    pub max_count: Option<u64>,
    /// Whether the order came by the route for EST certificates.
    pub est: bool,
}

/// A certificate that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// Whether it has something to revoke: neither archived nor revoked, with a version that has not expired.
    pub revocable: bool,
}

/// The whole set as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPlan {
    revocable: Vec<String>,
    /// How many match.
    pub matched: u64,
    /// How many of them have nothing to revoke.
    pub skipped: u64,
    /// Ids that were asked for and are not there, or not the caller's to revoke.
    pub unknown: Vec<String>,
    /// SHA-256 over reason and set, hex.
    pub hash: String,
}

impl BulkPlan {
    /// How many are to be revoked.
    pub fn count(&self) -> u64 {
        self.revocable.len() as u64
    }

    /// The parts that are worked off one after the other.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> {
        self.revocable.chunks(CHUNK).map(Chunk)
    }
}

/// Some certificates of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a>(&'a [String]);

impl<'a> Chunk<'a> {
    /// The certificates.
    pub const fn ids(&self) -> &'a [String] {
        self.0
    }

    /// One by one, for when the whole fails.
    pub fn singles(&self) -> impl Iterator<Item = Chunk<'a>> {
        self.0.chunks(1).map(Chunk)
    }
}

/// What became of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkOutcome {
    /// How many were revoked; the others were revoked or archived since the plan was made.
    pub revoked: u64,
    /// Changes to drop from this replica's caches as soon as the transaction has committed.
    pub changes: Vec<Change>,
}

/// Names the set. Needs `cert.bulk_revoke`; a caller who holds it for some issuers or profiles revokes theirs only.
///
/// Fails with a validation error without criterion, and a conflict when one of the guards does not hold.
pub async fn plan_bulk_revocation(
    tx: &mut (impl BulkStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    order: &mut BulkRevoke,
) -> Result<BulkPlan, DomainError> {
    order.criteria.within = caller.within(Permission::CertBulkRevoke)?;
    check(caller, order)?;
    let candidates = tx.revocation_candidates(&order.criteria, ambient.now()).await?;
    let matched = candidates.len() as u64;
    let known: BTreeSet<&str> = candidates.iter().map(|candidate| candidate.id.as_str()).collect();
    let asked = order.criteria.certificate_ids.iter().flatten();
    let unknown: BTreeSet<String> = asked.filter(|id| !known.contains(id.as_str())).cloned().collect();
    let revocable: Vec<String> = candidates.into_iter().filter(|c| c.revocable).map(|c| c.id).collect();
    let mut text = format!("{}\n", order.reason.as_str());
    for id in &revocable {
        text.push_str(id);
        text.push('\n');
    }
    let plan = BulkPlan {
        matched,
        skipped: matched - revocable.len() as u64,
        unknown: unknown.into_iter().collect(),
        hash: sha256_hex(text.as_bytes()),
        revocable,
    };
    guard(order, &plan)?;
    Ok(plan)
}

fn check(caller: &Caller, order: &mut BulkRevoke) -> Result<(), DomainError> {
    if order.criteria.describe().is_empty() {
        return Err(DomainError::invalid(
            "criteria",
            "required",
            "name one criterion at least: certificate_ids, profile_id, owner_id, agent_id, issuer_id, team_id, serials, \
             common_name_suffix, spki_sha256, created_after or created_before",
        ));
    }
    if order.reason == RevocationReason::CaCompromise && !caller.is_admin() {
        return Err(DomainError::invalid("reason", "admin_only", "only an administrator may record caCompromise"));
    }
    if let Some(serials) = &mut order.criteria.serials {
        for text in serials {
            *text = serial::canonical(text)
                .map_err(|error| DomainError::invalid("serials", "invalid", error.to_string()))?;
        }
    }
    if let Some(suffix) = &mut order.criteria.common_name_suffix {
        *suffix = suffix.to_ascii_lowercase();
    }
    if let Some(key) = &order.criteria.spki_sha256
        && (key.len() != 2 * HashAlgorithm::Sha256.digest(b"").len() || !key.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(DomainError::invalid("spki_sha256", "invalid", "must be a SHA-256 in 64 hex digits"));
    }
    if order.comment.as_ref().is_some_and(|text| text.len() > 4096) {
        return Err(DomainError::invalid("comment", "too_long", "must have at most 4096 bytes"));
    }
    Ok(())
}

fn guard(order: &BulkRevoke, plan: &BulkPlan) -> Result<(), DomainError> {
    if order.expected_count.is_some_and(|expected| expected != plan.matched) {
        let message = format!("{} certificates match, not the number expected; nothing was revoked", plan.matched);
        return Err(DomainError::conflict("count_changed", message));
    }
    if order.plan_hash.as_ref().is_some_and(|hash| *hash != plan.hash) {
        let message = "the set is not the one of the plan any more; nothing was revoked. Make a new plan with dry_run";
        return Err(DomainError::conflict("plan_changed", message));
    }
    if order.max_count.is_some_and(|most| plan.count() > most) {
        let message =
            format!("{} certificates would be revoked, more than max_count; nothing was revoked", plan.count());
        return Err(DomainError::conflict("too_many", message));
    }
    Ok(())
}

/// Revokes the certificates of a chunk with everything that follows; the transaction is the caller's to save, when
/// anything was revoked.
pub async fn revoke_chunk(
    tx: &mut (impl BulkStore + CaStore + StatusStore + ApprovalStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    order: &BulkRevoke,
    chunk: Chunk<'_>,
) -> Result<ChunkOutcome, DomainError> {
    // First the locks, then the versions: what is issued meanwhile is seen.
    let certificates = tx.lock_revocable(chunk.ids()).await?;
    let now = ambient.now();
    let ids: Vec<String> = certificates.iter().map(|certificate| certificate.id.clone()).collect();
    let versions = tx.live_versions(&ids, now).await?;
    let mut by_certificate: BTreeMap<&str, Vec<&LiveVersion>> = BTreeMap::new();
    for version in &versions {
        by_certificate.entry(&version.certificate_id).or_default().push(version);
    }
    let ids: Vec<String> = ids.into_iter().filter(|id| by_certificate.contains_key(id.as_str())).collect();
    if ids.is_empty() {
        return Ok(ChunkOutcome::default());
    }
    let rows: Vec<Revocation> = versions.iter().map(|version| row(version, order, caller, ambient, now)).collect();
    tx.insert_revocations(&rows, now).await?;
    tx.mark_all_revoked(&ids, now, order.reason.as_str()).await?;
    let why = "the certificate was revoked";
    tx.cancel_jobs_of(&ids, why, now).await?;
    for id in tx.with_pending_approval(&ids).await? {
        certctl_approval::call_off(tx, ambient, &caller.context, &id, why).await?;
    }
    if order.reason == RevocationReason::KeyCompromise {
        let keys: BTreeSet<&str> = versions.iter().map(|version| version.spki_sha256.as_str()).collect();
        for key in keys {
            tx.block_key(key, order.reason.as_str(), &caller.context.actor.id, now).await?;
        }
    }
    let changes: Vec<Change> = rows
        .iter()
        .map(|row| {
            let ca = row.ca_id.clone().unwrap_or_else(|| row.issuer_id.clone());
            Change::Revocation(ca, row.serial_number.clone())
        })
        .collect();
    tx.announce_all(changes.clone()).await?;
    let events = certificates.iter().filter_map(|certificate| {
        let serials: Vec<&str> =
            by_certificate.get(certificate.id.as_str())?.iter().map(|version| version.serial_number.as_str()).collect();
        let details = json!({
            "common_name": certificate.common_name,
            "serial": serials.first(),
            "serials": serials,
            "reason": order.reason.as_str(),
            "comment": order.comment,
            "status": [certificate.status, "Revoked"],
            "bulk": true,
        });
        Some(AuditEvent::new(Action::CertificateRevoked, &caller.context, &certificate.id, details))
    });
    tx.record_all(events.collect()).await?;
    Ok(ChunkOutcome { revoked: ids.len() as u64, changes })
}

fn row(version: &LiveVersion, order: &BulkRevoke, caller: &Caller, ambient: &Ambient, now: Timestamp) -> Revocation {
    Revocation {
        id: ambient.id(IdKind::Revocation),
        certificate_id: version.certificate_id.clone(),
        version_id: version.id.clone(),
        issuer_id: version.issuer_id.clone(),
        ca_id: version.ca_id.clone(),
        serial_number: version.serial_number.clone(),
        reason: order.reason,
        revoked_by: caller.context.actor.id.clone(),
        revoked_at: now,
        invalidity_date: None,
        comment: order.comment.clone().unwrap_or_default(),
        not_after: version.not_after,
        revocation_exempt: version.revocation_exempt,
    }
}

/// Figures of a bulk revocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkTotals {
    /// Certificates that match.
    pub matched: u64,
    /// Revoked.
    pub revoked: u64,
    /// Had nothing to revoke.
    pub skipped: u64,
    /// Unknown, or failed.
    pub failed: u64,
}

/// Records the whole operation, after its parts.
pub async fn record_bulk_revocation(
    tx: &mut (impl AuditLog + ?Sized),
    caller: &Caller,
    order: &BulkRevoke,
    totals: BulkTotals,
) -> Result<(), DomainError> {
    let mut details = json!(order.criteria.describe());
    details["reason"] = json!(order.reason.as_str());
    details["total_matched"] = json!(totals.matched);
    details["total_revoked"] = json!(totals.revoked);
    details["total_skipped"] = json!(totals.skipped);
    details["total_failed"] = json!(totals.failed);
    let action = if order.est { Action::EstBulkRevoke } else { Action::BulkRevocationInitiated };
    Ok(tx.record(AuditEvent::new(action, &caller.context, "bulk", details)).await?)
}
