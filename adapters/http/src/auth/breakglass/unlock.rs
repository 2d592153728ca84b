//! `POST /api/v1/auth/breakglass/credentials/{actor_id}/unlock`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;

/// Forgets the failures and the lock of a credential.
#[utoipa::path(
    post, path = "/api/v1/auth/breakglass/credentials/{actor_id}/unlock", tag = "auth",
    params(("actor_id" = String, Path, description = "Whose credential.")),
    responses(
        (status = 204, description = "It is not locked."),
        (status = 404, description = "No such credential, or the emergency way in is switched off.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let actor_id = cx.path("actor_id")?;
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_breakglass::unlock(tx, caller, &actor_id).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
