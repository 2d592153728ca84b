//! `DELETE /api/v1/auth/sessions/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;

/// Ends a session at once, on every replica. An own one needs no permission, another's `auth.session.revoke`.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{id}", tag = "auth",
    params(("id" = String, Path, description = "Id of the session.")),
    responses((status = 204, description = "The session has ended.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let id = cx.path("id")?;
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_session::revoke_session(tx, cx.ambient(), caller, &id).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
