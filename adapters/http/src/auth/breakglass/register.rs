//! `POST /api/v1/auth/breakglass/webauthn/keys`

use super::SecurityKeyBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_breakglass::Purpose;
use serde::Deserialize;
use utoipa::ToSchema;

/// What the browser made of the options.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RegistrationInput {
    /// As it came with the options.
    challenge_id: String,
    /// What to call the key.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// The `PublicKeyCredential`, with octets as base64url.
    #[schema(value_type = Object)]
    credential: serde_json::Value,
}

/// Registers a security key of the caller. From then on the password alone lets nobody in.
#[utoipa::path(
    post, path = "/api/v1/auth/breakglass/webauthn/keys", tag = "auth", request_body = RegistrationInput,
    responses(
        (status = 201, body = SecurityKeyBody),
        (status = 404, description = "The caller has no emergency credential, or the emergency way in is switched off.", body = crate::edge::ErrorBody),
        (status = 409, description = "The key is registered already, or the external URL does not allow security keys.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<RegistrationInput>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let webauthn = cx.state().breakglass()?.webauthn()?;
    let RegistrationInput { challenge_id, name, credential } = body.value;
    let now = cx.ambient().now();
    // Taken for good, whatever the answer is worth.
    let mut unit = cx.state().db.begin().await?;
    let taken = unit.stores().take_challenge(&challenge_id, Purpose::Register, now).await?;
    unit.save_unaudited("a challenge that was answered is used up").await?;
    let challenge = taken.filter(|challenge| challenge.actor_id == caller.context.actor.id);
    let challenge = challenge.ok_or_else(|| {
        ApiError::invalid("challenge_id", "unknown", "is none of yours, was answered, or has run out; begin again")
    })?;
    let registered = webauthn.finish_registration(&challenge.state, &credential).map_err(|error| {
        tracing::info!(%error, "a security key was not registered");
        ApiError::invalid("credential", "not_good", "is not the answer of a security key to these options")
    })?;
    cx.change(&body.digest, async |tx| {
        let key = certctl_breakglass::register(tx, cx.ambient(), caller, &name, registered).await?;
        Ok(Reply::created(SecurityKeyBody::from(key)))
    })
    .await
}
