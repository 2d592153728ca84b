//! `GET /api/v1/profiles/{id}`

use super::ProfileBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One profile.
#[utoipa::path(
    get, path = "/api/v1/profiles/{id}", tag = "profiles",
    params(("id" = String, Path, description = "Id of the profile.")),
    responses((status = 200, body = ProfileBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_profile::get_profile(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(ProfileBody::from(found)).version(updated_at, version))
}
