//! `POST /api/v1/auth/oidc/group-mappings/import`

use super::{GroupWorth, MappingBody};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_oidc::{AddMappings, add_mappings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Mappings to make.
#[derive(Deserialize, ToSchema)]
#[schema(as = GroupMappingImport)]
pub(crate) struct Input {
    /// Id of the provider.
    #[serde(default)]
    #[schema(required = true)]
    provider_id: String,
    /// Up to 1000.
    #[schema(max_items = 1000)]
    mappings: Vec<GroupWorth>,
}

/// What became of them.
#[derive(Serialize, ToSchema)]
#[schema(as = GroupMappingsImported)]
pub(crate) struct Imported {
    /// Those that were made.
    mappings: Vec<MappingBody>,
    /// How many were there already.
    skipped: usize,
}

/// Makes many mappings at once, all or none; those that are there already are left alone.
#[utoipa::path(
    post, path = "/api/v1/auth/oidc/group-mappings/import", tag = "auth", request_body = Input,
    responses(
        (status = 200, body = Imported),
        (status = 404, body = crate::edge::ErrorBody, description = "There is no such provider, role, profile or issuer."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let mappings = body.value.mappings.into_iter().map(GroupWorth::mapping).collect::<Result<Vec<_>, _>>()?;
    let wanted = mappings.len();
    let command = AddMappings { provider_id: body.value.provider_id, mappings, skip_existing: true };
    cx.change(&body.digest, async |tx| {
        let made = add_mappings(tx, cx.ambient(), caller, command).await?;
        let skipped = wanted - made.len();
        Ok(Reply::ok(Imported { mappings: made.into_iter().map(MappingBody::from).collect(), skipped }))
    })
    .await
}
