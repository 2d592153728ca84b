//! `GET /api/v1/issuers`

use super::IssuerBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_inventory::IssuerFilter;

/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/issuers", tag = "issuers",
    params(
        ("q" = Option<String>, Query, description = "Part of the id or name, two characters at least."),
        ("type" = Option<String>, Query, description = "Type or alias, such as `local`."),
        ("enabled" = Option<bool>, Query, description = "Only those that sign, or only those that do not."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<IssuerBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let filter = IssuerFilter {
        q: search::term(&mut params)?,
        kind: issuer_kind(params.text("type"))?,
        enabled: params.flag("enabled")?,
        ids: None,
    };
    let filter = certctl_inventory::visible_issuers(filter, caller)?;
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let page = cx.read(async |tx| Ok(certctl_inventory::list_issuers(tx, caller, filter, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, IssuerBody::from))
}

fn issuer_kind(text: Option<String>) -> Result<Option<String>, ApiError> {
    text.map(|text| {
        certctl_inventory::issuer_type(&text)
            .map(ToOwned::to_owned)
            .ok_or_else(|| ApiError::invalid("type", "unknown_value", "is not a type of issuer, such as GenericCA"))
    })
    .transpose()
}
