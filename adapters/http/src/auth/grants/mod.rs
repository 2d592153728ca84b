//! Who holds which role.

use crate::edge::{ApiError, Cx, Gate, Route};
use certctl_kernel::{Actor, Timestamp, timestamp};
use certctl_rbac::{Grant, Permission, check_actor};
use serde::Serialize;
use utoipa::ToSchema;

mod assign;
mod assign_key;
mod cleanup_demo;
mod explain;
mod list;
mod replace;
mod revoke;
mod revoke_key;
mod scope_down;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuthRoleAssign), assign_key),
        crate::route!(Gate::Permission(Permission::AuthRoleRevoke), revoke_key),
        crate::route!(Gate::Authenticated, list),
        crate::route!(Gate::Permission(Permission::AuthRoleAssign), assign),
        crate::route!(Gate::Permission(Permission::AuthRoleAssign), replace),
        crate::route!(Gate::Permission(Permission::AuthRoleRevoke), revoke),
        crate::route!(Gate::Permission(Permission::AuthRoleAssign), scope_down),
        crate::route!(Gate::Authenticated, explain),
        crate::route!(Gate::Permission(Permission::AuthRoleAssign), cleanup_demo),
    ]
}

/// The principal that the path's `{type}` and `{id}` name.
fn actor_in(cx: &Cx) -> Result<Actor, ApiError> {
    Ok(check_actor(&cx.path("type")?, &cx.path("id")?)?)
}

/// A role that a principal holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
pub(crate) struct GrantBody {
    id: String,
    role_id: String,
    /// `global`, `profile` or `issuer`.
    scope_type: &'static str,
    /// Id of the profile or issuer; absent where the grant holds everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope_id: Option<String>,
    /// `manual`, `env`, `bootstrap`, `oidc:<provider>` or `approval:<request>`; `builtin` for what a principal holds by
    /// what it is.
    source: String,
    granted_by: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    granted_at: Timestamp,
    /// When it ends by itself.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    expires_at: Option<Timestamp>,
    /// Whether it has ended.
    expired: bool,
}

impl GrantBody {
    pub(crate) fn new(grant: Grant, now: Timestamp) -> Self {
        Self {
            expired: !grant.live(now),
            id: grant.id,
            role_id: grant.role_id,
            scope_type: grant.scope.kind().as_str(),
            scope_id: grant.scope.id().map(ToOwned::to_owned),
            source: grant.source,
            granted_by: grant.granted_by,
            granted_at: grant.granted_at,
            expires_at: grant.expires_at,
        }
    }
}

/// What one principal holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActorGrants {
    actor_id: String,
    actor_type: &'static str,
    grants: Vec<GrantBody>,
}

impl ActorGrants {
    fn new(actor: Actor, grants: Vec<Grant>, now: Timestamp) -> Self {
        let grants = grants.into_iter().map(|grant| GrantBody::new(grant, now)).collect();
        Self { actor_type: actor.kind.as_str(), actor_id: actor.id, grants }
    }
}

/// A role to give.
#[derive(serde::Deserialize, ToSchema)]
pub(crate) struct GrantInput {
    /// Id of the role, or a default role's short name, such as `viewer`; the caller must hold all that it permits.
    role_id: String,
    /// `global` (when left out), `profile` or `issuer`.
    #[serde(default)]
    scope_type: Option<String>,
    /// Id of the profile or issuer.
    #[serde(default)]
    scope_id: Option<String>,
    /// When it ends by itself; in the future.
    #[serde(default, with = "timestamp::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

impl GrantInput {
    fn command(self, actor: Actor) -> Result<certctl_rbac::GrantRole, ApiError> {
        if self.role_id.is_empty() {
            return Err(ApiError::invalid("role_id", "required", "is required"));
        }
        let scope = certctl_rbac::parse_scope(self.scope_type.as_deref(), self.scope_id.as_deref())?;
        Ok(certctl_rbac::GrantRole { actor, role: self.role_id, scope, expires_at: self.expires_at })
    }
}

/// Takes a role back: the parameters of both addresses mean the same.
async fn revoke(
    cx: &Cx,
    mut params: crate::edge::QueryParams,
    actor: Actor,
) -> Result<actix_web::HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let (scope_type, scope_id) = (params.text("scope_type"), params.text("scope_id"));
    params.finish()?;
    let named = certctl_rbac::parse_scope(scope_type.as_deref(), scope_id.as_deref())?;
    let scope = scope_type.map(|_| named);
    let command = certctl_rbac::RevokeRole { actor, role: cx.path("role_id")?, scope };
    cx.change(&crate::edge::BodyDigest::default(), async |tx| {
        certctl_rbac::revoke_role(tx, cx.ambient(), caller, command).await?;
        Ok(crate::edge::Reply::<()>::no_content())
    })
    .await
}
