//! What every request passes: identification, limits, authentication, the gate, headers and the access log.

use super::cx::RequestFacts;
use super::route::Gate;
use super::{ApiError, Cx};
use crate::state::AppState;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use certctl_audit::{Action, AuditEvent};
use certctl_kernel::{ActorType, RequestContext};
use certctl_rbac::{Caller, Scope, ScopeType};
use data_encoding::HEXLOWER;
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

/// The outermost layer.
pub async fn outer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<AppState>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let started = Instant::now();
    let request_id = request_id(request.headers(), &state);
    let source_ip = state.settings.trusted_proxies.of(request.request()).map(|ip| ip.to_string());
    let facts = RequestFacts { request_id: request_id.clone(), source_ip: source_ip.clone() };
    request.extensions_mut().insert(facts);

    let origin = allowed_origin(request.headers(), &state);
    // No second handle on the request may exist while it is routed: actix writes into it.
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let mut response = if request.method() == Method::OPTIONS && origin.is_some() {
        request.into_response(HttpResponse::NoContent().finish())
    } else if let Some(wait) = over_address_limit(&state, source_ip.as_deref(), request.path()) {
        request.into_response(rate_limited(wait).respond(&request_id))
    } else {
        let handled = AssertUnwindSafe(next.call(request)).catch_unwind();
        match tokio::time::timeout(state.settings.request_timeout, handled).await {
            Ok(Ok(Ok(response))) => rewrite(response, &request_id),
            Ok(Ok(Err(error))) => {
                let error = error.as_error::<ApiError>().cloned();
                let error = error.unwrap_or_else(|| ApiError::internal("a layer failed without saying how"));
                return Err(broken_off(&error, &request_id, origin.as_ref(), &method, &path, started));
            }
            Ok(Err(_panic)) => {
                let error = ApiError::internal("a handler panicked");
                return Err(broken_off(&error, &request_id, origin.as_ref(), &method, &path, started));
            }
            Err(_elapsed) => {
                let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the request took too long");
                let error = error.retry_after(5);
                return Err(broken_off(&error, &request_id, origin.as_ref(), &method, &path, started));
            }
        }
    };
    if let Some(origin) = origin {
        cors(response.headers_mut(), &origin);
    }
    finish(response.headers_mut(), &request_id);
    log(&response, &request_id, source_ip.as_deref(), started);
    Ok(response)
}

/// The answer to a request that was dropped before it had one, and so took its place in actix with it.
fn broken_off(
    error: &ApiError,
    request_id: &str,
    origin: Option<&String>,
    method: &Method,
    path: &str,
    started: Instant,
) -> Error {
    let mut response = error.respond(request_id);
    if let Some(origin) = origin {
        cors(response.headers_mut(), origin);
    }
    finish(response.headers_mut(), request_id);
    let seconds = started.elapsed().as_secs_f64();
    let duration_ms = seconds * 1000.0;
    crate::metrics::observe_request(method, None, response.status().as_u16(), seconds);
    tracing::error!(request_id, %method, path, status = response.status().as_u16(), duration_ms, %error, "request failed");
    actix_web::error::InternalError::from_response(error.to_string(), response).into()
}

fn request_id(headers: &HeaderMap, state: &AppState) -> String {
    let offered = headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sound = (8..=128).contains(&offered.len())
        && offered.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if sound { offered.to_owned() } else { HEXLOWER.encode(&state.ambient.octets::<16>()) }
}

fn over_address_limit(state: &AppState, source_ip: Option<&str>, path: &str) -> Option<u32> {
    if matches!(path, "/health" | "/ready") {
        return None;
    }
    let wait = state.address_limiter.as_ref()?.check(source_ip.unwrap_or("unknown")).err()?;
    crate::metrics::rate_limited("address");
    Some(wait)
}

fn rate_limited(wait: u32) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Rate limit exceeded").retry_after(wait.max(1))
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

fn allowed_origin(headers: &HeaderMap, state: &AppState) -> Option<String> {
    let origin = headers.get("origin")?.to_str().ok()?;
    state.settings.cors_origins.iter().any(|allowed| allowed == origin).then(|| origin.to_owned())
}

fn cors(headers: &mut HeaderMap, origin: &str) {
    let Ok(origin) = HeaderValue::from_str(origin) else { return };
    headers.insert(HeaderName::from_static("access-control-allow-origin"), origin);
    for (name, value) in [
        ("vary", "Origin"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET, POST, PUT, DELETE, PATCH, OPTIONS"),
        (
            "access-control-allow-headers",
            "Content-Type, Authorization, X-Request-ID, X-CSRF-Token, If-None-Match, If-Match, Idempotency-Key",
        ),
        ("access-control-expose-headers", "ETag, X-Request-ID, Retry-After"),
        ("access-control-max-age", "86400"),
    ] {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

fn finish(headers: &mut HeaderMap, request_id: &str) {
    for (name, value) in [
        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer-when-downgrade"),
        (
            "content-security-policy",
            "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'; \
             connect-src 'self'; frame-ancestors 'none'",
        ),
        (
            "permissions-policy",
            "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
        ),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
}

fn log(response: &ServiceResponse<BoxBody>, request_id: &str, source_ip: Option<&str>, started: Instant) {
    let request = response.request();
    let actor = request.extensions().get::<Caller>().map(|caller| caller.context.actor.id.clone());
    let seconds = started.elapsed().as_secs_f64();
    let duration_ms = seconds * 1000.0;
    let pattern = request.match_pattern();
    let (path, status) = (request.path(), response.status().as_u16());
    crate::metrics::observe_request(request.method(), pattern.as_deref(), status, seconds);
    let (method, route) = (request.method().as_str(), pattern.unwrap_or_default());
    if matches!(path, "/health" | "/ready") {
        tracing::debug!(request_id, method, path, route, status, duration_ms, source_ip, actor, "request completed");
    } else {
        tracing::info!(request_id, method, path, route, status, duration_ms, source_ip, actor, "request completed");
    }
}

/// The layer of one address: authentication and the gate of the method asked for.
pub(crate) async fn gated<B: MessageBody + 'static>(
    gate: Option<Gate>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(gate) = gate
        && !matches!(gate, Gate::Public(_))
        && let Err(error) = pass(&request, gate).await
    {
        let request_id = facts_of(&request).map(|facts| facts.request_id).unwrap_or_default();
        return Ok(request.into_response(error.respond(&request_id)));
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
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
    let presented = match bearer(request.headers()) {
        Ok(presented) => presented,
        Err(_) if state.access.anonymous_admin() => {
            let caller = demo_caller(&facts);
            request.extensions_mut().insert(caller);
            return Ok(());
        }
        Err(_) if optional => return Ok(()),
        Err(error) => return Err(error),
    };
    let address = facts.source_ip.clone().unwrap_or_else(|| "unknown".to_owned());
    match state.access.resolve(&presented, facts.source_ip.as_deref()).await? {
        Some(principal) => {
            if let Some(limiter) = &state.principal_limiter {
                let key = format!("{}:{}", principal.actor.kind.as_str(), principal.actor.id);
                limiter.check(&key).map_err(rate_limited)?;
            }
            let caller = principal.caller(facts.request_id, facts.source_ip);
            request.extensions_mut().insert(caller);
            Ok(())
        }
        None if optional => Ok(()),
        None => {
            // Beyond the limit neither the answer nor the trail grows with the guesses.
            state.failure_limiter.check(&address).map_err(rate_limited)?;
            let context = RequestContext {
                actor: certctl_kernel::Actor::new("anonymous", ActorType::Anonymous),
                request_id: facts.request_id,
                source_ip: facts.source_ip,
            };
            let details = serde_json::json!({"method": request.method().as_str(), "reason": "unknown_or_expired_key"});
            record_alone(state, AuditEvent::new(Action::AuthenticationFailed, &context, request.path(), details)).await;
            Err(ApiError::unauthenticated("Invalid API key"))
        }
    }
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
        // The use case decides for which objects; here it is enough to hold the permission somewhere.
        (Gate::Permission(permission) | Gate::Enrolment(permission), Some(caller)) => {
            (permission, caller.permissions.iter().any(|held| held.permission == permission))
        }
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
    if allowed {
        return Ok(());
    }
    if let Some(caller) = &caller
        && state.failure_limiter.check(&format!("denied:{}", caller.context.actor.id)).is_ok()
    {
        let details = serde_json::json!({"method": request.method().as_str(), "permission": permission.as_str()});
        record_alone(state, AuditEvent::new(Action::PermissionDenied, &caller.context, request.path(), details)).await;
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
        let presented = bearer(request.headers());
        let known = match presented {
            Ok(key) => cx.state().access.resolve(&key, Some(cx.source_ip())).await?.is_some(),
            Err(_) => cx.state().access.anonymous_admin(),
        };
        if !known {
            return Err(ApiError::unauthenticated("Authorization header required"));
        }
    }
    Err(generic(StatusCode::NOT_FOUND))
}
