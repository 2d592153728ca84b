//! `PATCH /api/v1/auth/oidc/group-mappings/{id}`

use super::{MappingBody, edit};
use crate::edge::{ApiError, Cx, JsonBody};
use actix_web::HttpResponse;
use certctl_oidc::EditMapping;
use certctl_rbac::parse_scope;
use serde::Deserialize;
use utoipa::ToSchema;

/// A change of a mapping: an absent member stays as it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = GroupMappingChange)]
pub(crate) struct Change {
    #[serde(default)]
    #[schema(nullable = false)]
    group_name: Option<String>,
    #[serde(default)]
    #[schema(nullable = false)]
    role_id: Option<String>,
    /// `global`, `profile` or `issuer`.
    #[serde(default)]
    #[schema(nullable = false)]
    scope_type: Option<String>,
    /// Id of the profile or issuer; needs `scope_type`.
    #[serde(default)]
    #[schema(nullable = false)]
    scope_id: Option<String>,
    #[serde(default)]
    #[schema(nullable = false)]
    description: Option<String>,
}

/// Changes some of a mapping.
#[utoipa::path(
    patch, path = "/api/v1/auth/oidc/group-mappings/{id}", tag = "auth", request_body = Change,
    params(
        ("id" = String, Path, description = "Id of the mapping."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = MappingBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Change>) -> Result<HttpResponse, ApiError> {
    let change = body.value;
    let scope = match (&change.scope_type, &change.scope_id) {
        (None, None) => None,
        (kind, id) => Some(parse_scope(kind.as_deref(), id.as_deref())?),
    };
    let command = EditMapping {
        id: cx.path("id")?,
        expected_version: cx.expected_version()?,
        group_name: change.group_name,
        role_id: change.role_id,
        scope,
        description: change.description,
    };
    edit(&cx, &body.digest, command).await
}
