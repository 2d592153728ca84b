//! `GET /api/v1/certificates/{id}/versions`

use super::VersionBody;
use crate::edge::{ApiError, Cx, PageBody, QueryParams};
use actix_web::HttpResponse;

/// What was issued for a certificate, newest first.
#[utoipa::path(
    get, path = "/api/v1/certificates/{id}/versions", tag = "certificates",
    params(
        ("id" = String, Path, description = "Id of the certificate."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = PageBody<VersionBody>), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let list = params.list(&certctl_inventory::versions_fingerprint(&id))?;
    params.finish()?;
    let page = cx.read(async |tx| Ok(certctl_inventory::list_versions(tx, caller, &id, &list).await?)).await?;
    cx.list(&PageBody::new(&list, page, VersionBody::from))
}
