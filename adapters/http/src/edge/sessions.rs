//! Requests of browsers that are signed in: the cookie, CSRF, and what a refused session is told.

use super::access::Principal;
use super::cookies::{CSRF, SESSION, csrf_cookie, session_cookies};
use super::cx::RequestFacts;
use super::{ApiError, cors};
use crate::state::AppState;
use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use actix_web::cookie::Cookie;
use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode};
use certctl_audit::{Action, AuditEvent};
use certctl_kernel::StoreError;
use certctl_ports::Sealer;
use certctl_session::{
    Maker, Purpose, Refusal, Session, SessionError, SessionKeys, SessionSettings, check_binding, renew,
};
use certctl_unit_of_work::Database;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What signing in by sessions needs.
pub struct Sessions {
    /// Signs and checks cookies.
    pub keys: Arc<SessionKeys>,
    /// How sessions live.
    pub settings: SessionSettings,
    sealer: Arc<dyn Sealer>,
    read_at: Mutex<Option<Instant>>,
}

/// How often an unknown key id in a cookie, which anybody can invent, makes the keys be read again.
const REREAD: Duration = Duration::from_secs(5);

impl Sessions {
    /// Sessions under these keys.
    pub fn new(keys: Arc<SessionKeys>, settings: SessionSettings, sealer: Arc<dyn Sealer>) -> Self {
        Self { keys, settings, sealer, read_at: Mutex::new(None) }
    }

    /// What sessions are made with.
    pub(crate) fn maker(&self) -> Maker<'_> {
        Maker { keys: &self.keys, sealer: self.sealer.as_ref(), settings: &self.settings }
    }

    /// What seals the secrets around sessions.
    pub(crate) fn sealer(&self) -> &dyn Sealer {
        self.sealer.as_ref()
    }

    /// Reads the keys again: some changed, here or on another replica.
    pub async fn reload(&self, db: &dyn Database) -> Result<(), SessionError> {
        let mut unit = db.read().await?;
        self.keys.load(unit.stores(), self.sealer.as_ref()).await
    }

    /// Reads the keys again when a cookie names one that is not in memory, but not for every such cookie.
    pub(crate) async fn meet(&self, db: &dyn Database, value: &str) {
        let unknown = value.split('.').nth(2).is_some_and(|key_id| !self.keys.knows(key_id));
        let due = || {
            let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
            let due = read_at.is_none_or(|at| at.elapsed() >= REREAD);
            if due {
                *read_at = Some(Instant::now());
            }
            due
        };
        if unknown
            && due()
            && let Err(error) = self.reload(db).await
        {
            tracing::warn!(%error, "session signing keys could not be read again");
        }
    }
}

/// The session that a request came with; in its extensions.
#[derive(Clone)]
pub(crate) struct Current(pub(crate) Arc<Session>);

/// The browser's CSRF token is not the session's any more: the answer brings the right one.
#[derive(Clone)]
pub(crate) struct FreshCsrf {
    pub(crate) token: String,
    pub(crate) cookie: Cookie<'static>,
}

/// The session got another id: the answer brings its cookies.
#[derive(Clone)]
pub(crate) struct Renewed {
    pub(crate) session: Arc<Session>,
    pub(crate) cookies: [Cookie<'static>; 2],
}

/// The session cookie's value.
pub(crate) fn presented(request: &HttpRequest) -> Option<String> {
    request.cookie(SESSION).map(|cookie| cookie.value().to_owned()).filter(|value| !value.is_empty())
}

impl AppState {
    /// Whose session a cookie stands for. The outer error is a database that does not answer.
    pub(crate) async fn session(
        &self,
        value: &str,
        facts: &RequestFacts,
        user_agent: &str,
    ) -> Result<Result<Principal, Refusal>, ApiError> {
        let Some(sessions) = &self.sessions else { return Ok(Err(Refusal::Invalid)) };
        sessions.meet(self.db.as_ref(), value).await;
        let Ok(verified) = sessions.keys.verify(value, Purpose::Session, self.ambient.now()) else {
            return Ok(Err(Refusal::Invalid));
        };
        let found = self
            .access
            .resolve_session(value, &verified, &sessions.settings)
            .await
            .map_err(|error| transient(&error))?;
        let principal = match found {
            Ok(principal) => principal,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(session) = &principal.session else { return Ok(Err(Refusal::Invalid)) };
        if let Err(refusal) = check_binding(session, &sessions.settings, facts.source_ip.as_deref(), user_agent) {
            self.tell_of_mismatch(session, refusal, facts, user_agent).await;
            return Ok(Err(refusal));
        }
        Ok(Ok(principal))
    }

    /// Gives a session whose actor's rights changed another id; the cookies for it, unless another request was faster.
    pub(crate) async fn renew(&self, session: &Session, facts: &RequestFacts) -> Result<Option<Renewed>, ApiError> {
        let sessions = self.sessions()?;
        let mut context = facts.nobody();
        context.actor = session.actor.clone();
        let mut unit = self.db.begin().await.map_err(|error| transient(&error))?;
        let renewed = renew(unit.stores(), &self.ambient, &sessions.maker(), &context, session).await?;
        let Some(minted) = renewed else {
            unit.discard().await?;
            return Ok(None);
        };
        unit.save().await?;
        let cookies = session_cookies(&minted, &sessions.settings);
        Ok(Some(Renewed { session: Arc::new(minted.session), cookies }))
    }

    async fn tell_of_mismatch(&self, session: &Session, refusal: Refusal, facts: &RequestFacts, user_agent: &str) {
        let (action, details) = match refusal {
            Refusal::Address => (
                Action::SessionIpMismatch,
                serde_json::json!({"session_id": session.id, "expected": session.ip_address, "request": facts.source_ip}),
            ),
            _ => (
                Action::SessionUserAgentMismatch,
                serde_json::json!({"session_id": session.id, "expected": session.user_agent, "request": user_agent}),
            ),
        };
        let event = || AuditEvent::new(action, &facts.nobody(), &session.id, details);
        let source = format!("{} {}", action.as_str(), session.id);
        self.tell_of("session_binding", Some(&source), event).await;
    }
}

fn transient(error: &StoreError) -> ApiError {
    tracing::warn!(%error, "a session could not be looked up");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "transient", "transient backend error; retry").retry_after(1)
}

/// Whether the page that sent the request may change things with the session's cookie. A request with a token must
/// have the session's; one without is believed only when the browser itself vouches that our own page sent it
/// (Fetch Metadata).
pub(crate) fn guard_csrf(state: &AppState, request: &HttpRequest, session: &Session) -> Result<(), ApiError> {
    let Some(sessions) = &state.sessions else { return Err(refused()) };
    let current = sessions.keys.csrf_token(&session.id, &session.signing_key_id, session.csrf_epoch);
    if let Ok(token) = current {
        let known = request.cookie(CSRF).is_some_and(|cookie| cookie.value() == token);
        if !known {
            let cookie = csrf_cookie(&token, session.absolute_expires_at, &sessions.settings);
            request.extensions_mut().insert(FreshCsrf { token, cookie });
        }
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE) {
        return Ok(());
    }
    let headers = request.headers();
    if cross_site(headers, &state.settings.cors_origins) {
        return Err(refused());
    }
    let good = match text(headers, "x-csrf-token").filter(|token| !token.is_empty()) {
        Some(token) => sessions.keys.csrf_matches(&session.id, &session.signing_key_id, session.csrf_epoch, token),
        None => from_own_page(request),
    };
    if good { Ok(()) } else { Err(refused()) }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the browser says that another site's page sent this, and that page's origin is not listed.
pub(crate) fn cross_site(headers: &HeaderMap, listed: &[String]) -> bool {
    let elsewhere = text(headers, "sec-fetch-site").is_some_and(|site| matches!(site, "cross-site" | "same-site"));
    elsewhere && !text(headers, "origin").is_some_and(|origin| cors::lists(listed, origin))
}

/// Whether the browser vouches that a page of this very origin sent the request.
pub(crate) fn from_own_page(request: &HttpRequest) -> bool {
    let headers = request.headers();
    // HTTP/2 has the authority in place of the header.
    let authority = || request.uri().authority().map(actix_web::http::uri::Authority::as_str);
    let own = |origin: &str| {
        let host = text(headers, "host").or_else(authority);
        host.is_some_and(|host| origin.strip_prefix("https://") == Some(host))
    };
    text(headers, "sec-fetch-site") == Some("same-origin") && text(headers, "origin").is_some_and(own)
}

fn refused() -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "csrf_failed", "CSRF token missing or invalid")
}
