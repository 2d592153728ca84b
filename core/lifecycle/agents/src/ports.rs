//! Where agents are kept.

use crate::{Agent, AgentFilter, Heartbeat, RetirementCounts};
use async_trait::async_trait;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Noted.
    Noted,
    /// The agent is out of service.
    Retired,
    /// There is no such agent.
    Unknown,
}

/// Keeps agents.
#[async_trait]
pub trait AgentStore: Send {
    /// The agent with this id, retired or not.
    async fn agent(&mut self, id: &str) -> Result<Option<Agent>, StoreError>;
    /// The same, held in service until the end of the transaction: it can't be retired meanwhile.
    async fn agent_held(&mut self, id: &str) -> Result<Option<Agent>, StoreError>;
    /// The same, locked against others that hold or retire it.
    async fn agent_for_update(&mut self, id: &str) -> Result<Option<Agent>, StoreError>;
    /// Adds an agent with its heartbeat row.
    async fn insert_agent(&mut self, agent: &Agent) -> Result<(), StoreError>;
    /// Notes a heartbeat: the agent is online, and what it tells of itself replaces what was known, unless empty.
    /// Never touches a retired agent.
    async fn note_heartbeat(&mut self, id: &str, beat: &Heartbeat, at: Timestamp) -> Result<Heard, StoreError>;
    /// Makes the agents offline that are online and were last heard of before `before`; returns their ids.
    async fn mark_silent(&mut self, before: Timestamp, now: Timestamp, limit: i64) -> Result<Vec<Id>, StoreError>;
    /// What an agent in service still serves.
    async fn retirement_counts(&mut self, id: &str) -> Result<RetirementCounts, StoreError>;
    /// Takes an agent and its targets out of service and calls off its jobs; certificates whose request it held get
    /// back the state that their dates give.
    async fn retire_agent(&mut self, id: &str, reason: Option<&str>, at: Timestamp) -> Result<(), StoreError>;
    /// One page of those in service, newest first.
    async fn agents_page(&mut self, filter: &AgentFilter, list: &ListQuery) -> Result<Page<Agent>, StoreError>;
    /// One page of the retired, last retired first.
    async fn retired_agents_page(&mut self, list: &ListQuery) -> Result<Page<Agent>, StoreError>;
}
