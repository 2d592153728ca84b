//! The pages of signing in: small, served by the server itself, and usable without script as far as the protocols allow.

use crate::edge::{ApiError, Cx, Gate, Presence, Route};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

mod breakglass_form;
mod form;
mod home;
mod login;
mod logout_form;
mod return_to;
mod script;
mod session_form;
mod style;

/// The pages and the forms on them.
pub(crate) fn routes() -> Vec<Route> {
    const SIGN_IN: Gate = Gate::Public("who signs in is not signed in yet");
    vec![
        crate::route!(Gate::Public("a page that sends whoever is not signed in on"), home),
        crate::route!(SIGN_IN, login),
        crate::route!(SIGN_IN, style),
        crate::route!(SIGN_IN, script),
        crate::route!(SIGN_IN, session_form),
        crate::route!(SIGN_IN, breakglass_form).only(Presence::BreakglassOpen),
        crate::route!(Gate::Public("who leaves must be able to, even with a session that ended"), logout_form),
    ]
}

/// Nothing but our own files, no script within the page, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page; browsers keep none of it and tell nobody where they come from.
fn page(status: StatusCode, template: &impl Template) -> Result<HttpResponse, ApiError> {
    let text = template.render().map_err(|error| ApiError::internal(&error.to_string()))?;
    Ok(HttpResponse::build(status)
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("Referrer-Policy", "no-referrer"))
        .content_type("text/html; charset=utf-8")
        .body(text))
}

/// Sends a browser on after a form (RFC 9110 section 15.4.4).
fn see_other(path: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header(("Location", path)).insert_header(("Cache-Control", "no-store")).finish()
}

/// One of the pages' own files.
fn file(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().insert_header(("Cache-Control", "no-cache")).content_type(kind).body(text)
}

/// Why a form came to nothing, for the person in front of it.
fn in_words(error: &ApiError, wrong: &'static str) -> &'static str {
    match error.status {
        StatusCode::UNAUTHORIZED => wrong,
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts. Wait a minute and try again.",
        StatusCode::FORBIDDEN => "The form was not sent by this page. Open it again and try once more.",
        status if status.is_client_error() => "The form was not filled in as it must be.",
        _ => "certctl can't answer at the moment. Try again, and tell an administrator the time if it goes on.",
    }
}

/// Forms are believed only when the browser says that a page of this very server sent them; otherwise another site
/// could sign a browser in as somebody of its choice.
fn guard_form(cx: &Cx) -> Result<(), ApiError> {
    let own = match cx.header("sec-fetch-site") {
        Some(site) => site == "same-origin",
        // Browsers from before Fetch Metadata.
        None => cx.header("origin").and_then(|origin| origin.strip_prefix("https://")).is_some_and(|host| {
            let authority = cx.request().uri().authority().map(ToString::to_string);
            cx.header("host").map(ToOwned::to_owned).or(authority).as_deref() == Some(host)
        }),
    };
    if own {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "cross_site", "only this server's own page may send this form"))
}
