//! `POST /api/v1/jobs/{id}/approve`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// The job goes on.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobApproved {
    /// Always `job_approved`.
    status: &'static str,
}

/// Grants the approval request of a job; the same as `POST /api/v1/approvals/{id}/approve`, with the same rules, and
/// superseded by it. A body is ignored.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/approve", tag = "jobs",
    params(("id" = String, Path, description = "Id of the job.")),
    responses(
        (status = 200, body = JobApproved),
        (status = 403, body = crate::edge::ErrorBody, description = "The caller may not decide this request."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let settings = &cx.state().settings.approvals;
    let digest = BodyDigest::default();
    let reply = cx.change(&digest, async |tx| {
        certctl_approval::approve_job(tx, cx.ambient(), settings, caller, &id, None).await?;
        Ok(Reply::ok(JobApproved { status: "job_approved" }))
    });
    Ok(super::superseded(reply.await?))
}
