//! `GET /api/v1/teams/{id}`

use super::TeamBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One team.
#[utoipa::path(
    get, path = "/api/v1/teams/{id}", tag = "teams",
    params(("id" = String, Path, description = "Id of the team.")),
    responses((status = 200, body = TeamBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_inventory::get_team(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(TeamBody::from(found)).version(updated_at, version))
}
