//! `POST /api/v1/auth/breakglass/webauthn/registrations`

use super::CeremonyBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use certctl_breakglass::Purpose;

/// Begins to register a security key of the caller, who must be signed in as a person with an emergency credential.
#[utoipa::path(
    post, path = "/api/v1/auth/breakglass/webauthn/registrations", tag = "auth",
    responses(
        (status = 201, body = CeremonyBody),
        (status = 404, description = "The caller has no emergency credential, or the emergency way in is switched off.", body = crate::edge::ErrorBody),
        (status = 409, description = "The external URL does not allow security keys, or there are ten already.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let webauthn = cx.state().breakglass()?.webauthn()?;
    let actor_id = &caller.context.actor.id;
    let mut unit = cx.state().db.begin().await?;
    let begun = async {
        let tx = unit.stores();
        let known = certctl_breakglass::registrant(tx, caller).await?;
        let ceremony = webauthn.begin_registration(actor_id, actor_id, &known);
        let ceremony = ceremony.map_err(|error| ApiError::internal(&error.to_string()))?;
        let kept =
            certctl_breakglass::keep_challenge(tx, cx.ambient(), actor_id, Purpose::Register, ceremony.state).await?;
        Ok::<_, ApiError>(CeremonyBody { challenge_id: kept.id, options: ceremony.options })
    };
    let body = begun.await?;
    unit.save_unaudited("a challenge changes nothing until it is answered").await?;
    cx.object(&Reply::created(body))
}
