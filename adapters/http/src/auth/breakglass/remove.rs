//! `DELETE /api/v1/auth/breakglass/credentials/{actor_id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;

/// Removes a credential with its security keys, and ends the person's sessions. The person stays; the host's command
/// `certctl-server breakglass remove` ends an emergency account for good.
#[utoipa::path(
    delete, path = "/api/v1/auth/breakglass/credentials/{actor_id}", tag = "auth",
    params(("actor_id" = String, Path, description = "Whose credential.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "No such credential, or the emergency way in is switched off.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let actor_id = cx.path("actor_id")?;
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_breakglass::remove_credential(tx, cx.ambient(), caller, &actor_id).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
