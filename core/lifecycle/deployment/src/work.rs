//! What an agent is given to do.

use crate::config::full_config;
use crate::{Leases, WorkItem, WorkStore};
use certctl_agents::AgentStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::DomainError;
use certctl_ports::{Ambient, Sealer};
use certctl_rbac::{Caller, Permission};
use serde_json::json;
use time::Duration;

/// Jobs a poll gets at most.
const BATCH: i64 = 50;

/// How long claimed work belongs to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSettings {
    /// A deployment, until its next report.
    pub deployment: Duration,
    /// A request; then another agent may answer it.
    pub request: Duration,
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self { deployment: Duration::minutes(15), request: Duration::minutes(5) }
    }
}

/// Whether there is anything for the agent to claim. One statement that only reads: most polls end here.
pub async fn work_waiting(
    tx: &mut (impl WorkStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    agent_id: &str,
) -> Result<bool, DomainError> {
    caller.require(Permission::AgentJobPoll, &[])?;
    caller.require_agent(agent_id)?;
    match tx.work_state(agent_id, ambient.now()).await? {
        None => Err(DomainError::not_found("agent", agent_id)),
        Some(state) if state.retired => {
            Err(DomainError::Gone { code: "agent_retired", message: "Agent has been retired".to_owned() })
        }
        Some(state) => Ok(state.waiting),
    }
}

/// Claims what waits for the agent. The answer may be empty: another poll may have been faster, and then nothing was
/// changed and no event recorded.
pub async fn claim_work(
    tx: &mut (impl WorkStore + AgentStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    sealer: &dyn Sealer,
    settings: LeaseSettings,
    agent_id: &str,
) -> Result<Vec<WorkItem>, DomainError> {
    caller.require(Permission::AgentJobPoll, &[])?;
    certctl_agents::acting_agent(tx, caller, agent_id).await?;
    let now = ambient.now();
    let leases = Leases { now, deployment_until: now + settings.deployment, request_until: now + settings.request };
    let claimed = tx.claim_work(agent_id, leases, BATCH).await?;
    let mut items = Vec::with_capacity(claimed.len());
    for work in claimed {
        let target_config = work.target.as_ref().map(|target| full_config(sealer, target)).transpose()?;
        let details = json!({
            "agent_id": agent_id, "certificate_id": work.certificate_id, "type": work.kind.as_str(),
            "attempt": work.attempts, "version_id": work.version_id,
            "target_id": work.target.as_ref().map(|target| &target.id),
            "secrets_delivered": work.target.as_ref().is_some_and(|target| target.sealed_config.is_some()),
        });
        tx.record(AuditEvent::new(Action::JobClaimed, &caller.context, &work.job_id, details)).await?;
        items.push(WorkItem { work, target_config });
    }
    Ok(items)
}
