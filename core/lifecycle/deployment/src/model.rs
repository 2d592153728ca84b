//! Targets and assignments as data.

use certctl_jobs::{JobStatus, JobType};
use certctl_kernel::{Id, Timestamp};
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A product on a host that serves certificates.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// `target-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Unique name among the agent's targets in service.
    pub name: String,
    /// Type in wire spelling, such as `NGINX`.
    pub kind: String,
    /// The agent that serves it.
    pub agent_id: Id,
    /// Configuration without its secret members.
    pub config: Value,
    /// The secret members, sealed.
    pub sealed_config: Option<Vec<u8>>,
    /// Counts changes of the configuration.
    pub config_version: i64,
    /// Whether it takes deployments.
    pub enabled: bool,
    /// When it was last tested.
    pub last_tested_at: Option<Timestamp>,
    /// `untested`, `success` or `failed`.
    pub test_status: String,
    /// `database` or `env`.
    pub source: String,
    /// When it was taken out of service.
    pub retired_at: Option<Timestamp>,
    /// Why.
    pub retired_reason: Option<String>,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Which of the targets in and out of service a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Retired {
    /// Those in service.
    #[default]
    Hide,
    /// Those out of service.
    Only,
    /// Both.
    All,
}

/// Filters of the target list; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TargetFilter {
    /// Part of the id or name, without regard to case.
    pub q: Option<String>,
    /// Agent.
    pub agent_id: Option<Id>,
    /// Type.
    pub kind: Option<String>,
    /// In service or not.
    pub retired: Retired,
}

impl TargetFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("targets", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// What refers to a target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TargetUsage {
    /// Certificates attached to it.
    pub certificates: i64,
    /// Jobs for it that have not ended.
    pub open_jobs: i64,
}

/// How a certificate stands on a target, in wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttachmentState {
    /// Something is to be deployed.
    Pending,
    /// An agent is at it.
    Deploying,
    /// Deployed, not looked at.
    Deployed,
    /// Deployed and seen to be served.
    Verified,
    /// Something else is served.
    Drifted,
    /// The last deployment failed.
    Failed,
}

impl AttachmentState {
    /// Every state, in declaration order.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Deploying, Self::Deployed, Self::Verified, Self::Drifted, Self::Failed];

    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Deploying => "deploying",
            Self::Deployed => "deployed",
            Self::Verified => "verified",
            Self::Drifted => "drifted",
            Self::Failed => "failed",
        }
    }

    /// Parses the exact wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// The job that last touched an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastJob {
    /// `job-…`
    pub id: Id,
    /// State.
    pub status: JobStatus,
    /// Attempts begun.
    pub attempts: i32,
    /// Why it failed.
    pub last_error: Option<String>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}

/// A target with how one certificate stands on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attachment {
    /// The target.
    pub target: Target,
    /// State.
    pub state: AttachmentState,
    /// Version that should be there.
    pub desired_version_id: Option<Id>,
    /// Version that was deployed last.
    pub deployed_version_id: Option<Id>,
    /// Its fingerprint.
    pub deployed_fingerprint: Option<String>,
    /// When it was deployed.
    pub deployed_at: Option<Timestamp>,
    /// When it was seen to be served.
    pub verified_at: Option<Timestamp>,
    /// What was served when last looked.
    pub observed_fingerprint: Option<String>,
    /// Why the last deployment failed.
    pub last_error: Option<String>,
    /// The job that last touched it.
    pub last_job: Option<LastJob>,
    /// Outcome of the last deployment that reported one.
    pub last_outcome: Option<String>,
}

impl Attachment {
    /// Whether the target has another leaf than it should.
    pub fn has_drifted(&self) -> bool {
        self.state == AttachmentState::Drifted || self.desired_version_id != self.deployed_version_id
    }
}

/// One step of a deployment, as the agent told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name (`write`, `reload`).
    pub step: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// Milliseconds it took.
    pub ms: i64,
    /// What happened.
    pub detail: String,
}

/// How one deployment went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// `dep-…`
    pub id: Id,
    /// The job; a further attempt overwrites the record of the one before.
    pub job_id: Id,
    /// Certificate.
    pub certificate_id: Id,
    /// Version.
    pub version_id: Option<Id>,
    /// Target.
    pub target_id: Id,
    /// Agent.
    pub agent_id: Id,
    /// Whether the target now has the version.
    pub succeeded: bool,
    /// The agent's word for the outcome (`changed`, `unchanged`, `rolled_back`, …).
    pub outcome: String,
    /// Whether the target was seen to serve the leaf.
    pub verified: bool,
    /// What was done.
    pub steps: Vec<Step>,
    /// Leaf before.
    pub old_fingerprint: Option<String>,
    /// Leaf after.
    pub new_fingerprint: Option<String>,
    /// Leaf that was seen.
    pub served_fingerprint: Option<String>,
    /// Main path or address.
    pub target_address: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// What a poll needs to know first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkState {
    /// The agent is out of service.
    pub retired: bool,
    /// There is something to claim.
    pub waiting: bool,
}

/// A job as a store hands it to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedWork {
    /// The job.
    pub job_id: Id,
    /// What it does.
    pub kind: JobType,
    /// Its state after the claim.
    pub status: JobStatus,
    /// Attempts begun, this one included.
    pub attempts: i32,
    /// The certificate.
    pub certificate_id: Id,
    /// Wanted common name.
    pub common_name: String,
    /// Wanted alternative names.
    pub sans: Vec<String>,
    /// The version to deploy.
    pub version_id: Option<Id>,
    /// Its fingerprint.
    pub fingerprint_sha256: Option<String>,
    /// Where to.
    pub target: Option<ClaimedTarget>,
}

/// The target of claimed work.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedTarget {
    /// `target-…`
    pub id: Id,
    /// Type.
    pub kind: String,
    /// Configuration without its secret members.
    pub config: Value,
    /// The secret members, sealed.
    pub sealed_config: Option<Vec<u8>>,
}

/// A job as an agent gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkItem {
    /// The job and what it is about.
    pub work: ClaimedWork,
    /// The target's configuration, secrets in the clear: for this agent only.
    pub target_config: Option<Value>,
}
