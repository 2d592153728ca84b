//! `GET /api/v1/agents/retired`

use super::AgentBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use actix_web::HttpResponse;

/// Agents out of service, last retired first.
#[utoipa::path(
    get, path = "/api/v1/agents/retired", tag = "agents",
    params(
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<AgentBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let list = params.list("retired-agents")?;
    params.finish()?;
    let caller = cx.caller()?;
    let page = cx.read(async |tx| Ok(certctl_agents::list_retired_agents(tx, caller, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, AgentBody::from))
}
