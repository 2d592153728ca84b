//! `GET /api/v1/agents/{id}`

use super::AgentBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One agent, in service or not.
#[utoipa::path(
    get, path = "/api/v1/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "Id of the agent.")),
    responses((status = 200, body = AgentBody)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_agents::get_agent(tx, caller, &id).await?)).await?;
    cx.object(&Reply::ok(AgentBody::from(found)))
}
