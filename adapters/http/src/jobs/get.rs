//! `GET /api/v1/jobs/{id}`

use super::JobBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One job.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "Id of the job.")),
    responses((status = 200, body = JobBody)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_jobs::get_job(tx, caller, &id).await?)).await?;
    cx.object(&Reply::ok(JobBody::from(found)))
}
