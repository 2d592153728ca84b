//! Signs of life, and their absence.

use crate::enrol::check_text;
use crate::{AgentStore, FleetSettings, Heard};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// What an agent tells of itself; empty members leave what is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Version of its program.
    pub version: String,
    /// Host.
    pub hostname: String,
    /// Operating system.
    pub os: String,
    /// Processor architecture.
    pub architecture: String,
    /// Address.
    pub ip_address: String,
}

/// Notes that the agent lives. Leaves no audit event: it would be one a minute and agent.
pub async fn heartbeat(
    tx: &mut (impl AgentStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    beat: &Heartbeat,
) -> Result<(), DomainError> {
    caller.require(Permission::AgentHeartbeat, &[])?;
    caller.require_agent(id)?;
    let mut errors = Vec::new();
    for (field, text, longest) in [
        ("version", &beat.version, 50),
        ("hostname", &beat.hostname, 255),
        ("os", &beat.os, 100),
        ("architecture", &beat.architecture, 100),
        ("ip_address", &beat.ip_address, 45),
    ] {
        check_text(&mut errors, field, text, longest);
    }
    if !errors.is_empty() {
        return Err(DomainError::Validation(errors));
    }
    match tx.note_heartbeat(id, beat, ambient.now()).await? {
        Heard::Noted => Ok(()),
        Heard::Retired => Err(gone()),
        Heard::Unknown => Err(DomainError::not_found("agent", id)),
    }
}

pub(crate) fn gone() -> DomainError {
    DomainError::Gone { code: "agent_retired", message: "Agent has been retired".to_owned() }
}

/// Makes silent agents offline; returns how many. A heartbeat that arrives meanwhile wins.
pub async fn agent_offline_sweep(
    tx: &mut (impl AgentStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    settings: FleetSettings,
    batch: i64,
) -> Result<i64, DomainError> {
    let now = ambient.now();
    let before = now - settings.silent_after;
    let silent = tx.mark_silent(before, now, batch).await?;
    for id in &silent {
        let details = json!({"silent_since_before": timestamp::to_rfc3339(before)});
        tx.record(AuditEvent::new(Action::AgentOffline, context, id, details)).await?;
    }
    Ok(i64::try_from(silent.len()).unwrap_or(i64::MAX))
}
