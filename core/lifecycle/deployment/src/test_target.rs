//! Whether a target could take a deployment now.

use crate::{DeploymentStore, TargetRules};
use certctl_agents::{AgentStatus, AgentStore, FleetSettings, is_fresh};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// What a test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// Whether a deployment could be taken.
    pub success: bool,
    /// Why, for people.
    pub message: String,
}

/// Looks at the target's agent, and at the configuration by the rules of this build.
pub async fn test_target(
    tx: &mut (impl DeploymentStore + AgentStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    rules: TargetRules<'_>,
    settings: FleetSettings,
    id: &str,
) -> Result<TestOutcome, DomainError> {
    caller.require(Permission::TargetEdit, &[])?;
    let target = tx.target_for_update(id).await?.ok_or_else(|| DomainError::not_found("target", id))?;
    let agent = tx.agent(&target.agent_id).await?;
    let now = ambient.now();
    let problem = match &agent {
        _ if target.retired_at.is_some() => Some("the target is out of service".to_owned()),
        None => Some("the target's agent does not exist".to_owned()),
        Some(agent) if agent.retired_at.is_some() => Some("the target's agent is retired".to_owned()),
        Some(agent) if agent.status != AgentStatus::Online => {
            Some(format!("the agent is {}: check that it runs on {}", agent.status.as_str(), agent.hostname))
        }
        Some(agent) if !is_fresh(agent, settings, now) => Some(format!(
            "the agent was last heard of {}",
            agent.last_heartbeat_at.map_or_else(|| "never".to_owned(), timestamp::to_rfc3339)
        )),
        Some(_) if !rules.catalogue.available().contains(&target.kind.as_str()) => {
            Some(format!("this build has no connector for {}", target.kind))
        }
        Some(_) => None,
    };
    let success = problem.is_none();
    let message = problem.unwrap_or_else(|| "Agent is online and reachable".to_owned());
    tx.set_target_test_result(id, if success { "success" } else { "failed" }, now).await?;
    let action = if success { Action::TargetTestSuccess } else { Action::TargetTestFailed };
    let details = json!({"agent_id": target.agent_id, "message": message});
    tx.record(AuditEvent::new(action, &caller.context, id, details)).await?;
    Ok(TestOutcome { success, message })
}
