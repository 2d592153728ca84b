//! Failures of building and reading.

use certctl_ports::KeyError;

/// Why an object could not be read or built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input is not what it claims to be.
    #[error("{what} can't be read: {reason}")]
    Malformed {
        /// Kind of object, such as `certificate`.
        what: &'static str,
        /// What is wrong with it, without its content.
        reason: String,
    },
    /// The object is readable, but breaks a rule.
    #[error("{message}")]
    Rule {
        /// Stable snake_case token of the rule.
        rule: &'static str,
        /// The rule in words.
        message: String,
    },
    /// The signing key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An object can't be encoded, such as for its size.
    #[error("can't encode {0}")]
    Encode(&'static str),
}

impl Error {
    pub(crate) fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed { what, reason: reason.into() }
    }

    pub(crate) fn rule(rule: &'static str, message: impl Into<String>) -> Self {
        Self::Rule { rule, message: message.into() }
    }

    /// The stable token of a broken rule, or of the kind of failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Rule { rule, .. } => rule,
            Self::Key(_) => "signing_failed",
            Self::Encode(_) => "encoding_failed",
        }
    }
}
