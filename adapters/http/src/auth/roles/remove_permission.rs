//! `DELETE /api/v1/auth/roles/{id}/permissions/{perm}`

use crate::edge::{ApiError, BodyDigest, Cx, QueryParams, Reply};
use actix_web::HttpResponse;
use certctl_kernel::DomainError;
use certctl_rbac::{EditPermission, Permission, parse_scope};

/// Takes a permission from a role.
#[utoipa::path(
    delete, path = "/api/v1/auth/roles/{id}/permissions/{perm}", tag = "auth",
    params(
        ("id" = String, Path, description = "Id of the role."),
        ("perm" = String, Path, description = "Name of the permission, such as `cert.revoke`."),
        ("scope_type" = Option<String>, Query, description = "`global` (when left out), `profile` or `issuer`."),
        ("scope_id" = Option<String>, Query, description = "Id of the profile or issuer."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 204, description = "The role does not have the permission there."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let (role_id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let (scope_type, scope_id) = (params.text("scope_type"), params.text("scope_id"));
    params.finish()?;
    let name = cx.path("perm")?;
    let permission = Permission::parse(&name).ok_or_else(|| DomainError::not_found("permission", name))?;
    let scope = parse_scope(scope_type.as_deref(), scope_id.as_deref())?;
    let command = EditPermission { role_id, expected_version, permission, scope };
    cx.change(&BodyDigest::default(), async |tx| {
        let role = certctl_rbac::remove_permission(tx, cx.ambient(), caller, command).await?;
        Ok(Reply::<()>::no_content().version(role.updated_at, role.row_version))
    })
    .await
}
