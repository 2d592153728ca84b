//! Who may sign in and with what: the caller's own rights, API keys, the first administrator.

use crate::edge::{Gate, Route};
use certctl_rbac::{EffectivePermission, Permission};
use serde::Serialize;
use utoipa::ToSchema;

mod authenticator;
mod bootstrap;
mod bootstrap_status;
pub(crate) mod breakglass;
mod check;
mod create_key;
mod delete_key;
mod grants;
mod info;
mod key;
mod list_actors;
mod list_keys;
mod mappings;
mod me;
pub(crate) mod oidc;
mod permissions;
mod providers;
mod roles;
mod rotate_key;
mod runtime_config;
pub(crate) mod sessions;
mod update_key;
mod users;

pub use authenticator::KeyAuthenticator;
pub use bootstrap::Bootstrap;
pub use breakglass::Breakglass;
pub use oidc::{Oidc, OidcSettings};

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    const FIRST: Gate = Gate::Public("nobody can sign in before there is an administrator");
    let mut routes = vec![
        crate::route!(Gate::Public("clients learn how to sign in"), info),
        crate::route!(FIRST, bootstrap_status),
        crate::route!(FIRST, bootstrap),
        crate::route!(Gate::Authenticated, check),
        crate::route!(Gate::Authenticated, me),
        crate::route!(Gate::Authenticated, permissions),
        crate::route!(Gate::Permission(Permission::AuthKeyList), list_actors),
        crate::route!(Gate::Permission(Permission::AuthKeyList), list_keys),
        crate::route!(Gate::Permission(Permission::AuthKeyCreate), create_key),
        crate::route!(Gate::Permission(Permission::AuthKeyRotate), rotate_key),
        crate::route!(Gate::Permission(Permission::AuthKeyRotate), update_key),
        crate::route!(Gate::Permission(Permission::AuthKeyDelete), delete_key),
        crate::route!(Gate::Permission(Permission::AuthRoleAssign), runtime_config),
    ];
    routes.extend(roles::routes());
    routes.extend(grants::routes());
    routes.extend(sessions::routes());
    routes.extend(oidc::routes());
    routes.extend(providers::routes());
    routes.extend(mappings::routes());
    routes.extend(users::routes());
    routes.extend(breakglass::routes());
    routes
}

/// A permission that the caller holds, and where.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldPermission {
    permission: &'static str,
    /// `global`, `profile` or `issuer`.
    scope_type: &'static str,
    /// Id of the profile or issuer; absent where the permission holds everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope_id: Option<String>,
}

impl From<&EffectivePermission> for HeldPermission {
    fn from(held: &EffectivePermission) -> Self {
        Self {
            permission: held.permission.as_str(),
            scope_type: held.scope.kind().as_str(),
            scope_id: held.scope.id().map(ToOwned::to_owned),
        }
    }
}
