//! What every request passes: identification, limits, authentication, the gate, headers and the access log.

use super::access::Principal;
use super::correlation::Correlation;
use super::cors::Cors;
use super::cx::RequestFacts;
use super::headers::Finish;
use super::limits::{keep_tightest, quota_headers};
use super::route::{Gate, Presence};
use super::sessions::{Current, FreshCsrf, Renewed, guard_csrf, presented};
use super::{ApiError, BodyDigest, Cx};
use crate::state::AppState;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use certctl_audit::{AccessEntry, Action, AuditEvent};
use certctl_kernel::{ActorType, RequestContext};
use certctl_ports::Verdict;
use certctl_rbac::{Caller, Scope, ScopeType};
use futures_util::{FutureExt as _, StreamExt as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The outermost layer.
pub async fn outer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<AppState>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let started = Instant::now();
    let settings = &state.settings;
    // No second handle on the request may exist while it is routed: actix writes into it.
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let peer = request.peer_addr().map(|peer| peer.ip());
    let Correlation { request_id, trace_id } = Correlation::of(request.headers(), peer, &state);
    let source_ip = settings.trusted_proxies.of(request.request()).map(|ip| ip.to_string());
    let facts = RequestFacts { request_id: request_id.clone(), source_ip };
    let finish = Finish {
        request_id,
        cors: Cors::judge(&method, &path, request.headers(), &settings.cors_origins),
        hsts: settings.hsts.filter(|_| request.app_config().secure()),
    };
    request.extensions_mut().insert(facts.clone());

    let mut response = match admit(&state, &request, &facts, &finish.cors).await {
        Err(error) => request.into_response(error.respond(&facts.request_id)),
        Ok(Some(early)) => request.into_response(early),
        Ok(None) => {
            let handled = AssertUnwindSafe(next.call(request)).catch_unwind();
            let error = match tokio::time::timeout(settings.request_timeout, handled).await {
                Ok(Ok(Ok(response))) => Ok(rewrite(response, &facts.request_id)),
                Ok(Ok(Err(error))) => {
                    let ours = error.as_error::<ApiError>().cloned();
                    Err(ours.unwrap_or_else(|| ApiError::internal("a layer failed without saying how")))
                }
                Ok(Err(_panic)) => Err(ApiError::internal("a handler panicked")),
                Err(_elapsed) => {
                    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the request took too long");
                    Err(error.retry_after(5))
                }
            };
            match error {
                Ok(response) => response,
                Err(error) => return Err(broken_off(&error, &finish, &method, &path, started)),
            }
        }
    };
    let verdict = response.request().extensions().get::<Verdict>().copied();
    if let Some(verdict) = verdict.filter(|_| !response.headers().contains_key("ratelimit-limit")) {
        for (name, value) in quota_headers(verdict) {
            response.headers_mut().insert(name, value);
        }
    }
    finish.apply(response.headers_mut());
    log(&response, &facts, trace_id.as_deref(), started);
    note_access(&state, &response, &facts, started);
    Ok(response)
}

/// What is settled before a request is routed: the limit of its address, and a browser's question for leave.
async fn admit(
    state: &AppState,
    request: &ServiceRequest,
    facts: &RequestFacts,
    cors: &Cors,
) -> Result<Option<HttpResponse>, ApiError> {
    // OCSP has a limit of its own, which answers in the protocol's words; probes must not fail for being many.
    let path = request.path();
    let counted = !matches!(path, "/health" | "/ready") && !path.starts_with("/.well-known/pki/ocsp");
    if let Some(limiter) = state.limits.address.as_ref().filter(|_| counted) {
        let verdict = state.take(limiter, &facts.address_key(), &facts.nobody()).await?;
        keep_tightest(&mut request.extensions_mut(), verdict);
    }
    match cors.preflight() {
        None => Ok(None),
        Some(true) => Ok(Some(HttpResponse::NoContent().finish())),
        Some(false) => {
            let reason = "this origin may not call; CERTCTL_CORS_ORIGINS lists those that may";
            Err(ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", reason))
        }
    }
}

/// The answer to a request that was dropped before it had one, and so took its place in actix with it.
fn broken_off(error: &ApiError, finish: &Finish, method: &Method, path: &str, started: Instant) -> Error {
    let mut response = error.respond(&finish.request_id);
    finish.apply(response.headers_mut());
    let seconds = started.elapsed().as_secs_f64();
    let duration_ms = seconds * 1000.0;
    let (request_id, status) = (&finish.request_id, response.status().as_u16());
    crate::metrics::observe_request(method, None, status, seconds);
    tracing::error!(request_id, %method, path, status, duration_ms, %error, "request failed");
    actix_web::error::InternalError::from_response(error.to_string(), response).into()
}

/// Errors that did not come as ours (unknown methods, extractors of the framework) get our body.
fn rewrite<B: MessageBody + 'static>(response: ServiceResponse<B>, request_id: &str) -> ServiceResponse<BoxBody> {
    let error = response.response().error().map(|error| {
        error.as_error::<ApiError>().cloned().unwrap_or_else(|| generic(error.as_response_error().status_code()))
    });
    let status = response.status();
    match error {
        Some(error) => {
            let (request, _) = response.into_parts();
            ServiceResponse::new(request, error.respond(request_id))
        }
        None if status == StatusCode::METHOD_NOT_ALLOWED => {
            let (request, old) = response.into_parts();
            let mut fresh = generic(status).respond(request_id);
            if let Some(allow) = old.headers().get("allow") {
                fresh.headers_mut().insert(HeaderName::from_static("allow"), allow.clone());
            }
            ServiceResponse::new(request, fresh)
        }
        None => response.map_into_boxed_body(),
    }
}

fn generic(status: StatusCode) -> ApiError {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => ("not_found", "there is nothing at this address"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "Method not allowed"),
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the request body is too large"),
        status if status.is_client_error() => ("bad_request", "the request is malformed"),
        _ => ("internal", "Internal error"),
    };
    ApiError::new(status, code, message)
}

fn log(response: &ServiceResponse<BoxBody>, facts: &RequestFacts, trace_id: Option<&str>, started: Instant) {
    let request = response.request();
    let actor = request.extensions().get::<Caller>().map(|caller| caller.context.actor.id.clone());
    let seconds = started.elapsed().as_secs_f64();
    let duration_ms = seconds * 1000.0;
    let pattern = request.match_pattern();
    let (path, status) = (request.path(), response.status().as_u16());
    crate::metrics::observe_request(request.method(), pattern.as_deref(), status, seconds);
    let (method, route) = (request.method().as_str(), pattern.unwrap_or_default());
    let RequestFacts { request_id, source_ip } = facts;
    let source_ip = source_ip.as_deref();
    if matches!(path, "/health" | "/ready") {
        tracing::debug!(
            request_id,
            trace_id,
            method,
            path,
            route,
            status,
            duration_ms,
            source_ip,
            actor,
            "request completed"
        );
    } else {
        tracing::info!(
            request_id,
            trace_id,
            method,
            path,
            route,
            status,
            duration_ms,
            source_ip,
            actor,
            "request completed"
        );
    }
}

/// The permission that the gate asked for, for the request log.
#[derive(Clone, Copy)]
struct Asked(&'static str);

/// What clients call themselves is cut here; paths, where actix ends them.
const LONGEST_NAME: usize = 256;

/// Queues an entry of the request log. Probes, and what anybody may ask about the server, are not use.
fn note_access(state: &AppState, response: &ServiceResponse<BoxBody>, facts: &RequestFacts, started: Instant) {
    let (request, status) = (response.request(), response.status().as_u16());
    let path = request.path();
    let Some(log) = state.access_log.as_ref().filter(|_| !matches!(path, "/health" | "/ready" | "/api/v1/version"))
    else {
        return;
    };
    let reading = matches!(*request.method(), Method::GET | Method::HEAD) || path.starts_with("/.well-known/pki/");
    let Some(sampled) = log.sample(reading, status) else { return };
    let extensions = request.extensions();
    let actor = extensions.get::<Caller>().map_or_else(|| facts.nobody().actor, |caller| caller.context.actor.clone());
    let user_agent = request.headers().get("user-agent").and_then(|value| value.to_str().ok());
    log.take(AccessEntry {
        at: state.ambient.now(),
        request_id: facts.request_id.clone(),
        actor_id: actor.id,
        actor_type: actor.kind,
        method: request.method().as_str().to_owned(),
        path: path.to_owned(),
        route: request.match_pattern().unwrap_or_default(),
        status,
        latency_ms: started.elapsed().as_secs_f64() * 1000.0,
        body_hash: extensions.get::<BodyDigest>().map(|digest| digest.0.clone()).unwrap_or_default(),
        permission: extensions.get::<Asked>().map(|asked| asked.0.to_owned()),
        source_ip: facts.source_ip.clone(),
        user_agent: user_agent.map(|text| text.chars().take(LONGEST_NAME).collect()),
        sampled,
    });
}

/// The layer of one address: authentication and the gate of the method asked for.
pub(crate) async fn gated<B: MessageBody + 'static>(
    gate: Option<Gate>,
    presence: Presence,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let admitted = match (present(&request, presence).await, gate) {
        (Ok(()), Some(gate)) if !matches!(gate, Gate::Public(_)) => pass(&request, gate).await,
        (presence, _) => presence,
    };
    if let Err(error) = admitted {
        let request_id = facts_of(&request).map(|facts| facts.request_id).unwrap_or_default();
        read_off(&mut request).await;
        return Ok(with_fresh_csrf(request.into_response(error.respond(&request_id))));
    }
    next.call(request).await.map(|response| with_fresh_csrf(response.map_into_boxed_body()))
}

/// Gives the browser the cookies of its session under another id, or the CSRF token of its session when it has another one, whatever became of the request: that is
/// how pages go on after the token changed.
fn with_fresh_csrf(mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let fresh = response.request().extensions().get::<FreshCsrf>().cloned();
    // An answer that sets the cookies of another session, or takes them back, knows better.
    let decided = response.response().cookies().any(|cookie| cookie.name() == super::cookies::CSRF);
    let renewed = response.request().extensions().get::<Renewed>().cloned();
    if let Some(Renewed { cookies, .. }) = renewed.filter(|_| !decided) {
        for cookie in &cookies {
            if let Err(error) = response.response_mut().add_cookie(cookie) {
                tracing::error!(%error, "a cookie of a session can't be written");
            }
        }
        if let Ok(value) = actix_web::http::header::HeaderValue::from_str(cookies[1].value()) {
            response.headers_mut().insert(HeaderName::from_static("x-csrf-token"), value);
        }
    } else if let Some(FreshCsrf { token, cookie }) = fresh.filter(|_| !decided) {
        if let Ok(value) = actix_web::http::header::HeaderValue::from_str(&token) {
            response.headers_mut().insert(HeaderName::from_static("x-csrf-token"), value);
        }
        if let Err(error) = response.response_mut().add_cookie(&cookie) {
            tracing::error!(%error, "the CSRF cookie can't be written");
        }
    }
    response
}

/// Whether the address is there at the moment.
async fn present(request: &ServiceRequest, presence: Presence) -> Result<(), ApiError> {
    let there = match presence {
        Presence::Always => true,
        Presence::Breakglass => state_of(request)?.breakglass.is_some(),
        Presence::BreakglassOpen => crate::auth::breakglass::open(&*state_of(request)?).await?,
    };
    if there { Ok(()) } else { Err(generic(StatusCode::NOT_FOUND)) }
}

/// Bytes and time that a refused request's body may take.
const READ_OFF: (usize, Duration) = (64 * 1024, Duration::from_millis(500));

/// Takes the body of a refused request off the wire, if it is small. Over HTTP/2 an answer that comes before the body
/// was read resets the stream, and clients then report the reset and not the answer.
async fn read_off(request: &mut ServiceRequest) {
    let (mut left, time) = READ_OFF;
    let mut payload = request.take_payload();
    let reading = async {
        while let Some(Ok(chunk)) = payload.next().await {
            let Some(rest) = left.checked_sub(chunk.len()) else { break };
            left = rest;
        }
    };
    if tokio::time::timeout(time, reading).await.is_err() {
        tracing::debug!("the body of a refused request did not come in time");
    }
}

async fn pass(request: &ServiceRequest, gate: Gate) -> Result<(), ApiError> {
    let state = state_of(request)?;
    authenticate(&state, request, gate).await?;
    decide(&state, request, gate).await
}

fn state_of(request: &ServiceRequest) -> Result<web::Data<AppState>, ApiError> {
    request
        .app_data::<web::Data<AppState>>()
        .cloned()
        .ok_or_else(|| ApiError::internal("the application state is not configured"))
}

fn facts_of(request: &ServiceRequest) -> Result<RequestFacts, ApiError> {
    request.extensions().get::<RequestFacts>().cloned().ok_or_else(|| ApiError::internal("the pipeline did not run"))
}

/// Finds the caller and puts it into the request's extensions.
pub(crate) async fn authenticate(state: &AppState, request: &ServiceRequest, gate: Gate) -> Result<(), ApiError> {
    let facts = facts_of(request)?;
    let optional = matches!(gate, Gate::Enrolment(_));
    let mut cause = None;
    if let Some(value) = presented(request.request()) {
        let user_agent = request.headers().get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match state.session(&value, &facts, user_agent).await? {
            Ok(principal) => return admit_session(state, request, facts, principal).await,
            // A key beside it may still be good.
            Err(refusal) => cause = Some(refusal.cause()),
        }
    }
    let presented = match bearer(request.headers()) {
        Ok(presented) => presented,
        Err(_) if state.access.anonymous_admin() => {
            let caller = demo_caller(&facts);
            request.extensions_mut().insert(caller);
            return Ok(());
        }
        Err(_) if optional => return Ok(()),
        Err(_) if cause.is_some() => {
            return Err(ApiError::unauthenticated("Authentication required").because_of_session(cause));
        }
        Err(error) => return Err(error),
    };
    let found = if optional {
        // What is no key may be an enrolment token: whether it is, and counting it when it is not, is the operation's.
        if !state.access.recognises(&presented) {
            state.peek(&state.limits.enrolment, &facts.address_key(), &facts.nobody()).await?;
        }
        state.access.resolve(&presented, facts.source_ip.as_deref()).await?
    } else {
        identify(state, &facts, &presented, request.method(), request.path()).await?
    };
    let Some(principal) = found else {
        let unknown = || ApiError::unauthenticated("Invalid API key").because_of_session(cause);
        return if optional { Ok(()) } else { Err(unknown()) };
    };
    admit_caller(state, request, facts, principal).await
}

/// Counts the request against its principal's limit, and hands the caller on.
async fn admit_caller(
    state: &AppState,
    request: &ServiceRequest,
    facts: RequestFacts,
    principal: Principal,
) -> Result<(), ApiError> {
    if let Some(limiter) = &state.limits.principal {
        let key = format!("{}:{}", principal.actor.kind.as_str(), principal.actor.id);
        let caller = principal.clone().caller(facts.request_id.clone(), facts.source_ip.clone());
        let verdict = state.take(limiter, &key, &caller.context).await?;
        keep_tightest(&mut request.extensions_mut(), verdict);
    }
    let caller = principal.caller(facts.request_id, facts.source_ip);
    request.extensions_mut().insert(caller);
    Ok(())
}

/// The same for a session, whose requests must come from our own pages where they change something.
async fn admit_session(
    state: &AppState,
    request: &ServiceRequest,
    facts: RequestFacts,
    principal: Principal,
) -> Result<(), ApiError> {
    let session = principal.session.clone().ok_or_else(|| ApiError::internal("a session without a session"))?;
    let renewed = if session.renew { state.renew(&session, &facts).await? } else { None };
    let current = renewed.as_ref().map_or_else(|| Arc::clone(&session), |renewed| Arc::clone(&renewed.session));
    if let Some(renewed) = renewed {
        request.extensions_mut().insert(renewed);
    }
    if let Err(error) = guard_csrf(state, request.request(), &session) {
        let mut context = facts.nobody();
        context.actor = session.actor.clone();
        let source = session.id.clone();
        let details = serde_json::json!({
            "method": request.method().as_str(), "reason": "csrf", "session_id": session.id,
        });
        let event = || AuditEvent::new(Action::PermissionDenied, &context, request.path(), details);
        state.tell_of("csrf", Some(&source), event).await;
        return Err(error);
    }
    request.extensions_mut().insert(Current(current));
    admit_caller(state, request, facts, principal).await
}

/// Whose credential was presented; nobody's counts as a failed sign-in. An address with too many of those is refused
/// before its next guess is looked at, unless the credential is one that was recognised here before.
async fn identify(
    state: &AppState,
    facts: &RequestFacts,
    presented: &str,
    method: &Method,
    path: &str,
) -> Result<Option<Principal>, ApiError> {
    let (address, context) = (facts.address_key(), facts.nobody());
    if !state.access.recognises(presented) {
        state.peek(&state.limits.sign_in, &address, &context).await?;
    }
    let found = state.access.resolve(presented, facts.source_ip.as_deref()).await?;
    if found.is_none() {
        // Beyond the limit neither the answer nor the trail grows with the guesses.
        state.take(&state.limits.sign_in, &address, &context).await?;
        let details = serde_json::json!({"method": method.as_str(), "reason": "unknown_or_expired_key"});
        let event = || AuditEvent::new(Action::AuthenticationFailed, &context, path, details);
        state.tell_of("sign_in_failed", None, event).await;
    }
    Ok(found)
}

fn bearer(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(value) = headers.get("authorization") else {
        return Err(ApiError::unauthenticated("Authorization header required"));
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim().to_owned())
        }
        _ => Err(ApiError::unauthenticated("Invalid Authorization header format, expected: Bearer <token>")),
    }
}

fn demo_caller(facts: &RequestFacts) -> Caller {
    let mut caller = Caller::system(&facts.request_id);
    caller.context = RequestContext {
        actor: certctl_kernel::Actor::new("actor-demo-anon", ActorType::Anonymous),
        request_id: facts.request_id.clone(),
        source_ip: facts.source_ip.clone(),
    };
    caller.roles = vec![certctl_rbac::ADMIN_ROLE.to_owned()];
    caller
}

async fn decide(state: &AppState, request: &ServiceRequest, gate: Gate) -> Result<(), ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    let (permission, allowed) = match (gate, &caller) {
        (Gate::Public(_) | Gate::Authenticated, _) | (Gate::Enrolment(_), None) => return Ok(()),
        (_, None) => return Err(ApiError::unauthenticated("Authentication required")),
        (Gate::Permission(permission) | Gate::Enrolment(permission), Some(caller)) => {
            (permission, caller.may(permission, &[]))
        }
        // The use case decides for which objects; here it is enough to hold the permission somewhere.
        (Gate::Objects(permission), Some(caller)) => (permission, caller.within(permission).is_ok()),
        (Gate::Scoped(permission, kind), Some(caller)) => {
            let id = request.match_info().query("id").to_owned();
            let scope = match kind {
                ScopeType::Issuer => Scope::Issuer(id),
                ScopeType::Profile => Scope::Profile(id),
                ScopeType::Global => Scope::Global,
            };
            (permission, caller.may(permission, &[scope]))
        }
    };
    request.extensions_mut().insert(Asked(permission.as_str()));
    if allowed {
        if let Some(caller) = &caller {
            state.usage.note(&caller.context.actor, permission, state.ambient.now());
        }
        return Ok(());
    }
    if let Some(caller) = &caller {
        let source = format!("{} {}", caller.context.actor.id, permission.as_str());
        let details = serde_json::json!({"method": request.method().as_str(), "permission": permission.as_str()});
        let event = || AuditEvent::new(Action::PermissionDenied, &caller.context, request.path(), details);
        state.tell_of("denied", Some(&source), event).await;
    }
    Err(certctl_kernel::DomainError::Forbidden { permission: permission.as_str().to_owned() }.into())
}

/// Records an event that belongs to no change. The refusal it tells of stands whether or not it can be stored.
pub(crate) async fn record_alone(state: &AppState, event: AuditEvent) {
    let outcome = async {
        let mut unit = state.db.begin().await?;
        unit.stores().record(event).await?;
        unit.save().await
    };
    if let Err(error) = outcome.await {
        tracing::error!(%error, "a refusal could not be recorded in the audit trail");
    }
}

/// Unknown addresses: under `/api/v1` one signs in before learning that there is nothing.
pub(crate) async fn nothing_here(cx: Cx, request: actix_web::HttpRequest) -> Result<HttpResponse, ApiError> {
    if request.path().starts_with("/api/v1") && cx.caller_if_any().is_none() {
        let state = cx.state();
        let known = match bearer(request.headers()) {
            _ if cx.presented_session().await?.is_ok() => true,
            Ok(key) => identify(state, cx.facts(), &key, request.method(), request.path()).await?.is_some(),
            Err(_) => state.access.anonymous_admin(),
        };
        if !known {
            return Err(ApiError::unauthenticated("Authorization header required"));
        }
    }
    Err(generic(StatusCode::NOT_FOUND))
}
