//! Signing in through an identity provider: where browsers begin and come back, and what the provider itself says.

use crate::edge::{ApiError, Cx, Gate, Route};
use actix_web::HttpResponse;
use actix_web::cookie::{Cookie, SameSite, time::Duration as CookieAge};
use actix_web::http::header;
use certctl_bootstrap::AdminGroups;
use certctl_oidc::{BrowserBinding, Failure, OutboundPolicy, PENDING_LIFETIME, RelyingParty};
use certctl_user::SubjectPepper;
use std::sync::Arc;

mod back_channel_logout;
mod callback;
mod end_session;
mod login;

pub(crate) use end_session::end_session_url;

/// The sign-in that a browser has begun.
const PENDING: &str = "__Host-certctl_oidc_pending";

/// How signing in through providers works here.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// What is asked of the browser that comes back.
    pub binding: BrowserBinding,
    /// Who becomes the first administrator.
    pub admin_groups: AdminGroups,
    /// Which addresses providers may have.
    pub policy: OutboundPolicy,
    /// How old a logout token may be.
    pub logout_max_age: time::Duration,
    /// Whether events name groups that have no role, or only their hashes.
    pub name_groups: bool,
}

/// What signing in through providers needs.
pub struct Oidc {
    /// Speaks with providers.
    pub party: Arc<dyn RelyingParty>,
    /// How it works here.
    pub settings: OidcSettings,
    /// Recognises people.
    pub pepper: SubjectPepper,
}

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Public("people sign in here"), login),
        crate::route!(Gate::Public("providers send browsers back here; a sealed cookie ties them together"), callback),
        crate::route!(Gate::Public("providers authenticate by signing the token"), back_channel_logout),
    ]
}

fn pending_cookie(value: String) -> Cookie<'static> {
    Cookie::build(PENDING, value)
        .path("/")
        .secure(true)
        .http_only(true)
        // Strict would keep it back when the provider's page sends the browser here.
        .same_site(SameSite::Lax)
        .max_age(CookieAge::seconds(PENDING_LIFETIME.whole_seconds()))
        .finish()
}

fn cleared_pending_cookie() -> Cookie<'static> {
    let mut cookie = pending_cookie(String::new());
    cookie.set_max_age(CookieAge::ZERO);
    cookie
}

/// Whether whoever asks is a person at a browser, who reads a page and no JSON.
fn wants_page(cx: &Cx) -> bool {
    cx.header("accept").is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/html")))
}

fn redirect(to: &str) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

/// A page that goes on to `url` by itself. A redirect in its place would be taken for the way of whoever sent the
/// browser here: Strict cookies would stay behind, and a form's policy would forbid it.
pub(crate) fn page_that_goes_on(url: &str) -> HttpResponse {
    let escaped = url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>certctl</title>\
         <meta http-equiv=\"refresh\" content=\"0;url={escaped}\"></head>\
         <body><p><a href=\"{escaped}\">Continue</a></p></body></html>"
    );
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/html; charset=utf-8")
        .body(page)
}

/// Back to the sign-in page, with the category and nothing else.
fn to_sign_in_page(failure: Failure) -> HttpResponse {
    redirect(&format!("/login?error=oidc_failed&reason={}", failure.as_str()))
}

/// The parameters of a query or form; a name that comes twice is refused (RFC 6749 section 3.1).
struct Params(Vec<(String, String)>);

impl Params {
    fn read(octets: &[u8]) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(octets).into_owned().collect();
        let mut seen = std::collections::BTreeSet::new();
        match pairs.iter().find(|(name, _)| !seen.insert(name.as_str())) {
            Some((name, _)) => Err(ApiError::invalid(name, "repeated", "must not come twice")),
            None => Ok(Self(pairs)),
        }
    }

    /// A value that is not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}
