//! What can go wrong at an issuer.

use certctl_kernel::{DomainError, FieldError, StoreError};

/// An issuer can't do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// There is no such issuer.
    #[error("issuer {0} not found")]
    Unknown(String),
    /// Its configuration is wrong.
    #[error("the issuer's configuration is not valid: {}", .0.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>().join("; "))]
    Misconfigured(Vec<FieldError>),
    /// Its CA material can't be used; names the file or certificate, never its content.
    #[error("{message}")]
    Unusable {
        /// Stable token, such as `ca_key_mismatch`.
        code: &'static str,
        /// What is wrong and the way out.
        message: String,
    },
    /// What was about to be signed broke a rule; nothing was signed.
    #[error("refused before signing: {}", .0.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join("; "))]
    Lint(Vec<FieldError>),
    /// The signature failed.
    #[error("the signing operation failed: {0}")]
    Signing(String),
    /// An external CA failed; the text is safe to show.
    #[error("the certificate authority answered: {0}")]
    Upstream(String),
    /// This kind of issuer does not offer the operation.
    #[error("{0}")]
    NotSupported(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IssuerError> for DomainError {
    fn from(error: IssuerError) -> Self {
        let message = error.to_string();
        match error {
            IssuerError::Unknown(id) => Self::not_found("issuer", id),
            IssuerError::Misconfigured(_) | IssuerError::Upstream(_) => Self::Upstream { message },
            IssuerError::Unusable { code, .. } => {
                Self::Unprocessable(vec![FieldError::new("issuer_id", code, message)])
            }
            IssuerError::Lint(errors) => Self::Unprocessable(errors),
            IssuerError::Signing(reason) => Self::Internal { reason },
            IssuerError::NotSupported(message) => Self::NotSupported { message },
            IssuerError::Store(error) => Self::Store(error),
        }
    }
}
