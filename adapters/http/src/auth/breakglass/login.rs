//! `POST /auth/breakglass/login`

use super::limit;
use super::sign_in::{Presented, SignIn, second_factor_required, with_password};
use crate::edge::cookies::{session_cookies, set_cookies};
use crate::edge::sessions::cross_site;
use crate::edge::{ApiError, Cx, SecretOctets, SecretText};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_session::Minted;
use serde::Deserialize;
use utoipa::ToSchema;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
pub(crate) struct BreakglassLogin {
    /// The account's id.
    #[schema(max_length = 128)]
    actor_id: String,
    /// Its password.
    #[schema(value_type = String, format = Password)]
    password: SecretText,
}

/// Signs in with an emergency account, while the window is open. Every refusal is the same 401; with a security key
/// registered, a right password gets code `second_factor_required` with `challenge_id` and `options`, which
/// `POST /auth/breakglass/webauthn` takes the answer to.
#[utoipa::path(
    post, path = "/auth/breakglass/login", tag = "auth", request_body = BreakglassLogin,
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
    let octets = body?;
    let content_type = cx.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let presented = match content_type.split(';').next().unwrap_or_default().trim() {
        "" | "application/json" => serde_json::from_slice(&octets.0).ok().map(presented),
        _ => None,
    };
    match with_password(&cx, presented).await? {
        SignIn::Session(minted) => signed_in(&cx, &minted),
        SignIn::SecondFactor(ceremony) => Err(second_factor_required(&ceremony)),
    }
}

fn presented(BreakglassLogin { actor_id, password }: BreakglassLogin) -> Presented {
    Presented { actor_id, password: password.0 }
}

/// Pages of other sites must not sign a browser in as somebody of their choice.
pub(super) fn guard_origin(cx: &Cx) -> Result<(), ApiError> {
    if cross_site(cx.request().headers(), &cx.state().settings.cors_origins) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "cross_site", "another site's page can't sign anybody in"));
    }
    Ok(())
}

/// The answer that brings a session.
pub(super) fn signed_in(cx: &Cx, minted: &Minted) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::NoContent().insert_header(("Cache-Control", "no-store")).finish();
    set_cookies(&mut response, &session_cookies(minted, &cx.state().sessions()?.settings))?;
    Ok(response)
}
