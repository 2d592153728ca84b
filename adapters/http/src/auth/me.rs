//! `GET /api/v1/auth/me`

use super::HeldPermission;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// The caller and what it may do.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    actor_id: String,
    actor_type: &'static str,
    tenant_id: String,
    /// Whether the caller holds the administrator role.
    admin: bool,
    roles: Vec<String>,
    effective_permissions: Vec<HeldPermission>,
}

/// The caller and what it may do.
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", responses((status = 200, body = Me)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let actor = &caller.context.actor;
    cx.object(&Reply::ok(Me {
        actor_id: actor.id.clone(),
        actor_type: actor.kind.as_str(),
        tenant_id: actor.tenant_id.clone(),
        admin: caller.is_admin(),
        roles: caller.roles.clone(),
        effective_permissions: caller.permissions.iter().map(Into::into).collect(),
    }))
}
