//! `POST /auth/logout`

use crate::auth::oidc::end_session_url;
use crate::edge::cookies::{cleared_cookies, set_cookies};
use crate::edge::sessions::cross_site;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_session::Session;
use serde::Serialize;
use utoipa::ToSchema;

/// Where the identity provider's own session ends.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoggedOut {
    /// To be visited by the browser.
    end_session_url: String,
}

/// Ends the session of the browser that asks, if it has one, and takes its cookies back. Pages of other sites can't
/// make a browser leave.
#[utoipa::path(
    post, path = "/auth/logout", tag = "auth",
    responses(
        (status = 200, description = "No session is left here; the provider's own ends where the browser is to go.", body = LoggedOut),
        (status = 204, description = "No session is left, whether or not there was one."),
        (status = 403, description = "Another site's page asked.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::NoContent().insert_header(("Cache-Control", "no-store")).finish();
    let Some(session) = log_out(&cx, &mut response).await? else { return Ok(response) };
    let Some(end_session_url) = end_session_url(&cx, &session).await else { return Ok(response) };
    let mut onward =
        HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(LoggedOut { end_session_url });
    set_cookies(&mut onward, &cleared_cookies(&cx.state().sessions()?.settings))?;
    Ok(onward)
}

/// Ends the session that the request came with and takes its cookies back through `response`; gives the session that
/// ended.
pub(crate) async fn log_out(cx: &Cx, response: &mut HttpResponse) -> Result<Option<Session>, ApiError> {
    let state = cx.state();
    if cross_site(cx.request().headers(), &state.settings.cors_origins) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "cross_site", "another site's page can't end a session"));
    }
    let session = cx.presented_session().await?.ok().and_then(|principal| principal.session);
    let mut ended = None;
    if let Some(session) = session {
        let mut context = cx.facts().nobody();
        context.actor = session.actor.clone();
        let mut unit = state.db.begin().await?;
        if certctl_session::log_out(unit.stores(), &state.ambient, &context, &session).await? {
            unit.save().await?;
            ended = Some((*session).clone());
        } else {
            unit.discard().await?;
        }
    }
    set_cookies(response, &cleared_cookies(&state.sessions()?.settings))?;
    Ok(ended)
}
