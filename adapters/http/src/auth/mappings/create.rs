//! `POST /api/v1/auth/oidc/group-mappings`

use super::{GroupWorth, MappingBody, reply};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_oidc::{AddMappings, add_mappings};
use serde::Deserialize;
use utoipa::ToSchema;

/// A mapping to make.
#[derive(Deserialize, ToSchema)]
#[schema(as = GroupMappingInput)]
pub(crate) struct Input {
    /// Id of the provider.
    #[serde(default)]
    #[schema(required = true)]
    provider_id: String,
    /// As the provider names it, octet by octet.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    group_name: String,
    /// Id of the role; the caller must hold all that it permits, and `auth.role.assign`.
    #[serde(default)]
    #[schema(required = true)]
    role_id: String,
    /// `global` (when left out), `profile` or `issuer`.
    #[serde(default)]
    scope_type: Option<String>,
    /// Id of the profile or issuer.
    #[serde(default)]
    scope_id: Option<String>,
    /// For people.
    #[serde(default)]
    description: Option<String>,
}

/// Says what a group is worth. The caller gives only rights of its own.
#[utoipa::path(
    post, path = "/api/v1/auth/oidc/group-mappings", tag = "auth", request_body = Input,
    responses(
        (status = 201, body = MappingBody),
        (status = 404, body = crate::edge::ErrorBody, description = "There is no such provider, role, profile or issuer."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let Input { provider_id, group_name, role_id, scope_type, scope_id, description } = body.value;
    let wanted = GroupWorth { group_name, role_id, scope_type, scope_id, description }.mapping()?;
    let command = AddMappings { provider_id, mappings: vec![wanted], skip_existing: false };
    cx.change(&body.digest, async |tx| {
        let made = add_mappings(tx, cx.ambient(), caller, command).await?;
        let one = made.into_iter().next().ok_or_else(|| ApiError::internal("one mapping was to be made"))?;
        Ok(reply(one, Reply::created))
    })
    .await
}
