//! What a deployment says when it is over.

use serde::{Deserialize, Serialize};

/// How a deployment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployOutcome {
    /// The new material is in place and served.
    Changed,
    /// It was in place and served before.
    Unchanged,
    /// Refused before anything changed.
    Refused {
        /// The rule that was broken.
        cause: String,
    },
    /// It failed on the way; the old material is back in place and served.
    RolledBack {
        /// What failed.
        cause: String,
    },
    /// It failed on the way and so did the way back: a human must look.
    RollbackFailed {
        /// What failed first.
        cause: String,
        /// What failed on the way back.
        rollback_cause: String,
    },
}

impl DeployOutcome {
    /// The stable token of the wire.
    pub const fn token(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Refused { .. } => "refused",
            Self::RolledBack { .. } => "rolled_back",
            Self::RollbackFailed { .. } => "rollback_failed",
        }
    }

    /// True when the target holds and serves the new material.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Changed | Self::Unchanged)
    }

    /// The failure in one line; `None` after a success.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Changed | Self::Unchanged => None,
            Self::Refused { cause } => Some(format!("refused, nothing was changed: {cause}")),
            Self::RolledBack { cause } => Some(format!("rolled back, the old certificate is in place: {cause}")),
            Self::RollbackFailed { cause, rollback_cause } => {
                Some(format!("rollback failed, look at the host: {cause}; on the way back: {rollback_cause}"))
            }
        }
    }
}

/// One step of a deployment, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name (`preflight`, `write`, `reload`).
    pub step: String,
    /// Whether it succeeded; a skipped step is `true` and says so in `detail`.
    pub ok: bool,
    /// How long it took.
    pub ms: u64,
    /// What it did or why it failed; never key material.
    pub detail: String,
}

/// The record of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// How it ended.
    pub outcome: DeployOutcome,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// Leaf that was in place before, where one could be read.
    pub old_fingerprint: Option<String>,
    /// Leaf that the request asked for.
    pub new_fingerprint: String,
    /// `<connector>-<unix seconds>`.
    pub deployment_id: String,
    /// The main path or address of the target.
    pub target_address: String,
    /// What the endpoint was seen to serve at the end, where one is known.
    pub served_fingerprint: Option<String>,
}

/// What `verify` saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// True when everything that could be looked at holds the expected leaf.
    pub valid: bool,
    /// The leaf in the target's storage.
    pub stored_fingerprint: Option<String>,
    /// The leaf on the wire; `None` when no endpoint is known or it did not answer.
    pub served_fingerprint: Option<String>,
    /// What was compared, or what differs.
    pub message: String,
}
