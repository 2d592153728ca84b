//! Jobs as data.

use certctl_kernel::{DEFAULT_TENANT, Id, Timestamp};
use certctl_rbac::Scope;
use std::hash::{DefaultHasher, Hash, Hasher as _};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The wire and database spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// Parses the exact wire spelling.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

wire_enum! {
    /// What a job does, in wire spelling.
    JobType {
        /// The first leaf of a certificate.
        Issuance = "Issuance",
        /// A further leaf.
        Renewal = "Renewal",
        /// A leaf onto a target.
        Deployment = "Deployment",
        /// A check of what a target serves.
        Validation = "Validation",
    }
}

wire_enum! {
    /// States of a job, in wire spelling.
    JobStatus {
        /// Waits for someone to claim it.
        Pending = "Pending",
        /// Waits for an agent's certificate request.
        AwaitingCSR = "AwaitingCSR",
        /// Waits for a person's decision.
        AwaitingApproval = "AwaitingApproval",
        /// Someone works on it under a lease.
        Running = "Running",
        /// Done.
        Completed = "Completed",
        /// Tried and not done; with [`Job::retryable`] another attempt follows.
        Failed = "Failed",
        /// Called off.
        Cancelled = "Cancelled",
    }
}

wire_enum! {
    /// Why a job exists.
    Trigger {
        /// A person or API client asked for it.
        Manual = "manual",
        /// The renewal scan found it due.
        Schedule = "schedule",
        /// The CA suggested it.
        Ari = "ari",
        /// Part of a bulk operation.
        Bulk = "bulk",
        /// The ACME server.
        Acme = "acme",
        /// The EST server.
        Est = "est",
        /// The SCEP server.
        Scep = "scep",
        /// A new version was issued and must reach its targets.
        Issuance = "issuance",
    }
}

wire_enum! {
    /// Whether a deployment was seen to be served, in wire spelling.
    VerificationStatus {
        /// Nobody has looked yet.
        Pending = "pending",
        /// The target serves the deployed leaf.
        Success = "success",
        /// It serves another leaf, or could not be asked.
        Failed = "failed",
        /// Nothing to look at.
        Skipped = "skipped",
    }
}

impl JobStatus {
    /// Whether the job still waits or runs.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::AwaitingCSR | Self::AwaitingApproval | Self::Running)
    }
}

/// A piece of work on a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// `job-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// What it does.
    pub kind: JobType,
    /// The certificate.
    pub certificate_id: Id,
    /// The version it deploys, or the one it brought about.
    pub version_id: Option<Id>,
    /// Where it deploys to.
    pub target_id: Option<Id>,
    /// The agent it belongs to; of a waiting request, the agent that polled first.
    pub agent_id: Option<Id>,
    /// State.
    pub status: JobStatus,
    /// Attempts begun.
    pub attempts: i32,
    /// Attempts allowed.
    pub max_attempts: i32,
    /// Why the last attempt failed, or why it was called off.
    pub last_error: Option<String>,
    /// Of a failed job: another attempt follows at `scheduled_at`.
    pub retryable: bool,
    /// Kind of the last failure, see [`crate::ErrorClass`].
    pub error_class: Option<String>,
    /// Not to be begun before.
    pub scheduled_at: Timestamp,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended for good.
    pub completed_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it entered its state.
    pub state_entered_at: Timestamp,
    /// Who works on it, while it runs.
    pub lease_owner: Option<String>,
    /// Until when it is theirs.
    pub lease_expires_at: Option<Timestamp>,
    /// Who asked for it.
    pub requested_by: String,
    /// Why it exists.
    pub trigger: Trigger,
    /// Bumped by each update.
    pub row_version: i64,
    /// What was last seen at its target.
    pub verification: Option<Verification>,
}

/// What is needed to make a job.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// `job-…`
    pub id: Id,
    /// What it does.
    pub kind: JobType,
    /// The certificate.
    pub certificate_id: Id,
    /// The version it deploys.
    pub version_id: Option<Id>,
    /// Where it deploys to.
    pub target_id: Option<Id>,
    /// The agent it belongs to.
    pub agent_id: Option<Id>,
    /// Attempts allowed.
    pub max_attempts: i32,
    /// Who asked for it.
    pub requested_by: String,
    /// Why it exists.
    pub trigger: Trigger,
    /// Whether a second person must grant it first.
    pub needs_approval: bool,
    /// Now.
    pub now: Timestamp,
}

impl From<NewJob> for Job {
    /// Requests wait for a CSR: the key is made where it is used. Everything else waits to be claimed.
    fn from(new: NewJob) -> Self {
        let status = match new.kind {
            JobType::Issuance | JobType::Renewal if new.needs_approval => JobStatus::AwaitingApproval,
            JobType::Issuance | JobType::Renewal => JobStatus::AwaitingCSR,
            JobType::Deployment | JobType::Validation => JobStatus::Pending,
        };
        Self {
            id: new.id,
            tenant_id: DEFAULT_TENANT.to_owned(),
            kind: new.kind,
            certificate_id: new.certificate_id,
            version_id: new.version_id,
            target_id: new.target_id,
            agent_id: new.agent_id,
            status,
            attempts: 0,
            max_attempts: new.max_attempts.max(1),
            last_error: None,
            retryable: false,
            error_class: None,
            scheduled_at: new.now,
            started_at: None,
            completed_at: None,
            created_at: new.now,
            state_entered_at: new.now,
            lease_owner: None,
            lease_expires_at: None,
            requested_by: new.requested_by,
            trigger: new.trigger,
            row_version: 1,
            verification: None,
        }
    }
}

impl Job {
    /// Whether the job brings about a new version.
    pub const fn is_request(&self) -> bool {
        matches!(self.kind, JobType::Issuance | JobType::Renewal)
    }

    /// Whether nothing more will happen to it.
    pub const fn is_terminal(&self) -> bool {
        match self.status {
            JobStatus::Completed | JobStatus::Cancelled => true,
            JobStatus::Failed => !self.retryable,
            _ => false,
        }
    }

    /// Whether its target was seen to serve the deployed leaf.
    pub fn verification_status(&self) -> VerificationStatus {
        match (&self.verification, self.kind) {
            (Some(seen), _) if seen.success => VerificationStatus::Success,
            (Some(_), _) => VerificationStatus::Failed,
            (None, JobType::Deployment) => VerificationStatus::Pending,
            (None, _) => VerificationStatus::Skipped,
        }
    }
}

/// What an agent saw at a target after a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// `ver-…`
    pub id: Id,
    /// The deployment.
    pub job_id: Id,
    /// When it was reported.
    pub at: Timestamp,
    /// Whether the fingerprints are the same and nothing failed.
    pub success: bool,
    /// SHA-256 that should be served, lower-case hex.
    pub expected_fingerprint: String,
    /// SHA-256 that is served; empty when the target could not be asked.
    pub actual_fingerprint: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// Filters of the job list; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct JobFilter {
    /// State.
    pub status: Option<JobStatus>,
    /// Kind.
    pub kind: Option<JobType>,
    /// Certificate.
    pub certificate_id: Option<Id>,
    /// Target.
    pub target_id: Option<Id>,
    /// Agent.
    pub agent_id: Option<Id>,
    /// Only jobs of certificates in these scopes; what the caller may see is set by the use case.
    pub within: Option<Vec<Scope>>,
}

impl JobFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("jobs", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
