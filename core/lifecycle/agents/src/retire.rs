//! Taking an agent out of service.

use crate::{AgentStore, RESERVED_AGENTS};
use certctl_apikey::IamStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, StoreError, Timestamp};
use certctl_ports::{Ambient, Announcer};
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// How an agent is retired.
#[derive(Debug, Clone, Default)]
pub struct RetireAgent {
    /// Takes its targets with it and calls off its jobs.
    pub force: bool,
    /// Why; required with `force`.
    pub reason: Option<String>,
}

/// What an agent still serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetirementCounts {
    /// Targets in service.
    pub active_targets: i64,
    /// Certificates on them.
    pub active_certificates: i64,
    /// Jobs that have not ended.
    pub pending_jobs: i64,
}

impl RetirementCounts {
    /// Whether it serves nothing.
    pub const fn is_free(self) -> bool {
        self.active_targets == 0 && self.active_certificates == 0 && self.pending_jobs == 0
    }
}

/// Outcome of a retirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retirement {
    /// It was retired before; nothing changed.
    Already,
    /// It is retired now.
    Now {
        /// When.
        at: Timestamp,
        /// Whether targets and jobs went with it.
        cascade: bool,
        /// What it served until then.
        counts: RetirementCounts,
    },
}

/// Why an agent was not retired.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// It stands for work of the server itself. HTTP 403.
    #[error("reserved agents can't be retired")]
    Reserved,
    /// It still serves something. HTTP 409 with the counts.
    #[error("the agent still serves targets, certificates or jobs; retire it with force=true and a reason")]
    Blocked(RetirementCounts),
    /// Any other refusal.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<StoreError> for RetireError {
    fn from(error: StoreError) -> Self {
        Self::Domain(error.into())
    }
}

/// Retires an agent: its key ends at once, and with `force` its targets and jobs end with it.
pub async fn retire(
    tx: &mut (impl AgentStore + IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    command: RetireAgent,
) -> Result<Retirement, RetireError> {
    caller.require(Permission::AgentRetire, &[])?;
    if RESERVED_AGENTS.contains(&id) {
        return Err(RetireError::Reserved);
    }
    let agent = tx.agent_for_update(id).await?.ok_or_else(|| DomainError::not_found("agent", id))?;
    if agent.retired_at.is_some() {
        return Ok(Retirement::Already);
    }
    let reason = command.reason.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if command.force && reason.is_none() {
        return Err(
            DomainError::invalid("reason", "required", "force needs a reason, such as host-decommissioned").into()
        );
    }
    if reason.is_some_and(|text| text.len() > 1024) {
        return Err(DomainError::invalid("reason", "too_long", "must be at most 1024 bytes").into());
    }
    let counts = tx.retirement_counts(id).await?;
    if !counts.is_free() && !command.force {
        return Err(RetireError::Blocked(counts));
    }
    let at = ambient.now();
    tx.retire_agent(id, reason, at).await?;
    certctl_apikey::revoke_agent_keys(tx, ambient, id).await?;
    let counted = json!({
        "active_targets": counts.active_targets, "active_certificates": counts.active_certificates,
        "pending_jobs": counts.pending_jobs,
    });
    let details = json!({"name": agent.name, "reason": reason, "force": command.force});
    tx.record(AuditEvent::new(Action::AgentRetired, &caller.context, id, details)).await?;
    let cascade = command.force && !counts.is_free();
    if cascade {
        let details = json!({"reason": reason, "counts": counted});
        tx.record(AuditEvent::new(Action::AgentRetirementCascaded, &caller.context, id, details)).await?;
    }
    Ok(Retirement::Now { at, cascade, counts })
}
