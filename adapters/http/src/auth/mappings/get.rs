//! `GET /api/v1/auth/oidc/group-mappings/{id}`

use super::{MappingBody, reply};
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One mapping.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/group-mappings/{id}", tag = "auth",
    params(("id" = String, Path, description = "Id of the mapping.")),
    responses((status = 200, body = MappingBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_oidc::get_mapping(tx, caller, &id).await?)).await?;
    cx.object(&reply(found, Reply::ok))
}
