//! `GET /api/v1/auth/oidc/providers/{id}`

use super::ProviderBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One provider.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/providers/{id}", tag = "auth",
    params(("id" = String, Path, description = "Id of the provider.")),
    responses((status = 200, body = ProviderBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_oidc::get_provider(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(ProviderBody::from(found)).version(updated_at, version))
}
