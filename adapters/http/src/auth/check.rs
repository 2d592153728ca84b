//! `GET /api/v1/auth/check`

use super::HeldPermission;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// The credential is good, and whose it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuthCheck {
    /// Always `authenticated`.
    status: &'static str,
    user: String,
    admin: bool,
    actor_id: String,
    actor_type: &'static str,
    tenant_id: String,
    roles: Vec<String>,
    effective_permissions: Vec<HeldPermission>,
    admin_via_role: bool,
}

/// Whether the credential is good.
#[utoipa::path(get, path = "/api/v1/auth/check", tag = "auth", responses((status = 200, body = AuthCheck)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let actor = &caller.context.actor;
    cx.object(&Reply::ok(AuthCheck {
        status: "authenticated",
        user: actor.id.clone(),
        admin: caller.is_admin(),
        actor_id: actor.id.clone(),
        actor_type: actor.kind.as_str(),
        tenant_id: actor.tenant_id.clone(),
        roles: caller.roles.clone(),
        effective_permissions: caller.permissions.iter().map(Into::into).collect(),
        admin_via_role: caller.is_admin(),
    }))
}
