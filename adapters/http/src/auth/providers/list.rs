//! `GET /api/v1/auth/oidc/providers`

use super::ProviderList;
use crate::edge::{ApiError, Cx, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_oidc::{ProviderFilter, list_providers};

/// Oldest first. Archived ones are left out unless asked for.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/providers", tag = "auth",
    params(
        ("q" = Option<String>, Query, description = "Part of the id, name or issuer, two characters at least."),
        ("enabled" = Option<bool>, Query, description = "Only those that people may sign in through, or only others."),
        ("archived" = Option<bool>, Query, description = "Only archived ones; left out, only those that are not."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = ProviderList), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let filter = ProviderFilter {
        q: search::term(&mut params)?,
        enabled: params.flag("enabled")?,
        archived: Some(params.flag("archived")?.unwrap_or(false)),
    };
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let page = cx.read(async |tx| Ok(list_providers(tx, caller, &filter, &list).await?)).await?;
    cx.list(&ProviderList::new(&list, page))
}
