//! The error taxonomy: what a domain may say went wrong, and what a store may.

use serde::Serialize;

/// One rule that one input member broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON member or parameter, dotted where nested (`config.cert_path`).
    pub field: String,
    /// Stable snake_case token of the rule.
    pub code: String,
    /// The rule in words, with the limit and, where it helps, an example.
    pub message: String,
}

impl FieldError {
    /// A broken rule of `field`.
    pub fn new(field: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.into(), message: message.into() }
    }
}

/// Failures a store can report; the adapter maps its driver's errors to these and never leaks their text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A unique rule was broken.
    #[error("{field} is already in use")]
    Duplicate {
        /// Member whose value clashes.
        field: String,
        /// Id of the row that holds the value, when known.
        existing_id: Option<String>,
    },
    /// A reference to a row that does not exist.
    #[error("{field} names an unknown object")]
    UnknownReference {
        /// Member that holds the reference.
        field: String,
    },
    /// The row is still referenced, so it can't go.
    #[error("the object is in use")]
    InUse,
    /// A check constraint refused the row; validation should have caught it.
    #[error("the database refused the value: {constraint}")]
    CheckFailed {
        /// Name of the constraint.
        constraint: String,
    },
    /// Another transaction won; the caller may run the whole use case again.
    #[error("the change met a concurrent one")]
    Conflict,
    /// The statement ran out of time.
    #[error("the database took too long")]
    Timeout,
    /// The database can't be reached or refuses connections.
    #[error("the database is unavailable")]
    Unavailable,
    /// Anything else; `reason` is for the log, never for a response.
    #[error("the database failed")]
    Internal {
        /// Detail for the log.
        reason: String,
    },
}

/// Failures common to the use cases of the inventory-like domains. Domains with richer rules wrap it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// The input broke one rule or several; nothing changed. HTTP 400.
    #[error("validation failed: {}", .0.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>().join("; "))]
    Validation(Vec<FieldError>),
    /// The object of the request does not exist. HTTP 404.
    #[error("{kind} {id} not found")]
    NotFound {
        /// Kind of object, as in messages (`certificate`).
        kind: &'static str,
        /// The id asked for.
        id: String,
    },
    /// The object is in a state that does not allow the operation, or a unique rule clashes. HTTP 409.
    #[error("{message}")]
    Conflict {
        /// Stable token, such as `conflict`, `dependency_blocked`, `job_open`.
        code: &'static str,
        /// What stands in the way and the way out.
        message: String,
        /// Id of the object in the way, when known.
        existing_id: Option<String>,
    },
    /// `If-Match` no longer matches. HTTP 412.
    #[error("the object changed since it was read")]
    PreconditionFailed,
    /// The caller lacks the permission. HTTP 403.
    #[error("Insufficient permissions")]
    Forbidden {
        /// The permission that is missing.
        permission: String,
    },
    /// The object is gone for good, such as a retired agent. HTTP 410.
    #[error("{message}")]
    Gone {
        /// Stable token.
        code: &'static str,
        /// What is gone.
        message: String,
    },
    /// Well formed, but policy refuses it, such as a CSR outside its profile. HTTP 422.
    #[error("policy refused the request: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join("; "))]
    Unprocessable(Vec<FieldError>),
    /// An upstream, such as an external CA, failed. HTTP 502.
    #[error("upstream failed: {message}")]
    Upstream {
        /// Sanitised cause.
        message: String,
    },
    /// The operation isn't offered by this object, such as a CRL of an external issuer. HTTP 501.
    #[error("{message}")]
    NotSupported {
        /// What is not offered.
        message: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A fault of ours; `reason` is for the log.
    #[error("internal error")]
    Internal {
        /// Detail for the log.
        reason: String,
    },
}

impl DomainError {
    /// One broken rule of one member.
    pub fn invalid(field: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Validation(vec![FieldError::new(field, code, message)])
    }

    /// A missing object.
    pub fn not_found(kind: &'static str, id: impl Into<String>) -> Self {
        Self::NotFound { kind, id: id.into() }
    }

    /// A state or uniqueness conflict.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict { code, message: message.into(), existing_id: None }
    }
}
