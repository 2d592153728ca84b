//! `POST /api/v1/targets`

use super::{TargetBody, rules};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_deployment::CreateTarget;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A target to create.
#[derive(Deserialize, ToSchema)]
#[schema(as = TargetInput)]
pub(crate) struct Input {
    /// An id of your choice.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]
    id: Option<String>,
    /// Unique among the agent's targets, up to 255 characters.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// Such as `NGINX`.
    #[serde(default)]
    #[schema(required = true, min_length = 1, example = "NGINX")]
    r#type: String,
    /// The agent that serves it.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 128)]
    agent_id: String,
    /// Configuration by type.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    config: Option<Value>,
    /// Whether it takes deployments; default true.
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Creates a target.
#[utoipa::path(
    post, path = "/api/v1/targets", tag = "targets", request_body = Input,
    responses((status = 201, body = TargetBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (caller, rules) = (cx.caller()?, rules(&cx)?);
    let input = body.value;
    let command = CreateTarget {
        id: input.id,
        name: input.name,
        kind: input.r#type,
        agent_id: input.agent_id,
        config: input.config.unwrap_or_else(|| json!({})),
        enabled: input.enabled.unwrap_or(true),
    };
    cx.change(&body.digest, async |tx| {
        let made = certctl_deployment::create_target(tx, cx.ambient(), caller, rules, command).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(TargetBody::from(made)).version(updated_at, version))
    })
    .await
}
