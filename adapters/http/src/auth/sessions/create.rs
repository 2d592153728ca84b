//! `POST /api/v1/auth/session`

use crate::edge::cookies::{session_cookies, set_cookies};
use crate::edge::{ApiError, BodyDigest, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_audit::{Action, AuditEvent};
use certctl_kernel::{ActorType, Secret};
use certctl_session::{NewSession, Way};
use serde::Deserialize;
use utoipa::ToSchema;

/// Longer bodies hold no key.
const LONGEST_BODY: usize = 4096;

/// The key to exchange.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SessionInput {
    /// An API key.
    #[schema(max_length = 512)]
    api_key: String,
}

/// Exchanges an API key for a session, so that a browser needs not keep the key. The session has the key's rights, ends
/// with it, and is limited in time as every session is.
#[utoipa::path(
    post, path = "/api/v1/auth/session", tag = "auth", request_body = SessionInput,
    responses(
        (status = 204, description = "The cookies are set."),
        (status = 401, description = "The key is nobody's.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<SessionInput>) -> Result<HttpResponse, ApiError> {
    let body = body.within(LONGEST_BODY)?;
    let key = Secret::new(body.value.api_key);
    let mut response = HttpResponse::NoContent().insert_header(("Cache-Control", "no-store")).finish();
    exchange(&cx, &key, &mut response).await?;
    Ok(response)
}

/// Makes a session for the owner of `key` and adds its cookies to `response`. Wrong keys count as failed sign-ins.
pub(crate) async fn exchange(cx: &Cx, key: &Secret<String>, response: &mut HttpResponse) -> Result<(), ApiError> {
    let (state, context) = (cx.state(), cx.context_of("anonymous", ActorType::Anonymous));
    let address = cx.facts().address_key();
    if !state.access.recognises(key.expose()) {
        state.peek(&state.limits.sign_in, &address, &context).await?;
    }
    let sessions = state.sessions()?;
    let mut minted = None;
    let made = cx
        .change(&BodyDigest::default(), async |tx| {
            let found = certctl_apikey::authenticate(tx, key.expose(), cx.ambient().now()).await?;
            // Agents have no use for a browser.
            let Some(found) = found.filter(|found| found.actor.kind == ActorType::APIKey) else {
                return Err(ApiError::unauthenticated("Invalid API key"));
            };
            let mut context = context.clone();
            context.actor = found.actor.clone();
            let new = NewSession {
                actor: found.actor,
                way: Way::ApiKey { key_id: found.key_id },
                source_ip: cx.facts().source_ip.as_deref().unwrap_or_default(),
                user_agent: cx.user_agent(),
            };
            minted = Some(certctl_session::create(tx, cx.ambient(), &sessions.maker(), &context, new).await?);
            Ok(Reply::<()>::no_content())
        })
        .await;
    if let Err(error) = made {
        if error.status == actix_web::http::StatusCode::UNAUTHORIZED {
            state.take(&state.limits.sign_in, &address, &context).await?;
            let details = serde_json::json!({"method": "POST", "reason": "unknown_or_expired_key"});
            let event = || AuditEvent::new(Action::AuthenticationFailed, &context, cx.request().path(), details);
            state.tell_of("sign_in_failed", None, event).await;
        }
        return Err(error);
    }
    let minted = minted.ok_or_else(|| ApiError::internal("a repeated request makes no second session"))?;
    set_cookies(response, &session_cookies(&minted, &sessions.settings))
}
