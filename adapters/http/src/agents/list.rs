//! `GET /api/v1/agents`

use super::AgentBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_agents::{AgentFilter, AgentStatus};

/// Agents in service, last registered first.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents",
    params(
        ("q" = Option<String>, Query, description = "Part of the id or name, two characters at least."),
        ("status" = Option<String>, Query, description = "`Online`, `Offline` or `Degraded`."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<AgentBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let states = AgentStatus::ALL.map(|status| (status.as_str(), status));
    let filter = AgentFilter { q: search::term(&mut params)?, status: params.choice("status", &states)? };
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let caller = cx.caller()?;
    let page = cx.read(async |tx| Ok(certctl_agents::list_agents(tx, caller, &filter, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, AgentBody::from))
}
