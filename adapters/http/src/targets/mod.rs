//! Targets.

use crate::edge::{ApiError, Cx, Gate, Route};
use certctl_deployment::{Target, TargetRules};
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

mod create;
mod delete;
mod get;
mod list;
mod test;
mod update;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::TargetRead), list),
        crate::route!(Gate::Permission(Permission::TargetEdit), create),
        crate::route!(Gate::Permission(Permission::TargetRead), get),
        crate::route!(Gate::Permission(Permission::TargetEdit), update),
        crate::route!(Gate::Permission(Permission::TargetDelete), delete),
        crate::route!(Gate::Permission(Permission::TargetEdit), test),
    ]
}

/// What checks configurations and seals their secrets.
fn rules(cx: &Cx) -> Result<TargetRules<'_>, ApiError> {
    let backends = cx.state().backends()?;
    Ok(TargetRules { catalogue: backends.targets.as_ref(), sealer: backends.sealer.as_ref() })
}

/// A product on a host that serves certificates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Target)]
pub(crate) struct TargetBody {
    id: String,
    name: String,
    /// Such as `NGINX`.
    r#type: String,
    /// The agent that serves it.
    agent_id: String,
    /// Configuration by type; secret members read `********`.
    #[schema(value_type = Object)]
    config: Value,
    enabled: bool,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_tested_at: Option<Timestamp>,
    /// `untested`, `success` or `failed`.
    test_status: String,
    /// `database` or `env`.
    source: String,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    retired_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    retired_reason: Option<String>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Target> for TargetBody {
    fn from(target: Target) -> Self {
        Self {
            id: target.id,
            name: target.name,
            r#type: target.kind,
            agent_id: target.agent_id,
            config: target.config,
            enabled: target.enabled,
            last_tested_at: target.last_tested_at,
            test_status: target.test_status,
            source: target.source,
            retired_at: target.retired_at,
            retired_reason: target.retired_reason,
            created_at: target.created_at,
            updated_at: target.updated_at,
        }
    }
}
