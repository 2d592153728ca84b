//! `DELETE /api/v1/auth/users/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use certctl_user::{SELF_DEACTIVATE, deactivate_user, self_deactivation};

/// Shuts a person out: no sign-in is let in, every session ends, and keys of the person are switched off. The row
/// stays: it is what the person is recognised and refused by.
#[utoipa::path(
    delete, path = "/api/v1/auth/users/{id}", tag = "auth",
    params(("id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 204, description = "The person is shut out, now or before."),
        (status = 409, body = crate::edge::ErrorBody, description = "It is the caller, or the last administrator."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let response = cx
        .change(&BodyDigest::default(), async |tx| {
            deactivate_user(tx, cx.ambient(), caller, &id).await?;
            Ok(Reply::<()>::no_content())
        })
        .await;
    if response.as_ref().is_err_and(|error| error.code == SELF_DEACTIVATE) {
        let mut unit = cx.state().db.begin().await?;
        unit.stores().record(self_deactivation(&caller.context, &id)).await?;
        unit.save().await?;
    }
    response
}
