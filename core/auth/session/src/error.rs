//! What can go wrong with sessions.

use crate::RevokedReason;
use certctl_kernel::{DomainError, StoreError};
use certctl_ports::SealError;

/// A session could not be made, changed or read.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No key signs; the server made one at its start, so somebody deleted it.
    #[error("there is no key to sign sessions with")]
    NoKey,
    /// A key does not open.
    #[error("a session signing key: {0}")]
    Seal(#[from] SealError),
    /// Anything else.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Domain(error.into())
    }
}

/// Why a presented session is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The cookie is none of ours, or the session is not there.
    Invalid,
    /// It was ended.
    Revoked(RevokedReason),
    /// It reached its end.
    Absolute,
    /// It was not used for too long.
    Idle,
    /// It came from another address than it is bound to.
    Address,
    /// It came from another browser than it is bound to.
    UserAgent,
    /// Whose it is was switched off.
    Deactivated,
}

impl Refusal {
    /// What `error_description` of the challenge says (RFC 6750 §3).
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Invalid | Self::Address | Self::UserAgent => "invalid_token",
            Self::Revoked(RevokedReason::Idp | RevokedReason::Provider) => "back_channel_revoked",
            Self::Revoked(RevokedReason::Logout) => "logged_out",
            Self::Revoked(RevokedReason::Deactivated) | Self::Deactivated => "deactivated",
            Self::Revoked(_) => "revoked",
            Self::Absolute => "absolute_timeout",
            Self::Idle => "idle_timeout",
        }
    }
}
