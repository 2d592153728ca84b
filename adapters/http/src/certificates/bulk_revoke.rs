//! `POST /api/v1/certificates/bulk-revoke`

use crate::edge::{ApiError, Cx, JsonBody};
use actix_web::HttpResponse;
use certctl_kernel::{DomainError, Timestamp, timestamp};
use certctl_revocation::{
    BulkRevoke, BulkTotals, Chunk, ChunkOutcome, Criteria, RevocationReason, plan_bulk_revocation,
    record_bulk_revocation, revoke_chunk,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why, and which certificates: all criteria that are given must hold, and one at least must be given.
#[derive(Deserialize, ToSchema)]
#[schema(as = BulkRevocationInput)]
pub(crate) struct Input {
    /// `unspecified`, `keyCompromise`, `caCompromise`, `affiliationChanged`, `superseded`, `cessationOfOperation`,
    /// `certificateHold`, `privilegeWithdrawn` or `aaCompromise`, also in snake_case.
    reason: String,
    /// These certificates.
    #[serde(default)]
    certificate_ids: Option<Vec<String>>,
    /// Of this profile.
    #[serde(default)]
    profile_id: Option<String>,
    /// Of this owner.
    #[serde(default)]
    owner_id: Option<String>,
    /// Deployed by this agent.
    #[serde(default)]
    agent_id: Option<String>,
    /// Signed by this issuer.
    #[serde(default)]
    issuer_id: Option<String>,
    /// Of this team.
    #[serde(default)]
    team_id: Option<String>,
    /// With a version of one of these serial numbers, in hex.
    #[serde(default)]
    serials: Option<Vec<String>>,
    /// With a common name that ends so, such as `.example.com`.
    #[serde(default)]
    common_name_suffix: Option<String>,
    /// With a version that carries this key: SHA-256 of its `SubjectPublicKeyInfo`, hex.
    #[serde(default)]
    spki_sha256: Option<String>,
    /// `API`, `Agent`, `ACME`, `EST` or `SCEP`; no criterion by itself.
    #[serde(default)]
    source: Option<String>,
    /// Created strictly after.
    #[serde(default, with = "timestamp::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    created_after: Option<Timestamp>,
    /// Created strictly before.
    #[serde(default, with = "timestamp::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    created_before: Option<Timestamp>,
    /// Free text for the record.
    #[serde(default)]
    comment: Option<String>,
    /// Counts, and revokes nothing.
    #[serde(default)]
    dry_run: Option<bool>,
    /// Refuses (409 `count_changed`) unless this many match.
    #[serde(default)]
    #[schema(minimum = 0)]
    expected_count: Option<u64>,
    /// Refuses (409 `plan_changed`) unless the set is still the one that a dry run gave this hash for.
    #[serde(default)]
    plan_hash: Option<String>,
    /// Refuses (409 `too_many`) when more would be revoked.
    #[serde(default)]
    #[schema(minimum = 0)]
    max_count: Option<u64>,
}

/// A certificate that was not revoked.
#[derive(Serialize, ToSchema)]
pub(crate) struct BulkRevocationError {
    certificate_id: String,
    error: String,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct BulkRevocationResult {
    /// Certificates that meet the criteria.
    total_matched: u64,
    /// Revoked; in a dry run, that would be.
    total_revoked: u64,
    /// Revoked or archived before, or with nothing left to revoke.
    total_skipped: u64,
    /// Named and not found, or failed.
    total_failed: u64,
    /// Those that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<BulkRevocationError>,
    /// True when nothing was revoked because only the counts were asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
    /// Names the set, for the order that follows a dry run.
    plan_hash: String,
}

/// Revokes every certificate that meets the criteria, however many they are. The set is taken at one moment and worked
/// off in parts of 500, each in a transaction of its own: sent again after a failure in between, the same request goes on
/// where it stopped. `dry_run` counts first; `plan_hash`, `expected_count` and `max_count` hold the order to it.
#[utoipa::path(
    post, path = "/api/v1/certificates/bulk-revoke", tag = "certificates", request_body = Input,
    responses((status = 200, body = BulkRevocationResult)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let source = body.value.source.clone().filter(|source| !source.is_empty());
    run(&cx, body.value, source, false).await
}

fn order(input: Input, source: Option<String>, est: bool) -> Result<BulkRevoke, ApiError> {
    let reason = RevocationReason::parse(&input.reason).ok_or_else(|| {
        ApiError::invalid("reason", "unknown_value", format!("must be one of {}", RevocationReason::spellings()))
    })?;
    if let Some(source) = source.as_deref().filter(|source| !certctl_inventory::sources::ALL.contains(source)) {
        let message = format!("{source:?} is none of {}", certctl_inventory::sources::ALL.join(", "));
        return Err(ApiError::invalid("source", "unknown_value", message));
    }
    let text = |value: Option<String>| value.filter(|text| !text.is_empty());
    let list = |value: Option<Vec<String>>| value.filter(|list| !list.is_empty());
    Ok(BulkRevoke {
        criteria: Criteria {
            certificate_ids: list(input.certificate_ids),
            profile_id: text(input.profile_id),
            owner_id: text(input.owner_id),
            agent_id: text(input.agent_id),
            issuer_id: text(input.issuer_id),
            team_id: text(input.team_id),
            serials: list(input.serials),
            common_name_suffix: text(input.common_name_suffix),
            spki_sha256: text(input.spki_sha256),
            source,
            created_after: input.created_after,
            created_before: input.created_before,
            within: None,
        },
        reason,
        comment: input.comment,
        expected_count: input.expected_count,
        plan_hash: text(input.plan_hash),
        max_count: input.max_count,
        est,
    })
}

/// Plans, and works the plan off unless only the counts were asked for.
pub(super) async fn run(cx: &Cx, input: Input, source: Option<String>, est: bool) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let dry_run = input.dry_run.unwrap_or(false);
    let mut order = order(input, source, est)?;
    let plan = cx.read(async |tx| Ok(plan_bulk_revocation(tx, cx.ambient(), caller, &mut order).await?)).await?;
    let mut errors: Vec<BulkRevocationError> = plan
        .unknown
        .iter()
        .map(|id| BulkRevocationError { certificate_id: id.clone(), error: "there is no such certificate".to_owned() })
        .collect();
    let mut totals = BulkTotals { matched: plan.matched, skipped: plan.skipped, ..BulkTotals::default() };
    if dry_run {
        totals.revoked = plan.count();
    } else {
        for chunk in plan.chunks() {
            match work_off(cx, &order, chunk).await {
                Ok(revoked) => count(&mut totals, chunk, revoked),
                Err(error) if chunk.ids().len() == 1 => errors.push(failed(chunk, &error)),
                // One bad certificate must not keep the others.
                Err(_) => {
                    for single in chunk.singles() {
                        match work_off(cx, &order, single).await {
                            Ok(revoked) => count(&mut totals, single, revoked),
                            Err(error) => errors.push(failed(single, &error)),
                        }
                    }
                }
            }
        }
    }
    totals.failed = errors.len() as u64;
    if !dry_run {
        let mut unit = cx.state().db.begin().await?;
        record_bulk_revocation(unit.stores(), caller, &order, totals).await?;
        unit.save().await?;
    }
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(BulkRevocationResult {
        total_matched: totals.matched,
        total_revoked: totals.revoked,
        total_skipped: totals.skipped,
        total_failed: totals.failed,
        errors,
        dry_run,
        plan_hash: plan.hash,
    }))
}

fn count(totals: &mut BulkTotals, chunk: Chunk<'_>, revoked: u64) {
    totals.revoked += revoked;
    // Revoked or archived by someone else since the plan was made.
    totals.skipped += chunk.ids().len() as u64 - revoked;
}

fn failed(chunk: Chunk<'_>, error: &DomainError) -> BulkRevocationError {
    let certificate_id = chunk.ids().first().cloned().unwrap_or_default();
    tracing::error!(certificate_id, %error, "a certificate of a bulk revocation could not be revoked");
    BulkRevocationError { certificate_id, error: "it could not be revoked; try again".to_owned() }
}

async fn work_off(cx: &Cx, order: &BulkRevoke, chunk: Chunk<'_>) -> Result<u64, DomainError> {
    let caller = cx.caller().map_err(|_| DomainError::Internal { reason: "nobody asks".to_owned() })?;
    let status = cx.state().status().map_err(|error| DomainError::Internal { reason: error.to_string() })?;
    let mut unit = cx.state().db.begin().await?;
    match revoke_chunk(unit.stores(), cx.ambient(), caller, order, chunk).await {
        Ok(ChunkOutcome { revoked: 0, .. }) => {
            unit.discard().await?;
            Ok(0)
        }
        Ok(outcome) => {
            let saved = unit.save().await;
            // Also when the commit's answer was lost: it may have happened.
            outcome.changes.iter().for_each(|change| status.on_change(change));
            saved?;
            Ok(outcome.revoked)
        }
        Err(error) => {
            unit.discard().await?;
            Err(error)
        }
    }
}
