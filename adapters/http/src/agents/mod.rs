//! Agents, and the protocol they speak.

use crate::edge::{Gate, Route};
use certctl_agents::Agent;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use utoipa::ToSchema;

mod csr;
mod get;
mod heartbeat;
mod job_status;
mod list;
mod list_retired;
mod pickup;
mod register;
mod retire;
mod work;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AgentRead), list),
        crate::route!(Gate::Enrolment(Permission::AgentEdit), register),
        crate::route!(Gate::Permission(Permission::AgentRead), list_retired),
        crate::route!(Gate::Permission(Permission::AgentRead), get),
        crate::route!(Gate::Permission(Permission::AgentRetire), retire),
        crate::route!(Gate::Permission(Permission::AgentHeartbeat), heartbeat),
        crate::route!(Gate::Permission(Permission::AgentJobPoll), csr),
        crate::route!(Gate::Objects(Permission::CertRead), pickup),
        crate::route!(Gate::Permission(Permission::AgentJobPoll), work),
        crate::route!(Gate::Permission(Permission::AgentJobComplete), job_status),
    ]
}

/// A process that keeps keys and deploys certificates on its host.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(crate) struct AgentBody {
    id: String,
    name: String,
    hostname: String,
    #[schema(schema_with = crate::openapi::values::agent_status)]
    status: &'static str,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_heartbeat_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    registered_at: Timestamp,
    os: String,
    architecture: String,
    ip_address: String,
    version: String,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    retired_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    retired_reason: Option<String>,
}

impl From<Agent> for AgentBody {
    fn from(agent: Agent) -> Self {
        Self {
            id: agent.id,
            name: agent.name,
            hostname: agent.hostname,
            status: agent.status.as_str(),
            last_heartbeat_at: agent.last_heartbeat_at,
            registered_at: agent.registered_at,
            os: agent.os,
            architecture: agent.architecture,
            ip_address: agent.ip_address,
            version: agent.version,
            retired_at: agent.retired_at,
            retired_reason: agent.retired_reason,
        }
    }
}
