//! `PATCH /api/v1/auth/api-keys/{id}`

use super::key::ApiKey;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_apikey::{End, UpdateKey};
use certctl_kernel::timestamp;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// What to change; at least one of the members.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ApiKeyChange {
    /// When the key ends by itself; `null` takes the end away.
    #[serde(default, deserialize_with = "end")]
    #[schema(value_type = Option<String>, format = DateTime, required = false)]
    expires_at: End,
    /// Whether the key is switched off for the time being.
    #[serde(default)]
    #[schema(nullable = false)]
    disabled: Option<bool>,
}

/// A member that is there, even as `null`.
fn end<'de, D: Deserializer<'de>>(deserializer: D) -> Result<End, D::Error> {
    Ok(timestamp::rfc3339::option::deserialize(deserializer)?.map_or(End::Never, End::At))
}

/// Gives a key another end, or switches it off and on again. A key that ended stays so (409 `key_ended`).
#[utoipa::path(
    patch, path = "/api/v1/auth/api-keys/{id}", tag = "auth", request_body = ApiKeyChange,
    params(("id" = String, Path, description = "Id of the key.")),
    responses((status = 200, body = ApiKey), (status = 409, description = "The key ended, or it is the last administrator's.", body = crate::edge::ErrorBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<ApiKeyChange>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let id = cx.path("id")?;
    let command = UpdateKey { end: body.value.expires_at, disabled: body.value.disabled };
    cx.change(&body.digest, async |tx| {
        let key = certctl_apikey::update_key(tx, cx.ambient(), caller, &id, command).await?;
        Ok(Reply::ok(ApiKey::from(key)))
    })
    .await
}
