//! `POST /auth/logout-form`

use super::see_other;
use crate::auth::oidc::{end_session_url, page_that_goes_on};
use crate::auth::sessions::logout::log_out;
use crate::edge::cookies::{cleared_cookies, set_cookies};
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// Signs out, for the page's form; see `POST /auth/logout`.
#[utoipa::path(
    post, path = "/auth/logout-form", tag = "pages",
    responses(
        (status = 200, description = "No session is left here; the page goes on to where the provider's ends.", content_type = "text/html", body = String),
        (status = 303, description = "No session is left; go on to the sign-in page."),
        (status = 403, description = "Another site's page asked.", body = crate::edge::ErrorBody),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let mut response = see_other("/login?signed_out=1");
    let Some(session) = log_out(&cx, &mut response).await? else { return Ok(response) };
    let Some(url) = end_session_url(&cx, &session).await else { return Ok(response) };
    let mut onward = page_that_goes_on(&url);
    set_cookies(&mut onward, &cleared_cookies(&cx.state().sessions()?.settings))?;
    Ok(onward)
}
