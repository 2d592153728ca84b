//! Cookies of signing in: names, attributes, and how they are taken back.
//!
//! All carry `Secure`, `Path=/` and no `Domain`, as the prefix `__Host-` demands (RFC 6265bis §4.1.3.2).

use actix_web::HttpResponse;
use actix_web::cookie::{Cookie, SameSite as Policy, time::OffsetDateTime};
use certctl_kernel::Timestamp;
use certctl_session::{Minted, SameSite, SessionSettings};

/// The session.
pub(crate) const SESSION: &str = "__Host-certctl_session";
/// The CSRF token; scripts of our own pages read it.
pub(crate) const CSRF: &str = "__Host-certctl_csrf";

fn policy(settings: &SessionSettings) -> Policy {
    match settings.same_site {
        SameSite::Lax => Policy::Lax,
        SameSite::Strict => Policy::Strict,
    }
}

fn made<'a>(name: &'static str, value: String, settings: &SessionSettings) -> actix_web::cookie::CookieBuilder<'a> {
    Cookie::build(name, value).path("/").secure(true).http_only(name != CSRF).same_site(policy(settings))
}

/// The CSRF cookie of a session that ends at `until`.
pub(crate) fn csrf_cookie(token: &str, until: Timestamp, settings: &SessionSettings) -> Cookie<'static> {
    made(CSRF, token.to_owned(), settings).expires(instant(until)).finish().into_owned()
}

fn instant(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.unix_timestamp()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The cookies of a session just made; they last as long as the session can.
pub(crate) fn session_cookies(minted: &Minted, settings: &SessionSettings) -> [Cookie<'static>; 2] {
    let until = minted.session.absolute_expires_at;
    let session = made(SESSION, minted.cookie.expose().clone(), settings).expires(instant(until)).finish();
    [session.into_owned(), csrf_cookie(minted.csrf_token.expose(), until, settings)]
}

/// The same cookies, taken back.
pub(crate) fn cleared_cookies(settings: &SessionSettings) -> [Cookie<'static>; 2] {
    [SESSION, CSRF].map(|name| {
        made(name, String::new(), settings).max_age(actix_web::cookie::time::Duration::ZERO).finish().into_owned()
    })
}

/// Adds cookies to an answer.
pub(crate) fn set_cookies(response: &mut HttpResponse, cookies: &[Cookie<'static>]) -> Result<(), super::ApiError> {
    for cookie in cookies {
        let added = response.add_cookie(cookie);
        added.map_err(|error| super::ApiError::internal(&format!("a cookie can't be written: {error}")))?;
    }
    Ok(())
}
