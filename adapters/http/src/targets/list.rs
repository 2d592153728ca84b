//! `GET /api/v1/targets`

use super::TargetBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_deployment::{Retired, TargetFilter};

const RETIRED: [(&str, Retired); 3] = [("false", Retired::Hide), ("true", Retired::Only), ("all", Retired::All)];

/// Newest first; those out of service are hidden unless asked for.
#[utoipa::path(
    get, path = "/api/v1/targets", tag = "targets",
    params(
        ("q" = Option<String>, Query, description = "Part of the id or name, two characters at least."),
        ("agent_id" = Option<String>, Query, description = "Targets of this agent."),
        ("type" = Option<String>, Query, description = "Type, such as `NGINX`."),
        ("retired" = Option<String>, Query, description = "`false` (default), `true` or `all`."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<TargetBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let kinds: Vec<_> = certctl_port_target::TARGET_TYPES.iter().map(|kind| (*kind, *kind)).collect();
    let filter = TargetFilter {
        q: search::term(&mut params)?,
        agent_id: params.text("agent_id"),
        kind: params.choice("type", &kinds)?.map(ToOwned::to_owned),
        retired: params.choice("retired", &RETIRED)?.unwrap_or_default(),
    };
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let caller = cx.caller()?;
    let page = cx.read(async |tx| Ok(certctl_deployment::list_targets(tx, caller, &filter, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, TargetBody::from))
}
