//! `GET /api/v1/admin/crl/cache`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use certctl_revocation::{CrlEvent, CrlOverview};
use serde::Serialize;
use utoipa::ToSchema;

/// An attempt at making a CRL.
#[derive(Serialize, ToSchema)]
pub(crate) struct CrlAttempt {
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    duration_ms: i32,
    succeeded: bool,
    crl_number: i64,
    revoked_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// The CRL of one issuer.
#[derive(Serialize, ToSchema)]
pub(crate) struct CrlCacheRow {
    issuer_id: String,
    cache_present: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    crl_number: Option<i64>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    this_update: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    next_update: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    generated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    generation_duration_ms: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked_count: Option<i32>,
    /// Missing, past its time, or older than a revocation.
    is_stale: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    recent_events: Vec<CrlAttempt>,
}

/// Every local issuer's CRL.
#[derive(Serialize, ToSchema)]
pub(crate) struct CrlCache {
    cache_rows: Vec<CrlCacheRow>,
    row_count: usize,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    generated_at: Timestamp,
}

impl From<CrlEvent> for CrlAttempt {
    fn from(event: CrlEvent) -> Self {
        Self {
            started_at: event.started_at,
            duration_ms: event.duration_ms,
            succeeded: event.succeeded,
            crl_number: event.crl_number,
            revoked_count: event.revoked_count,
            error: event.error,
        }
    }
}

impl CrlCacheRow {
    fn new(row: CrlOverview, now: Timestamp) -> Self {
        let is_stale = row.crl.as_ref().is_none_or(|state| state.dirty || state.crl.next_update <= now);
        let crl = row.crl.map(|state| state.crl);
        let crl = crl.as_ref();
        Self {
            issuer_id: row.issuer_id,
            cache_present: crl.is_some(),
            crl_number: crl.map(|crl| crl.number),
            this_update: crl.map(|crl| crl.this_update),
            next_update: crl.map(|crl| crl.next_update),
            generated_at: crl.map(|crl| crl.generated_at),
            generation_duration_ms: crl.map(|crl| crl.duration_ms),
            revoked_count: crl.map(|crl| crl.revoked_count),
            is_stale,
            recent_events: row.events.into_iter().map(Into::into).collect(),
        }
    }
}

/// The published CRLs of every local issuer, with the last attempts at making them.
#[utoipa::path(get, path = "/api/v1/admin/crl/cache", tag = "pki", responses((status = 200, body = CrlCache)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    cx.caller()?.require(Permission::CrlAdmin, &[])?;
    let now = cx.ambient().now();
    let rows = cx.read(async |tx| Ok(tx.crl_overview().await?)).await?;
    let cache_rows: Vec<_> = rows.into_iter().map(|row| CrlCacheRow::new(row, now)).collect();
    let body = CrlCache { row_count: cache_rows.len(), cache_rows, generated_at: now };
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(body))
}
