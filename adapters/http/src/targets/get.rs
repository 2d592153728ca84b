//! `GET /api/v1/targets/{id}`

use super::TargetBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One target, in service or not.
#[utoipa::path(
    get, path = "/api/v1/targets/{id}", tag = "targets",
    params(("id" = String, Path, description = "Id of the target.")),
    responses((status = 200, body = TargetBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_deployment::get_target(tx, caller, &id).await?)).await?;
    // A test is shown too, and is no update.
    let shown_at = found.last_tested_at.map_or(found.updated_at, |at| at.max(found.updated_at));
    let version = found.row_version;
    cx.object(&Reply::ok(TargetBody::from(found)).version(shown_at, version))
}
