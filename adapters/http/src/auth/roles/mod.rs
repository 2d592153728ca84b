//! Roles and what they permit.

use crate::edge::{ApiError, Gate, Route};
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::{Permission, Role, RolePermission};
use serde::Serialize;
use utoipa::ToSchema;

mod add_permission;
mod create;
mod delete;
mod get;
mod list;
mod remove_permission;
mod update;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuthRoleList), list),
        crate::route!(Gate::Permission(Permission::AuthRoleCreate), create),
        crate::route!(Gate::Permission(Permission::AuthRoleList), get),
        crate::route!(Gate::Permission(Permission::AuthRoleEdit), update),
        crate::route!(Gate::Permission(Permission::AuthRoleDelete), delete),
        crate::route!(Gate::Permission(Permission::AuthRoleEdit), add_permission),
        crate::route!(Gate::Permission(Permission::AuthRoleEdit), remove_permission),
    ]
}

/// A role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Role)]
pub(crate) struct RoleBody {
    id: String,
    tenant_id: String,
    name: String,
    description: String,
    /// Comes with the product, and can't be changed.
    system: bool,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Role> for RoleBody {
    fn from(role: Role) -> Self {
        Self {
            id: role.id,
            tenant_id: role.tenant_id,
            name: role.name,
            description: role.description,
            system: role.system,
            created_at: role.created_at,
            updated_at: role.updated_at,
        }
    }
}

/// A permission of a role, and where it holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RolePermission)]
pub(crate) struct RolePermissionBody {
    role_id: String,
    permission_id: String,
    /// Name of the permission.
    permission: &'static str,
    /// `global`, `profile` or `issuer`.
    scope_type: &'static str,
    /// Id of the profile or issuer; absent where the permission holds everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope_id: Option<String>,
}

impl From<RolePermission> for RolePermissionBody {
    fn from(entry: RolePermission) -> Self {
        Self {
            permission_id: entry.permission.id(),
            permission: entry.permission.as_str(),
            scope_type: entry.scope.kind().as_str(),
            scope_id: entry.scope.id().map(ToOwned::to_owned),
            role_id: entry.role_id,
        }
    }
}

/// The permission of this name.
pub(crate) fn known(field: &str, name: &str) -> Result<Permission, ApiError> {
    Permission::parse(name).ok_or_else(|| {
        ApiError::invalid(field, "unknown_value", "is not a permission; GET /api/v1/auth/permissions lists all")
    })
}
