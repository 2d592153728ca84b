//! `POST /api/v1/auth/users/{id}/reactivate`

use super::NoInput;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;

/// Lets a person in again. Sessions and keys that ended stay ended.
#[utoipa::path(
    post, path = "/api/v1/auth/users/{id}/reactivate", tag = "auth", request_body = NoInput,
    params(("id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 204, description = "The person may sign in."),
        (status = 409, body = crate::edge::ErrorBody, description = "Personal data was removed: the account is over."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<NoInput>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    cx.change(&body.digest, async |tx| {
        certctl_user::reactivate_user(tx, cx.ambient(), caller, &id).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
