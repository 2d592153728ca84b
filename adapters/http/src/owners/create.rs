//! `POST /api/v1/owners`

use super::OwnerBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_inventory::CreateOwner;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A owner to create.
#[derive(Deserialize, ToSchema)]
#[schema(as = OwnerInput)]
pub(crate) struct Input {
    /// An id of your choice.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]
    id: Option<String>,
    /// Up to 255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// Where notifications go.
    #[serde(default)]
    email: Option<String>,
    /// The owner's team.
    #[schema(min_length = 1, max_length = 128)]
    team_id: String,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Creates a owner.
#[utoipa::path(
    post, path = "/api/v1/owners", tag = "owners", request_body = Input,
    responses((status = 201, body = OwnerBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let input = body.value;
    let command =
        CreateOwner { id: input.id, name: input.name, email: input.email.unwrap_or_default(), team_id: input.team_id };
    cx.change(&body.digest, async |tx| {
        let made = certctl_inventory::create_owner(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(OwnerBody::from(made)).version(updated_at, version))
    })
    .await
}
