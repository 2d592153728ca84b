//! `GET /api/v1/auth/oidc/group-mappings`

use super::MappingList;
use crate::edge::{ApiError, Cx, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_oidc::{MappingFilter, list_mappings};

/// Mappings of a provider, by the group's name.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/group-mappings", tag = "auth",
    params(
        ("provider_id" = String, Query, description = "Id of the provider."),
        ("q" = Option<String>, Query, description = "Part of the group's name or of the description, two characters at least."),
        ("role_id" = Option<String>, Query, description = "Only those of this role."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = MappingList), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let provider_id = params.text("provider_id").ok_or_else(|| {
        ApiError::invalid("provider_id", "required", "missing required query parameter `provider_id`")
    })?;
    let filter = MappingFilter { provider_id, q: search::term(&mut params)?, role_id: params.text("role_id") };
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let page = cx.read(async |tx| Ok(list_mappings(tx, caller, &filter, &list).await?)).await?;
    cx.list(&MappingList::new(&list, page))
}
