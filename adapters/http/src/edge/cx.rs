//! What a handler knows of its request, and how it reads and changes state.

use super::access::Principal;
use super::limits::address_key;
use super::reply::if_match_version;
use super::sessions::{Current, presented};
use super::{ApiError, BodyDigest, Reply};
use crate::state::AppState;
use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use certctl_kernel::{Actor, ActorType, DomainError, RequestContext};
use certctl_ports::Ambient;
use certctl_rbac::Caller;
use certctl_session::{Refusal, Session};
use certctl_unit_of_work::{IdempotencyClaim, IdempotencyKey, StoredResponse, Stores};
use data_encoding::HEXLOWER;
use ring::digest;
use serde::Serialize;
use std::future::{Ready, ready};
use std::sync::Arc;

/// Facts that the pipeline found out; kept in the request's extensions.
#[derive(Clone)]
pub(crate) struct RequestFacts {
    pub(crate) request_id: String,
    pub(crate) source_ip: Option<String>,
}

impl RequestFacts {
    /// Whose requests count together before anybody signed in.
    pub(crate) fn address_key(&self) -> String {
        address_key(self.source_ip.as_deref())
    }

    /// The context of a request that nobody signed in for.
    pub(crate) fn nobody(&self) -> RequestContext {
        RequestContext {
            actor: Actor::new("anonymous", ActorType::Anonymous),
            request_id: self.request_id.clone(),
            source_ip: self.source_ip.clone(),
        }
    }
}

/// The context of one request.
pub(crate) struct Cx {
    state: web::Data<AppState>,
    request: HttpRequest,
    caller: Option<Caller>,
    session: Option<Arc<Session>>,
    facts: RequestFacts,
}

impl FromRequest for Cx {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(state) = request.app_data::<web::Data<AppState>>().cloned() else {
            return ready(Err(ApiError::internal("the application state is not configured")));
        };
        let extensions = request.extensions();
        let Some(facts) = extensions.get::<RequestFacts>().cloned() else {
            return ready(Err(ApiError::internal("the pipeline did not run")));
        };
        let caller = extensions.get::<Caller>().cloned();
        let session = extensions.get::<Current>().map(|current| Arc::clone(&current.0));
        drop(extensions);
        ready(Ok(Self { state, request: request.clone(), caller, session, facts }))
    }
}

impl Cx {
    /// Long-lived parts of the server.
    pub(crate) fn state(&self) -> &AppState {
        &self.state
    }

    /// The same parts, for work that outlives the handler.
    pub(crate) fn shared(&self) -> web::Data<AppState> {
        self.state.clone()
    }

    /// Time and randomness.
    pub(crate) fn ambient(&self) -> &Ambient {
        &self.state.ambient
    }

    /// The authenticated caller; the gate has seen to it that there is one wherever the table says so.
    pub(crate) fn caller(&self) -> Result<&Caller, ApiError> {
        self.caller.as_ref().ok_or_else(|| ApiError::unauthenticated("Authentication required"))
    }

    /// The caller where an operation also serves others (enrolment, discovery of sign-in).
    pub(crate) fn caller_if_any(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The session that the gate let in, when it was one.
    pub(crate) fn current_session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    /// The session that the request's cookie names, for operations that stand before the gate.
    pub(crate) async fn presented_session(&self) -> Result<Result<Principal, Refusal>, ApiError> {
        match presented(&self.request) {
            Some(value) => self.state.session(&value, &self.facts, self.user_agent()).await,
            None => Ok(Err(Refusal::Invalid)),
        }
    }

    /// The request itself, for what has no name here.
    pub(crate) const fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// What the client calls itself; empty when it does not say.
    pub(crate) fn user_agent(&self) -> &str {
        self.header("user-agent").unwrap_or_default()
    }

    /// The request's context under another actor, for operations that authenticate by their own means.
    pub(crate) fn context_of(&self, actor_id: &str, kind: ActorType) -> RequestContext {
        RequestContext {
            actor: Actor::new(actor_id, kind),
            request_id: self.facts.request_id.clone(),
            source_ip: self.facts.source_ip.clone(),
        }
    }

    /// What the pipeline found out about the request.
    pub(crate) const fn facts(&self) -> &RequestFacts {
        &self.facts
    }

    /// The client's address as text.
    pub(crate) fn source_ip(&self) -> &str {
        self.facts.source_ip.as_deref().unwrap_or("unknown")
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// A path segment, decoded.
    pub(crate) fn path(&self, name: &str) -> Result<String, ApiError> {
        let raw = self.request.match_info().query(name);
        let segment = format!("x={}", raw.replace('+', "%2B").replace('&', "%26").replace(';', "%3B"));
        let decoded = url::form_urlencoded::parse(segment.as_bytes()).next().map(|(_, v)| v.into_owned());
        match decoded {
            Some(text) if !text.is_empty() && !text.contains(['/', '\0', '\u{fffd}']) => Ok(text),
            _ => Err(ApiError::invalid(name, "invalid", "is not a valid path segment")),
        }
    }

    /// The row version that `If-Match` asks for.
    pub(crate) fn expected_version(&self) -> Result<Option<i64>, ApiError> {
        match self.header("if-match") {
            None | Some("*") => Ok(None),
            Some(text) => if_match_version(text)
                .map(Some)
                .ok_or_else(|| ApiError::invalid("If-Match", "invalid", "must be an ETag that this server gave, or *")),
        }
    }

    /// Reads without a transaction.
    pub(crate) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut dyn Stores) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut unit = self.state.db.read().await?;
        work(unit.stores()).await
    }

    /// Runs a change in one transaction and saves it with its audit events. With an `Idempotency-Key` header the
    /// response is kept in the same transaction, so that a repeated request changes nothing.
    pub(crate) async fn change<T: Serialize>(
        &self,
        digest: &BodyDigest,
        work: impl AsyncFnOnce(&mut dyn Stores) -> Result<Reply<T>, ApiError>,
    ) -> Result<HttpResponse, ApiError> {
        let key = self.idempotency_key(digest)?;
        let mut unit = self.state.db.begin().await?;
        if let Some(key) = &key {
            let expires = self.ambient().now() + time::Duration::hours(24);
            match unit.stores().claim_idempotency(key, expires).await? {
                IdempotencyClaim::Fresh => {}
                IdempotencyClaim::Replay(stored) => {
                    unit.discard().await?;
                    return replay(stored);
                }
                IdempotencyClaim::Mismatch => {
                    unit.discard().await?;
                    return Err(ApiError::new(
                        StatusCode::CONFLICT,
                        "idempotency_mismatch",
                        "this Idempotency-Key was used with another body; use a new key for a new request",
                    ));
                }
            }
        }
        let reply = match work(unit.stores()).await {
            Ok(reply) => reply,
            Err(error) => {
                unit.discard().await?;
                return Err(error);
            }
        };
        let body = match &reply.body {
            Some(body) => Some(serde_json::to_string(body).map_err(|e| ApiError::internal(&e.to_string()))?),
            None => None,
        };
        if let Some(key) = &key {
            let kept = if reply.secret { None } else { Some(body.clone().unwrap_or_default()) };
            let stored = StoredResponse { status: reply.status.as_u16(), body: kept };
            unit.stores().store_idempotent_response(key, &stored).await?;
        }
        unit.save().await?;
        Ok(respond(reply.status, body, reply.etag.as_deref()))
    }

    /// A single object with its validator; answers 304 when the client already has it.
    pub(crate) fn object<T: Serialize>(&self, reply: &Reply<T>) -> Result<HttpResponse, ApiError> {
        if let (Some(etag), Some(known)) = (&reply.etag, self.header("if-none-match"))
            && matches_etag(known, etag)
        {
            return Ok(HttpResponse::NotModified().insert_header((header::ETAG, etag.clone())).finish());
        }
        let body = match &reply.body {
            Some(body) => Some(serde_json::to_string(body).map_err(|e| ApiError::internal(&e.to_string()))?),
            None => None,
        };
        Ok(respond(reply.status, body, reply.etag.as_deref()))
    }

    /// A list with a validator over its content; answers 304 when nothing in it changed.
    pub(crate) fn list<T: Serialize>(&self, body: &T) -> Result<HttpResponse, ApiError> {
        let text = serde_json::to_string(body).map_err(|error| ApiError::internal(&error.to_string()))?;
        let etag = format!("\"{}\"", HEXLOWER.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()));
        let caching = [("Cache-Control", "private, no-cache"), ("Vary", "Authorization, Cookie, Accept-Encoding")];
        if self.header("if-none-match").is_some_and(|known| matches_etag(known, &etag)) {
            let mut response = HttpResponse::NotModified();
            for pair in caching {
                response.insert_header(pair);
            }
            return Ok(response.insert_header((header::ETAG, etag)).finish());
        }
        let mut response = HttpResponse::Ok();
        for pair in caching {
            response.insert_header(pair);
        }
        Ok(response.insert_header((header::ETAG, etag)).content_type("application/json").body(text))
    }

    fn idempotency_key(&self, digest: &BodyDigest) -> Result<Option<IdempotencyKey>, ApiError> {
        if *self.request.method() != Method::POST {
            return Ok(None);
        }
        let Some(value) = self.request.headers().get("idempotency-key") else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() || text.len() > 255 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ApiError::invalid("Idempotency-Key", "invalid", "must be 1 to 255 visible ASCII characters"));
        }
        let actor = self.caller.as_ref().map_or_else(
            || format!("anonymous:{}", self.source_ip()),
            |caller| format!("{}:{}", caller.context.actor.kind.as_str(), caller.context.actor.id),
        );
        Ok(Some(IdempotencyKey {
            actor,
            key: format!("POST {} {text}", self.request.path()),
            request_hash: digest.0.clone(),
        }))
    }
}

fn matches_etag(header: &str, etag: &str) -> bool {
    header.split(',').any(|known| known.trim().trim_start_matches("W/") == etag)
}

fn respond(status: StatusCode, body: Option<String>, etag: Option<&str>) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response.insert_header(("Cache-Control", "no-store"));
    if let Some(etag) = etag {
        response.insert_header((header::ETAG, etag));
    }
    match body {
        Some(text) => response.content_type("application/json").body(text),
        None => response.finish(),
    }
}

fn replay(stored: StoredResponse) -> Result<HttpResponse, ApiError> {
    let Some(body) = stored.body else {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "already_processed",
            "this request was already carried out; its response held a secret and is not shown again",
        ));
    };
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let mut response = respond(status, (!body.is_empty()).then_some(body), None);
    response
        .headers_mut()
        .insert(header::HeaderName::from_static("idempotent-replayed"), header::HeaderValue::from_static("true"));
    Ok(response)
}

impl From<&Cx> for RequestContext {
    fn from(cx: &Cx) -> Self {
        cx.caller.as_ref().map_or_else(|| cx.context_of("anonymous", ActorType::Anonymous), |c| c.context.clone())
    }
}

/// A caller's scope could not be decided.
impl From<&DomainError> for ApiError {
    fn from(error: &DomainError) -> Self {
        error.clone().into()
    }
}
