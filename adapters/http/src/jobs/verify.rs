//! `POST /api/v1/jobs/{id}/verify`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_jobs::VerificationReport;
use certctl_kernel::{Timestamp, timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What a target was seen to serve.
#[derive(Deserialize, ToSchema)]
pub(crate) struct VerificationInput {
    /// The target of the job.
    #[serde(default)]
    target_id: String,
    /// The leaf that should be served, SHA-256 hex.
    #[serde(default)]
    expected_fingerprint: String,
    /// The leaf that was served; empty when the target could not be asked.
    #[serde(default)]
    actual_fingerprint: String,
    /// The reporter's own view; what counts is what the fingerprints say.
    #[serde(default, rename = "verified")]
    #[schema(value_type = Option<bool>)]
    _verified: Option<Value>,
    /// Why the target could not be asked.
    #[serde(default)]
    error: Option<String>,
}

/// The verdict.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerificationVerdict {
    job_id: String,
    /// By comparison of the fingerprints.
    verified: bool,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    verified_at: Timestamp,
}

/// Reports what the target of a deployment was seen to serve.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/verify", tag = "jobs", request_body = VerificationInput,
    params(("id" = String, Path, description = "Id of the job.")),
    responses((status = 200, body = VerificationVerdict)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<VerificationInput>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let VerificationInput { target_id, expected_fingerprint, actual_fingerprint, error, .. } = body.value;
    let report = VerificationReport { target_id, expected_fingerprint, actual_fingerprint, error };
    cx.change(&body.digest, async |tx| {
        let seen = certctl_jobs::record_verification(tx, cx.ambient(), caller, &id, report).await?;
        Ok(Reply::ok(VerificationVerdict { job_id: seen.job_id, verified: seen.success, verified_at: seen.at }))
    })
    .await
}
