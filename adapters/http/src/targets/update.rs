//! `PUT /api/v1/targets/{id}`

use super::{TargetBody, rules};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_deployment::UpdateTarget;
use certctl_inventory::Patch;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A change of a target: an absent member stays as it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = TargetChange)]
pub(crate) struct Input {
    /// Unique among the agent's targets; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Patch<String>,
    /// Such as `NGINX`; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    r#type: Patch<String>,
    /// The agent that serves it; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agent_id: Patch<String>,
    /// Configuration, complete; members that read `********` keep their secret.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    config: Patch<Value>,
    /// Whether it takes deployments.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    enabled: Patch<bool>,
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

/// Changes a target.
#[utoipa::path(
    put, path = "/api/v1/targets/{id}", tag = "targets", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the target."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = TargetBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, rules) = (cx.path("id")?, cx.caller()?, rules(&cx)?);
    let input = body.value;
    let command = UpdateTarget {
        name: input.name,
        kind: input.r#type,
        agent_id: input.agent_id,
        config: input.config,
        enabled: input.enabled,
        expected_version: cx.expected_version()?,
    };
    cx.change(&body.digest, async |tx| {
        let changed = certctl_deployment::update_target(tx, cx.ambient(), caller, rules, &id, command).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(TargetBody::from(changed)).version(updated_at, version))
    })
    .await
}
