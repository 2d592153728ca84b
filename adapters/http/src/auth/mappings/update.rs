//! `PUT /api/v1/auth/oidc/group-mappings/{id}`

use super::{GroupWorth, MappingBody, edit};
use crate::edge::{ApiError, Cx, JsonBody};
use actix_web::HttpResponse;
use certctl_oidc::EditMapping;

/// Says anew what a group is worth. Roles that nothing gives any more end at once.
#[utoipa::path(
    put, path = "/api/v1/auth/oidc/group-mappings/{id}", tag = "auth", request_body = GroupWorth,
    params(
        ("id" = String, Path, description = "Id of the mapping."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = MappingBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<GroupWorth>) -> Result<HttpResponse, ApiError> {
    let wanted = body.value.mapping()?;
    let command = EditMapping {
        id: cx.path("id")?,
        expected_version: cx.expected_version()?,
        group_name: Some(wanted.group_name),
        role_id: Some(wanted.role_id),
        scope: Some(wanted.scope),
        description: Some(wanted.description),
    };
    edit(&cx, &body.digest, command).await
}
