//! `GET /api/v1/owners/{id}`

use super::OwnerBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One owner.
#[utoipa::path(
    get, path = "/api/v1/owners/{id}", tag = "owners",
    params(("id" = String, Path, description = "Id of the owner.")),
    responses((status = 200, body = OwnerBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_inventory::get_owner(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(OwnerBody::from(found)).version(updated_at, version))
}
