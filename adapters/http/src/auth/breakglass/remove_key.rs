//! `DELETE /api/v1/auth/breakglass/credentials/{actor_id}/security-keys/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;

/// Removes a security key, such as a lost one, and ends the person's sessions.
#[utoipa::path(
    delete, path = "/api/v1/auth/breakglass/credentials/{actor_id}/security-keys/{id}", tag = "auth",
    params(
        ("actor_id" = String, Path, description = "Whose key."),
        ("id" = String, Path, description = "Id of the key."),
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "No such key, or the emergency way in is switched off.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let (actor_id, id) = (cx.path("actor_id")?, cx.path("id")?);
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_breakglass::remove_key(tx, cx.ambient(), caller, &actor_id, &id).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
