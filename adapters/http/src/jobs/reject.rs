//! `POST /api/v1/jobs/{id}/reject`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why; may be left out.
#[derive(Deserialize, ToSchema)]
#[schema(as = JobRejection)]
pub(crate) struct Input {
    /// No control characters other than line breaks and tabs.
    #[serde(default)]
    #[schema(max_length = 2000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    reason: Option<String>,
}

/// The job is called off.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobRejected {
    /// Always `job_rejected`.
    status: &'static str,
}

/// Refuses the approval request of a job; the same as `POST /api/v1/approvals/{id}/reject`, with the same rules, and
/// superseded by it.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/reject", tag = "jobs", request_body = Input,
    params(("id" = String, Path, description = "Id of the job.")),
    responses(
        (status = 200, body = JobRejected),
        (status = 403, body = crate::edge::ErrorBody, description = "The caller may not decide this request."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let reason = body.value.reason;
    let reply = cx.change(&body.digest, async |tx| {
        certctl_approval::reject_job(tx, cx.ambient(), caller, &id, reason).await?;
        Ok(Reply::ok(JobRejected { status: "job_rejected" }))
    });
    Ok(super::superseded(reply.await?))
}
