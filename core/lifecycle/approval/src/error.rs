//! What can go wrong with a decision.

use certctl_kernel::{DomainError, StoreError};

/// Failures of the use cases of this domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// The decider is, or can't be told from, the person who asked. HTTP 403.
    #[error("two-person integrity: {0}")]
    TwoPersons(&'static str),
    /// Someone else's request. HTTP 403.
    #[error("only who asked for it may withdraw a request")]
    NotRequester,
    /// Anything that other domains know as well.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<StoreError> for ApprovalError {
    fn from(error: StoreError) -> Self {
        Self::Domain(error.into())
    }
}

impl ApprovalError {
    /// A decision on a request that was decided, or can't be decided any more.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Domain(DomainError::conflict(code, message))
    }
}
