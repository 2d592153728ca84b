//! `GET /api/v1/auth/roles`

use super::RoleBody;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Roles.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoleList {
    roles: Vec<RoleBody>,
}

/// Every role, by name.
#[utoipa::path(
    get, path = "/api/v1/auth/roles", tag = "auth",
    responses((status = 200, body = RoleList), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let roles = cx.read(async |tx| Ok(certctl_rbac::list_roles(tx, caller).await?)).await?;
    cx.list(&RoleList { roles: roles.into_iter().map(RoleBody::from).collect() })
}
