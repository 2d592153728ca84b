//! Agents as data.

use certctl_kernel::{Id, SERVER_SCANNER_AGENT, Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use time::Duration;

/// Agents that stand for work of the server itself; they never beat and can't be retired.
pub const RESERVED_AGENTS: [&str; 4] = [SERVER_SCANNER_AGENT, "cloud-aws-sm", "cloud-azure-kv", "cloud-gcp-sm"];

/// Whether an agent is heard of, in wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgentStatus {
    /// Heard of lately.
    Online,
    /// Silent.
    Offline,
    /// Heard of, but not well.
    Degraded,
}

impl AgentStatus {
    /// Every state, in declaration order.
    pub const ALL: [Self; 3] = [Self::Online, Self::Offline, Self::Degraded];

    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "Online",
            Self::Offline => "Offline",
            Self::Degraded => "Degraded",
        }
    }

    /// Parses the exact wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A host's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// `agt-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Unique name among those in service.
    pub name: String,
    /// Host.
    pub hostname: String,
    /// Whether it is heard of; a retired agent keeps its last state.
    pub status: AgentStatus,
    /// When it was last heard of.
    pub last_heartbeat_at: Option<Timestamp>,
    /// When it was enrolled.
    pub registered_at: Timestamp,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub architecture: String,
    /// Address, as the agent tells it.
    pub ip_address: String,
    /// Version of its program.
    pub version: String,
    /// When it was taken out of service.
    pub retired_at: Option<Timestamp>,
    /// Why.
    pub retired_reason: Option<String>,
    /// Bumped by each update of what describes it.
    pub row_version: i64,
    /// When what describes it last changed.
    pub updated_at: Timestamp,
}

/// How long a heartbeat counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetSettings {
    /// An agent silent for longer is offline.
    pub silent_after: Duration,
}

impl Default for FleetSettings {
    /// Three times the agents' usual interval of a minute.
    fn default() -> Self {
        Self { silent_after: Duration::minutes(3) }
    }
}

/// Whether the agent can be given work: in service, online and heard of lately.
pub fn is_fresh(agent: &Agent, settings: FleetSettings, now: Timestamp) -> bool {
    agent.retired_at.is_none()
        && agent.status == AgentStatus::Online
        && agent.last_heartbeat_at.is_some_and(|at| at >= now - settings.silent_after)
}

/// Filters of the agent list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AgentFilter {
    /// Part of the id, name or host name, without regard to case.
    pub q: Option<String>,
    /// State.
    pub status: Option<AgentStatus>,
}

impl AgentFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("agents", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
