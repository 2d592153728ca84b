//! `GET /auth/oidc/login`

use super::{Oidc, Params, pending_cookie, redirect, to_sign_in_page, wants_page};
use crate::edge::cookies::set_cookies;
use crate::edge::pipeline::record_alone;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_oidc::{BeginError, BeginSignIn, Begun, FailedSignIn, Refused, begin_sign_in, provider_to_begin_with};

/// Begins a sign-in through a provider: the browser is sent there, and keeps a sealed cookie until it comes back.
#[utoipa::path(
    get, path = "/auth/oidc/login", tag = "auth",
    params(
        ("provider" = String, Query, description = "Id of the provider."),
        ("return_to" = Option<String>, Query, description = "Path of this server to go to afterwards."),
    ),
    responses(
        (status = 302, description = "To the provider, or, for browsers, back to the sign-in page with the reason."),
        (status = 404, description = "There is no such provider.", body = crate::edge::ErrorBody),
        (status = 409, description = "The provider is switched off.", body = crate::edge::ErrorBody),
        (status = 429, description = "Too many attempts.", body = crate::edge::ErrorBody),
        (status = 500, description = "The provider can't be reached or used.", body = crate::edge::ErrorBody),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let state = cx.state();
    state.take(&state.limits.oidc_login, &cx.facts().address_key(), &cx.facts().nobody()).await?;
    let oidc = state.oidc()?;
    let params = Params::read(cx.request().query_string().as_bytes())?;
    let provider_id = params
        .get("provider")
        .ok_or_else(|| ApiError::invalid("provider", "required", "missing required query parameter `provider`"))?;
    let error = match begin(&cx, oidc, provider_id, params.get("return_to")).await {
        Ok(begun) => {
            let value = format!("{}.{}", state.sessions()?.keys.sign_pre_login(&begun.id)?, begun.sealed);
            let mut response = redirect(&begun.url);
            set_cookies(&mut response, &[pending_cookie(value)])?;
            return Ok(response);
        }
        Err(error) => error,
    };
    let Some(failure) = error.failure() else { return Err(refused(error)) };
    tracing::warn!(provider_id, failure = failure.as_str(), %error, "a sign-in could not be begun");
    let told = Refused::of(failure, error.to_string());
    let failed = FailedSignIn {
        refused: &told,
        provider: Some((provider_id, "")),
        sign_in_id: None,
        user_agent: cx.user_agent(),
        name_groups: oidc.settings.name_groups,
    };
    for event in failed.events(&cx.facts().nobody()) {
        record_alone(state, event).await;
    }
    if wants_page(&cx) { Ok(to_sign_in_page(failure)) } else { Err(refused(error)) }
}

async fn begin(cx: &Cx, oidc: &Oidc, provider_id: &str, return_to: Option<&str>) -> Result<Begun, BeginError> {
    let state = cx.state();
    let mut unit = state.db.read().await?;
    let provider = provider_to_begin_with(unit.stores(), provider_id).await?;
    // Nothing of the database is held while the provider is asked.
    drop(unit);
    let command =
        BeginSignIn { provider_id, return_to, source_ip: cx.facts().source_ip.as_deref(), user_agent: cx.user_agent() };
    let sealer = state.sessions().map_err(|_| certctl_ports::SealError::NoKey)?.sealer();
    begin_sign_in(oidc.party.as_ref(), &state.ambient, sealer, &provider, &command).await
}

fn refused(error: BeginError) -> ApiError {
    match error {
        BeginError::Disabled => ApiError::new(StatusCode::CONFLICT, "provider_disabled", error.to_string()),
        BeginError::Domain(error) => error.into(),
        // Why is in the log and in the audit trail.
        BeginError::Provider(_) | BeginError::Seal(_) => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "oidc_login_unavailable", "could not initiate OIDC login")
        }
    }
}
