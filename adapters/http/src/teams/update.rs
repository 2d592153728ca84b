//! `PUT /api/v1/teams/{id}`

use super::TeamBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use crate::input::present;
use actix_web::HttpResponse;
use certctl_inventory::{Patch, UpdateTeam};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A change of a team: an absent member stays as it is, `null` clears.
#[derive(Deserialize, ToSchema)]
#[schema(as = TeamChange)]
pub(crate) struct Input {
    /// Unique; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// For people.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    description: Patch<String>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Changes a team.
#[utoipa::path(
    put, path = "/api/v1/teams/{id}", tag = "teams", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the team."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = TeamBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let input = body.value;
    let command =
        UpdateTeam { id, expected_version, name: present("name", input.name)?, description: input.description };
    cx.change(&body.digest, async |tx| {
        let changed = certctl_inventory::update_team(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(TeamBody::from(changed)).version(updated_at, version))
    })
    .await
}
