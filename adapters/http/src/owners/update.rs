//! `PUT /api/v1/owners/{id}`

use super::OwnerBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use crate::input::present;
use actix_web::HttpResponse;
use certctl_inventory::{Patch, UpdateOwner};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A change of a owner: an absent member stays as it is, `null` clears.
#[derive(Deserialize, ToSchema)]
#[schema(as = OwnerChange)]
pub(crate) struct Input {
    /// Empty means unchanged.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// Where notifications go.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    email: Patch<String>,
    /// Empty means unchanged.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    team_id: Patch<String>,
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

/// Changes a owner.
#[utoipa::path(
    put, path = "/api/v1/owners/{id}", tag = "owners", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the owner."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = OwnerBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let input = body.value;
    let command = UpdateOwner {
        id,
        expected_version,
        name: present("name", input.name)?,
        email: input.email,
        team_id: present("team_id", input.team_id)?,
    };
    cx.change(&body.digest, async |tx| {
        let changed = certctl_inventory::update_owner(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(OwnerBody::from(changed)).version(updated_at, version))
    })
    .await
}
