//! `GET /api/v1/audit/verify`

use super::RunBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use certctl_kernel::{Timestamp, timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// How the log stands.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditLogStatus)]
pub(crate) struct StatusBody {
    /// The log's name, its own for ever.
    origin: String,
    /// The key that signs its heads now (C2SP signed-note).
    verifier_key: String,
    /// Events in the log.
    size: u64,
    /// Events that wait to be sealed.
    waiting: u64,
    /// How long the oldest of them has been waiting, in seconds.
    seal_lag_seconds: f64,
    /// Events under the latest signed head.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_size: Option<u64>,
    /// When it was signed.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    checkpoint_at: Option<Timestamp>,
    /// The latest verifications, newest first.
    verifications: Vec<RunBody>,
}

/// How the log stands, with the latest verifications and their progress.
#[utoipa::path(
    get, path = "/api/v1/audit/verify", tag = "audit",
    responses((status = 200, body = StatusBody)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (caller, log) = (cx.caller()?, cx.state().log()?);
    let status = cx.read(async |tx| Ok(certctl_audit_log::log_status(tx, cx.ambient(), caller).await?)).await?;
    cx.object(&Reply::ok(StatusBody {
        origin: log.key.origin().to_owned(),
        verifier_key: log.key.verifier().to_string(),
        size: status.size,
        waiting: status.waiting,
        seal_lag_seconds: status.lag.as_seconds_f64(),
        checkpoint_size: status.checkpoint.as_ref().map(|checkpoint| checkpoint.size),
        checkpoint_at: status.checkpoint.map(|checkpoint| checkpoint.signed_at),
        verifications: status.runs.into_iter().map(RunBody::from).collect(),
    }))
}
