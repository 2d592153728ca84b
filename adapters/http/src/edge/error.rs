//! One error shape for every response.

use super::limits::quota_headers;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use certctl_kernel::{DomainError, FieldError, StoreError};
use certctl_ports::Verdict;
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use utoipa::ToSchema;

/// The body of every response with a status of 400 or more.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    /// HTTP reason phrase, or a fixed token where existing clients parse one.
    pub error: String,
    /// What went wrong, for people.
    pub message: String,
    /// Stable token for programs.
    pub code: String,
    /// Correlates with logs and the audit trail.
    pub request_id: String,
    /// The members that broke a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldErrorBody>,
    /// Counts of what stands in the way and similar facts.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: Map<String, Value>,
}

/// One rule that one member broke.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldErrorBody {
    /// JSON member or parameter.
    pub field: String,
    /// Stable token of the rule.
    pub code: String,
    /// The rule in words.
    pub message: String,
}

/// A refusal or failure on its way to the client.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) error: Option<&'static str>,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) errors: Vec<FieldError>,
    pub(crate) extra: Map<String, Value>,
    pub(crate) retry_after: Option<u32>,
    pub(crate) quota: Option<Verdict>,
    /// Why the presented session is not good, for the challenge of a 401.
    pub(crate) session_cause: Option<&'static str>,
}

impl ApiError {
    /// An error with this status, stable code and text.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status,
            error: None,
            code: code.into(),
            message: message.into(),
            errors: Vec::new(),
            extra: Map::new(),
            retry_after: None,
            quota: None,
            session_cause: None,
        }
    }

    /// 400 for one parameter or member.
    pub fn invalid(field: &str, code: &str, message: impl Into<String>) -> Self {
        DomainError::invalid(field, code, message).into()
    }

    /// 401; existing clients show the text.
    pub fn unauthenticated(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
    }

    /// Adds the seconds after which a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Adds where the client stands with a limit.
    #[must_use]
    pub(crate) fn quota(mut self, verdict: Verdict) -> Self {
        self.quota = Some(verdict);
        self
    }

    /// Adds why the session that was presented is not good.
    #[must_use]
    pub(crate) const fn because_of_session(mut self, cause: Option<&'static str>) -> Self {
        self.session_cause = cause;
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, member: &str, value: Value) -> Self {
        self.extra.insert(member.to_owned(), value);
        self
    }

    /// Replaces the reason phrase by a token that existing clients parse.
    #[must_use]
    pub fn token(mut self, token: &'static str) -> Self {
        self.error = Some(token);
        self
    }

    /// The response with its body, once the request id is known.
    pub(crate) fn respond(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header(("Retry-After", seconds.to_string()));
        }
        if let Some(verdict) = self.quota {
            for header in quota_headers(verdict) {
                response.insert_header(header);
            }
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = match self.session_cause {
                None => "Bearer realm=\"certctl\"".to_owned(),
                Some(cause) => {
                    format!("Bearer realm=\"certctl\", error=\"invalid_token\", error_description=\"{cause}\"")
                }
            };
            response.insert_header(("WWW-Authenticate", challenge));
        }
        response.insert_header(("Cache-Control", "no-store"));
        response.json(ErrorBody {
            error: self
                .error
                .map_or_else(|| self.status.canonical_reason().unwrap_or("Error").to_owned(), ToOwned::to_owned),
            message: self.message.clone(),
            code: self.code.clone().into_owned(),
            request_id: request_id.to_owned(),
            errors: self
                .errors
                .iter()
                .map(|e| FieldErrorBody { field: e.field.clone(), code: e.code.clone(), message: e.message.clone() })
                .collect(),
            extra: self.extra.clone(),
        })
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}: {}", self.status.as_u16(), self.code, self.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        // The pipeline writes the body again with the request id; this one serves only code outside it.
        self.respond("")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate { field, existing_id } => {
                let mut out =
                    Self::new(StatusCode::CONFLICT, "conflict", format!("{field} is already in use; choose another"));
                out.extra.insert("field".to_owned(), Value::String(field));
                if let Some(id) = existing_id {
                    out.extra.insert("existing_id".to_owned(), Value::String(id));
                }
                out
            }
            StoreError::UnknownReference { field } => {
                Self::invalid(&field, "unknown_reference", "names an object that does not exist")
            }
            StoreError::InUse => Self::new(
                StatusCode::CONFLICT,
                "dependency_blocked",
                "other objects still refer to this one; move or remove them first",
            ),
            StoreError::CheckFailed { constraint } => {
                Self::invalid(&constraint, "check_failed", "is outside what the database accepts")
            }
            StoreError::Conflict => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "concurrent_change",
                "another change was made at the same time; try again",
            )
            .retry_after(1),
            StoreError::Timeout => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "database_timeout", "the database took too long").retry_after(5)
            }
            StoreError::Unavailable => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "the database is unavailable; nothing was changed",
            )
            .retry_after(5),
            StoreError::Internal { reason } => Self::internal(&reason),
        }
    }
}

impl From<DomainError> for ApiError {
    fn from(error: DomainError) -> Self {
        let message = error.to_string();
        match error {
            DomainError::Validation(errors) => {
                Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "validation_failed", message) }
            }
            DomainError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            DomainError::Conflict { code, existing_id, .. } => {
                let mut out = Self::new(StatusCode::CONFLICT, code, message);
                if let Some(id) = existing_id {
                    out.extra.insert("existing_id".to_owned(), Value::String(id));
                }
                out
            }
            DomainError::PreconditionFailed => {
                Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", message)
            }
            DomainError::Forbidden { permission } => {
                Self::new(StatusCode::FORBIDDEN, "insufficient_permission", "Insufficient permissions")
                    .with("permission", Value::String(permission))
            }
            DomainError::Gone { code, .. } => Self::new(StatusCode::GONE, code, message),
            DomainError::Unprocessable(errors) => {
                let code = errors.first().map_or_else(|| "policy_refused".to_owned(), |first| first.code.clone());
                Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message) }
            }
            DomainError::Upstream { .. } => Self::new(StatusCode::BAD_GATEWAY, "upstream_failed", message),
            DomainError::NotSupported { .. } => Self::new(StatusCode::NOT_IMPLEMENTED, "not_supported", message),
            DomainError::Store(store) => store.into(),
            DomainError::Internal { reason } => Self::internal(&reason),
        }
    }
}

impl ApiError {
    /// 500: the reason goes to the log, a fixed text to the client.
    pub fn internal(reason: &str) -> Self {
        tracing::error!(reason, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error")
    }
}
