//! `GET /api/v1/jobs/{id}/verification`

use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use certctl_jobs::Job;
use certctl_kernel::{Timestamp, timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// What the target was last seen to serve.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerificationResult {
    job_id: String,
    target_id: String,
    /// Empty before a report.
    expected_fingerprint: String,
    /// Empty before a report, and when the target could not be asked.
    actual_fingerprint: String,
    verified: bool,
    /// `0001-01-01T00:00:00Z` before a report.
    #[serde(serialize_with = "timestamp::or_unset::serialize")]
    #[schema(value_type = String, format = DateTime)]
    verified_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    error: Option<String>,
}

impl From<Job> for VerificationResult {
    fn from(job: Job) -> Self {
        let target_id = job.target_id.unwrap_or_default();
        match job.verification {
            Some(seen) => Self {
                job_id: job.id,
                target_id,
                expected_fingerprint: seen.expected_fingerprint,
                actual_fingerprint: seen.actual_fingerprint,
                verified: seen.success,
                verified_at: Some(seen.at),
                error: seen.error,
            },
            None => Self {
                job_id: job.id,
                target_id,
                expected_fingerprint: String::new(),
                actual_fingerprint: String::new(),
                verified: false,
                verified_at: None,
                error: None,
            },
        }
    }
}

/// What the target of a deployment was last seen to serve.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/verification", tag = "jobs",
    params(("id" = String, Path, description = "Id of the job.")),
    responses((status = 200, body = VerificationResult)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let job = cx.read(async |tx| Ok(certctl_jobs::verification(tx, caller, &id).await?)).await?;
    cx.object(&Reply::ok(VerificationResult::from(job)))
}
