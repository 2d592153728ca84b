//! `POST /auth/oidc/back-channel-logout`

use super::{Oidc, Params};
use crate::edge::{ApiError, Cx};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use certctl_audit::{Action, AuditEvent};
use certctl_backchannel::{Claimed, Invalid, LogoutToken, check, log_out, peek};
use certctl_kernel::{Actor, ActorType};
use certctl_oidc::{Provider, ProviderError, registration};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

/// Characters of an unknown issuer that are recorded.
const LONGEST_ISSUER: usize = 200;

/// A provider's message that somebody signed out there.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form; it is read by hand, so that a name that comes twice is refused")]
pub(crate) struct BackChannelLogout {
    /// The logout token (Back-Channel Logout 1.0 section 2.4).
    logout_token: String,
}

/// Ends sessions because the identity provider says so.
#[utoipa::path(
    post, path = "/auth/oidc/back-channel-logout", tag = "auth",
    request_body(content = BackChannelLogout, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Done, or there was nothing to do."),
        (status = 429, description = "Too many messages.", body = crate::edge::ErrorBody),
        (status = 503, description = "Not done; to be sent again.", body = crate::edge::ErrorBody),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx, body: Result<web::Bytes, actix_web::Error>) -> Result<HttpResponse, ApiError> {
    let state = cx.state();
    let nobody = cx.facts().nobody();
    state.take(&state.limits.oidc_logout, &cx.facts().address_key(), &nobody).await?;
    let oidc = state.oidc()?;
    let body = body.map_err(|error| {
        let status = error.as_response_error().status_code();
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::new(status, "body_too_large", "the request body is too large")
        } else {
            invalid()
        }
    })?;
    let form = cx.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let params = if form.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded" {
        Params::read(&body).ok()
    } else {
        None
    };
    let Some(token) = params.as_ref().and_then(|params| params.get("logout_token")) else {
        return Err(fail(&cx, Invalid::Malformed, None).await);
    };
    let claimed = match peek(token) {
        Ok(claimed) => claimed,
        Err(reason) => return Err(fail(&cx, reason, None).await),
    };
    state.take(&state.limits.oidc_logout_issuer, &issuer_key(&claimed.issuer), &nobody).await?;
    let targets = match verified(&cx, oidc, token, &claimed).await? {
        Ok(targets) => targets,
        Err(reason) => return Err(fail(&cx, reason, Some(&claimed)).await),
    };
    let mut unit = state.db.begin().await.map_err(|error| unable(&error))?;
    for (provider, logout) in &targets {
        let max_age = oidc.settings.logout_max_age;
        let acted = log_out(unit.stores(), &state.ambient, &nobody, &oidc.pepper, provider, logout, max_age).await;
        if let Err(error) = acted {
            if let Err(error) = unit.discard().await {
                tracing::warn!(%error, "a transaction could not be rolled back");
            }
            return Err(unable(&error));
        }
    }
    unit.save().await.map_err(|error| unable(&error))?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).finish())
}

/// Issuers count apart, each by a key of bounded length; all that are too long to be one count together.
fn issuer_key(issuer: &str) -> String {
    if issuer.len() <= 512 { issuer.to_owned() } else { "long".to_owned() }
}

/// The providers that the token speaks for. The outer error means that it could not be found out, and that the
/// provider is to send it again.
async fn verified(
    cx: &Cx,
    oidc: &Oidc,
    token: &str,
    claimed: &Claimed,
) -> Result<Result<Vec<(Provider, LogoutToken)>, Invalid>, ApiError> {
    let state = cx.state();
    let mut unit = state.db.read().await.map_err(|error| unable(&error))?;
    let of_issuer = unit.stores().providers_of_issuer(&claimed.issuer).await.map_err(|error| unable(&error))?;
    drop(unit);
    if of_issuer.is_empty() {
        return Ok(Err(Invalid::Issuer));
    }
    let meant: Vec<Provider> =
        of_issuer.into_iter().filter(|provider| claimed.audience.contains(&provider.client_id)).collect();
    if meant.is_empty() {
        return Ok(Err(Invalid::Audience));
    }
    let sealer = state.sessions()?.sealer();
    let mut targets = Vec::new();
    for provider in meant {
        let registration = registration(&provider, sealer).map_err(|error| unable(&error))?;
        let signed = match oidc.party.verify(&registration, token).await {
            Ok(signed) => signed,
            Err(ProviderError::Signature(_) | ProviderError::Algorithm(_)) => return Ok(Err(Invalid::Signature)),
            Err(error) => return Err(unable(&error)),
        };
        let now = state.ambient.now();
        let max_age = oidc.settings.logout_max_age;
        match check(&signed, &provider.issuer_url, &provider.client_id, now, max_age) {
            Ok(logout) => targets.push((provider, logout)),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    Ok(Ok(targets))
}

fn invalid() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "logout_token_invalid", "logout_token validation failed")
}

fn unable(error: &dyn std::fmt::Display) -> ApiError {
    tracing::warn!(%error, "a back-channel logout could not be carried out");
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "logout_not_done",
        "the logout could not be carried out; send it again",
    )
    .retry_after(5)
}

/// Records why a token was refused; the sender is told nothing of it.
async fn fail(cx: &Cx, reason: Invalid, claimed: Option<&Claimed>) -> ApiError {
    let issuer: Option<String> =
        claimed.map(|claimed| claimed.issuer.chars().filter(|c| !c.is_control()).take(LONGEST_ISSUER).collect());
    tracing::info!(%reason, issuer, request_id = cx.facts().request_id, "a logout token was refused");
    let event = || {
        let details = json!({"failure_reason": reason.to_string(), "issuer": issuer});
        let event = AuditEvent::new(Action::OidcBackChannelLogoutFailed, &cx.facts().nobody(), "logout", details);
        event.by(Actor::new("anonymous", ActorType::System))
    };
    let source = format!("{reason} {}", cx.facts().address_key());
    cx.state().tell_of("oidc_logout_failed", Some(&source), event).await;
    invalid()
}
