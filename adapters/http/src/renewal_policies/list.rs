//! `GET /api/v1/renewal-policies`

use super::RenewalPolicyBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_inventory::PolicyFilter;

/// By name.
#[utoipa::path(
    get, path = "/api/v1/renewal-policies", tag = "renewal-policies",
    params(
        ("q" = Option<String>, Query, description = "Part of the id or name, two characters at least."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<RenewalPolicyBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let filter = PolicyFilter { q: search::term(&mut params)? };
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let caller = cx.caller()?;
    let page =
        cx.read(async |tx| Ok(certctl_inventory::list_renewal_policies(tx, caller, &filter, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, RenewalPolicyBody::from))
}
