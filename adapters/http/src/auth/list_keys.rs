//! `GET /api/v1/auth/api-keys`

use super::key::ApiKey;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use actix_web::HttpResponse;

/// API keys, newest first; those that ended stay listed.
#[utoipa::path(
    get, path = "/api/v1/auth/api-keys", tag = "auth",
    params(
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
    ),
    responses((status = 200, body = PageBody<ApiKey>)),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let list = params.list("api-keys")?;
    params.finish()?;
    let caller = cx.caller()?;
    let page = cx.read(async |tx| Ok(certctl_apikey::list_keys(tx, caller, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, ApiKey::from))
}
