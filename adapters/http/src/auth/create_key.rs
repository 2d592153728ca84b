//! `POST /api/v1/auth/api-keys`

use super::key::NewApiKey;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_apikey::CreateKey;
use certctl_kernel::{Timestamp, timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

/// A key to make.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ApiKeyInput {
    /// The actor's id, such as `ci-deploy`.
    name: String,
    /// Roles to grant, such as `viewer`; the caller must hold all that they permit.
    roles: Vec<String>,
    /// When the key ends by itself.
    #[serde(default, with = "timestamp::rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// The person who holds the key, such as `ada` or a user's id: lower case, `^[a-z0-9][a-z0-9._@+-]{0,127}$`. Two
    /// keys of one person are the same person to approvals; a key without an owner can't decide them.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[a-z0-9][a-z0-9._@+-]*$")]
    owner_user_id: Option<String>,
}

/// Makes a key and shows it once.
#[utoipa::path(
    post, path = "/api/v1/auth/api-keys", tag = "auth", request_body = ApiKeyInput,
    responses((status = 201, body = NewApiKey)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<ApiKeyInput>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let ApiKeyInput { name, roles, expires_at, owner_user_id } = body.value;
    let command = CreateKey { name, roles, expires_at, owner_user_id };
    cx.change(&body.digest, async |tx| {
        let made = certctl_apikey::create_key(tx, cx.ambient(), caller, command).await?;
        Ok(Reply::created(NewApiKey::from(made)).secret())
    })
    .await
}
