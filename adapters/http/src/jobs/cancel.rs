//! `POST /api/v1/jobs/{id}/cancel`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// The job is called off.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobCancelled {
    /// Always `job_cancelled`.
    status: &'static str,
}

/// Calls a job off that has not ended, and the approval request that it waits for; a body is ignored.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "Id of the job.")),
    responses((status = 200, body = JobCancelled)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_approval::cancel_job(tx, cx.ambient(), caller, &id).await?;
        Ok(Reply::ok(JobCancelled { status: "job_cancelled" }))
    })
    .await
}
