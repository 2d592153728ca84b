//! Looking at agents, and who acts as one.

use crate::heartbeat::gone;
use crate::{Agent, AgentFilter, AgentStore};
use certctl_kernel::{DomainError, ListQuery, Page};
use certctl_rbac::{Caller, Permission};

/// One page of the agents in service, newest first.
pub async fn list_agents(
    tx: &mut (impl AgentStore + ?Sized),
    caller: &Caller,
    filter: &AgentFilter,
    list: &ListQuery,
) -> Result<Page<Agent>, DomainError> {
    caller.require(Permission::AgentRead, &[])?;
    Ok(tx.agents_page(filter, list).await?)
}

/// One page of the retired agents, last retired first.
pub async fn list_retired_agents(
    tx: &mut (impl AgentStore + ?Sized),
    caller: &Caller,
    list: &ListQuery,
) -> Result<Page<Agent>, DomainError> {
    caller.require(Permission::AgentRead, &[])?;
    Ok(tx.retired_agents_page(list).await?)
}

/// One agent, retired or not.
pub async fn get_agent(tx: &mut (impl AgentStore + ?Sized), caller: &Caller, id: &str) -> Result<Agent, DomainError> {
    caller.require(Permission::AgentRead, &[])?;
    tx.agent(id).await?.ok_or_else(|| DomainError::not_found("agent", id))
}

/// The agent for which the caller acts: itself, or one that an operator with `agent.edit` names. Retired ones are gone.
pub async fn acting_agent(
    tx: &mut (impl AgentStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<Agent, DomainError> {
    caller.require_agent(id)?;
    let agent = tx.agent(id).await?.ok_or_else(|| DomainError::not_found("agent", id))?;
    if agent.retired_at.is_some() { Err(gone()) } else { Ok(agent) }
}
