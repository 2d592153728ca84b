//! `POST /api/v1/teams`

use super::TeamBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_inventory::CreateTeam;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A team to create.
#[derive(Deserialize, ToSchema)]
#[schema(as = TeamInput)]
pub(crate) struct Input {
    /// An id of your choice.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]
    id: Option<String>,
    /// Unique, up to 255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// For people.
    #[serde(default)]
    description: Option<String>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Creates a team.
#[utoipa::path(
    post, path = "/api/v1/teams", tag = "teams", request_body = Input,
    responses((status = 201, body = TeamBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let input = body.value;
    let command = CreateTeam { id: input.id, name: input.name, description: input.description.unwrap_or_default() };
    cx.change(&body.digest, async |tx| {
        let made = certctl_inventory::create_team(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(TeamBody::from(made)).version(updated_at, version))
    })
    .await
}
