//! `GET /api/v1/auth/users/{id}`

use super::UserBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One person. Everybody may see themselves; others need `auth.user.read`.
#[utoipa::path(
    get, path = "/api/v1/auth/users/{id}", tag = "auth",
    params(("id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 200, body = UserBody),
        (status = 304, description = "Nothing changed."),
        (status = 403, body = crate::edge::ErrorBody, description = "Another person, without `auth.user.read`."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_user::get_user(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(UserBody::from(found)).version(updated_at, version))
}
