//! `GET /api/v1/issuers/{id}`

use super::IssuerBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One issuer.
#[utoipa::path(
    get, path = "/api/v1/issuers/{id}", tag = "issuers",
    params(("id" = String, Path, description = "Id of the issuer.")),
    responses((status = 200, body = IssuerBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_inventory::get_issuer(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(IssuerBody::from(found)).version(updated_at, version))
}
