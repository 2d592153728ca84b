//! `POST /api/v1/auth/roles/{id}/permissions`

use super::known;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_rbac::{EditPermission, parse_scope};
use serde::Deserialize;
use utoipa::ToSchema;

/// A permission to add.
#[derive(Deserialize, ToSchema)]
#[schema(as = RolePermissionInput)]
pub(crate) struct Input {
    /// Name of the permission, such as `cert.revoke`; the caller must hold it.
    permission: String,
    /// `global` (when left out), `profile` or `issuer`.
    #[serde(default)]
    scope_type: Option<String>,
    /// Id of the profile or issuer.
    #[serde(default)]
    scope_id: Option<String>,
}

/// Adds a permission to a role; adding to a role that is granted to somebody needs `auth.role.assign` as well.
#[utoipa::path(
    post, path = "/api/v1/auth/roles/{id}/permissions", tag = "auth", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the role."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 204, description = "The role has the permission."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (role_id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let Input { permission, scope_type, scope_id } = body.value;
    let permission = known("permission", &permission)?;
    let scope = parse_scope(scope_type.as_deref(), scope_id.as_deref())?;
    let command = EditPermission { role_id, expected_version, permission, scope };
    cx.change(&body.digest, async |tx| {
        let role = certctl_rbac::add_permission(tx, cx.ambient(), caller, command).await?;
        Ok(Reply::<()>::no_content().version(role.updated_at, role.row_version))
    })
    .await
}
