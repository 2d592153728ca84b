//! `DELETE /api/v1/auth/api-keys/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;

/// Ends a key at once; with the last key of an actor go its roles.
#[utoipa::path(
    delete, path = "/api/v1/auth/api-keys/{id}", tag = "auth",
    params(("id" = String, Path, description = "Id of the key.")),
    responses((status = 204, description = "The key is no longer accepted.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let id = cx.path("id")?;
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_apikey::delete_key(tx, cx.ambient(), caller, &id).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
