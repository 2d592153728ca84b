//! Issuers.

use crate::edge::{Gate, Route};
use certctl_inventory::Issuer;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::{Permission, ScopeType};
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
        crate::route!(Gate::Objects(Permission::IssuerRead), list),
        crate::route!(Gate::Permission(Permission::IssuerEdit), create),
        crate::route!(Gate::Scoped(Permission::IssuerRead, ScopeType::Issuer), get),
        crate::route!(Gate::Scoped(Permission::IssuerEdit, ScopeType::Issuer), update),
        crate::route!(Gate::Scoped(Permission::IssuerDelete, ScopeType::Issuer), delete),
        crate::route!(Gate::Scoped(Permission::IssuerEdit, ScopeType::Issuer), test),
    ]
}

/// Who signs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Issuer)]
pub(crate) struct IssuerBody {
    id: String,
    name: String,
    /// Such as `GenericCA`.
    r#type: String,
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
    /// `single` or `tree`.
    hierarchy_mode: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Issuer> for IssuerBody {
    fn from(issuer: Issuer) -> Self {
        Self {
            id: issuer.id,
            name: issuer.name,
            r#type: issuer.kind,
            config: issuer.config,
            enabled: issuer.enabled,
            last_tested_at: issuer.last_tested_at,
            test_status: issuer.test_status,
            source: issuer.source,
            hierarchy_mode: issuer.hierarchy_mode,
            created_at: issuer.created_at,
            updated_at: issuer.updated_at,
        }
    }
}
