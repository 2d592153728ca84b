//! `GET /api/v1/profiles`

use super::ProfileBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use crate::search;
use actix_web::HttpResponse;
use certctl_profile::ProfileFilter;

/// Newest first.
#[utoipa::path(
    get, path = "/api/v1/profiles", tag = "profiles",
    params(
        ("q" = Option<String>, Query, description = "Part of the id or name, two characters at least."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<ProfileBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let filter = certctl_profile::visible_profiles(ProfileFilter { q: search::term(&mut params)?, ids: None }, caller)?;
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    let page = cx.read(async |tx| Ok(certctl_profile::list_profiles(tx, caller, filter, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, ProfileBody::from))
}
