//! `POST /auth/breakglass/webauthn`

use super::login::{guard_origin, signed_in};
use super::sign_in::with_key;
use super::{invalid, limit};
use crate::edge::{ApiError, Cx, SecretOctets};
use actix_web::HttpResponse;
use serde::Deserialize;
use utoipa::ToSchema;

/// A security key's answer.
#[derive(Deserialize, ToSchema)]
pub(crate) struct KeyAnswer {
    /// As it came with the options.
    challenge_id: String,
    /// The `PublicKeyCredential`, with octets as base64url.
    #[schema(value_type = Object)]
    credential: serde_json::Value,
}

/// Ends a sign-in with an emergency account by its security key. A challenge is good once, for five minutes.
#[utoipa::path(
    post, path = "/auth/breakglass/webauthn", tag = "auth", request_body = KeyAnswer,
    responses(
        (status = 204, description = "The cookies are set."),
        (status = 401, description = "Nobody is signed in.", body = crate::edge::ErrorBody),
        (status = 403, description = "Another site's page asked.", body = crate::edge::ErrorBody),
        (status = 404, description = "The emergency way in is not open.", body = crate::edge::ErrorBody),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx, body: Result<SecretOctets, ApiError>) -> Result<HttpResponse, ApiError> {
    limit(&cx).await?;
    guard_origin(&cx)?;
    let answer: KeyAnswer = serde_json::from_slice(&body?.0).map_err(|_| invalid())?;
    let minted = with_key(&cx, &answer.challenge_id, &answer.credential).await?;
    signed_in(&cx, &minted)
}
