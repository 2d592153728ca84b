//! `POST /api/v1/audit/verify`

use super::RunBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_audit_log::{Mode, request_verification};
use serde::Deserialize;
use utoipa::ToSchema;

/// What to verify.
#[derive(Deserialize, ToSchema)]
#[schema(as = AuditVerifyInput)]
pub(crate) struct VerifyInput {
    /// `incremental` (from where the last sound verification ended; the default) or `full`.
    mode: Option<String>,
    /// A checkpoint kept elsewhere, which the log must continue.
    checkpoint: Option<String>,
}

/// Begins a verification, which runs in the background; `GET` shows its progress and result.
#[utoipa::path(
    post, path = "/api/v1/audit/verify", tag = "audit",
    request_body = VerifyInput,
    responses((status = 202, body = RunBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<VerifyInput>) -> Result<HttpResponse, ApiError> {
    let (caller, log) = (cx.caller()?, cx.state().log()?);
    let mode = match body.value.mode.as_deref() {
        None | Some("") => Mode::Incremental,
        Some(text) => Mode::parse(text)
            .ok_or_else(|| ApiError::invalid("mode", "unknown_value", "must be incremental or full"))?,
    };
    let checkpoint = body.value.checkpoint.filter(|note| !note.is_empty());
    cx.change(&body.digest, async |tx| {
        let run = request_verification(tx, cx.ambient(), caller, log, mode, checkpoint).await?;
        Ok(Reply::accepted(RunBody::from(run)))
    })
    .await
}
