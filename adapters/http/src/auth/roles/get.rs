//! `GET /api/v1/auth/roles/{id}`

use super::{RoleBody, RolePermissionBody};
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// A role with what it permits.
#[derive(Serialize, ToSchema)]
pub(crate) struct RoleDetail {
    role: RoleBody,
    permissions: Vec<RolePermissionBody>,
}

/// One role with its permissions.
#[utoipa::path(
    get, path = "/api/v1/auth/roles/{id}", tag = "auth",
    params(("id" = String, Path, description = "Id of the role.")),
    responses((status = 200, body = RoleDetail), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_rbac::get_role(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.role.updated_at, found.role.row_version);
    let permissions = found.permissions.into_iter().map(RolePermissionBody::from).collect();
    cx.object(&Reply::ok(RoleDetail { role: found.role.into(), permissions }).version(updated_at, version))
}
