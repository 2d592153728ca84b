//! `POST /api/v1/auth/api-keys/{id}/rotate`

use super::key::NewApiKey;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_apikey::RotateKey;
use certctl_kernel::{Timestamp, timestamp};
use serde::Deserialize;
use time::Duration;
use utoipa::ToSchema;

/// How the new key takes over.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RotationInput {
    /// Seconds for which the old key works on; a day when left out, 0 ends it at once.
    overlap_seconds: Option<u32>,
    /// When the new key ends by itself; left out, it lives as long as the old one was made to.
    #[serde(default, with = "timestamp::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The person who holds the new key, where the old one names none; an owner once named stays.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[a-z0-9][a-z0-9._@+-]*$")]
    owner_user_id: Option<String>,
}

/// Makes a new key for the same actor and shows it once.
#[utoipa::path(
    post, path = "/api/v1/auth/api-keys/{id}/rotate", tag = "auth", request_body = RotationInput,
    params(("id" = String, Path, description = "Id of the key.")),
    responses((status = 201, body = NewApiKey)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<RotationInput>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let id = cx.path("id")?;
    let overlap = body.value.overlap_seconds.map_or(RotateKey::DEFAULT.overlap, |n| Duration::seconds(i64::from(n)));
    let command = RotateKey { overlap, expires_at: body.value.expires_at, owner_user_id: body.value.owner_user_id };
    cx.change(&body.digest, async |tx| {
        let made = certctl_apikey::rotate_key(tx, cx.ambient(), caller, &id, command).await?;
        Ok(Reply::created(NewApiKey::from(made)).secret())
    })
    .await
}
