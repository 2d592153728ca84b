//! `PUT /api/v1/auth/actors/{type}/{id}/roles`

use super::{ActorGrants, GrantInput, actor_in};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_rbac::{ReplaceRoles, WantedRole};
use serde::Deserialize;
use utoipa::ToSchema;

/// The roles that a principal shall hold.
#[derive(Deserialize, ToSchema)]
#[schema(as = RoleSet)]
pub(crate) struct Input {
    /// All of them; an empty list takes everything back.
    roles: Vec<GrantInput>,
}

/// Exchanges the roles of a principal in one transaction; what follows a federated sign-in stays. Taking a role back
/// needs `auth.role.revoke` as well.
#[utoipa::path(
    put, path = "/api/v1/auth/actors/{type}/{id}/roles", tag = "auth", request_body = Input,
    params(
        ("type" = String, Path, description = "`User`, `Agent` or `APIKey`."),
        ("id" = String, Path, description = "Id of the principal."),
    ),
    responses((status = 200, body = ActorGrants)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (actor, caller) = (actor_in(&cx)?, cx.caller()?);
    let mut roles = Vec::new();
    for wanted in body.value.roles {
        let command = wanted.command(actor.clone())?;
        roles.push(WantedRole { role: command.role, scope: command.scope, expires_at: command.expires_at });
    }
    let command = ReplaceRoles { actor: actor.clone(), roles };
    cx.change(&body.digest, async |tx| {
        let grants = certctl_rbac::replace_roles(tx, cx.ambient(), caller, command).await?;
        Ok(Reply::ok(ActorGrants::new(actor, grants, cx.ambient().now())))
    })
    .await
}
