//! `POST /api/v1/agents/{id}/heartbeat`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_agents::Heartbeat;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an agent says of itself; empty means unchanged.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = HeartbeatInput)]
pub(crate) struct Input {
    /// Version of the agent.
    #[serde(default)]
    #[schema(max_length = 50, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    version: String,
    /// Host it runs on.
    #[serde(default)]
    #[schema(max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    hostname: String,
    /// Operating system.
    #[serde(default)]
    #[schema(max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    os: String,
    /// Processor architecture.
    #[serde(default)]
    #[schema(max_length = 100, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    architecture: String,
    /// Address of the host.
    #[serde(default)]
    #[schema(max_length = 45, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    ip_address: String,
}

/// The agent was heard.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeartbeatRecorded {
    /// Always `heartbeat_recorded`.
    status: &'static str,
}

/// A sign of life.
#[utoipa::path(
    post, path = "/api/v1/agents/{id}/heartbeat", tag = "agents", request_body = Input,
    params(("id" = String, Path, description = "Id of the agent.")),
    responses(
        (status = 200, body = HeartbeatRecorded),
        (status = 410, body = crate::edge::ErrorBody, description = "The agent is retired."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: Result<JsonBody<Input>, ApiError>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let input = match body {
        Ok(body) => body.value,
        // A sign of life counts even when what it says can't be read: old agents send odd bodies.
        Err(error) if error.status == StatusCode::BAD_REQUEST => Input::default(),
        Err(error) => return Err(error),
    };
    let beat = Heartbeat {
        version: input.version,
        hostname: input.hostname,
        os: input.os,
        architecture: input.architecture,
        ip_address: input.ip_address,
    };
    let mut unit = cx.state().db.begin().await?;
    match certctl_agents::heartbeat(unit.stores(), cx.ambient(), caller, &id, &beat).await {
        Ok(()) => {
            unit.save_unaudited("a heartbeat is a sign of life, not a change").await?;
            cx.object(&Reply::ok(HeartbeatRecorded { status: "heartbeat_recorded" }))
        }
        Err(error) => {
            unit.discard().await?;
            Err(error.into())
        }
    }
}
