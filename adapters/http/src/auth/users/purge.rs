//! `POST /api/v1/auth/users/{id}/purge`

use super::NoInput;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;

/// Removes the personal data of a person who was shut out, without waiting for the retention. It can't be undone, and
/// the person stays shut out.
#[utoipa::path(
    post, path = "/api/v1/auth/users/{id}/purge", tag = "auth", request_body = NoInput,
    params(("id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 204, description = "The data is gone."),
        (status = 409, body = crate::edge::ErrorBody, description = "The person is not shut out."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<NoInput>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    cx.change(&body.digest, async |tx| {
        certctl_user::purge_user(tx, cx.ambient(), caller, &id).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
