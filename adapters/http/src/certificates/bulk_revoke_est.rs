//! `POST /api/v1/est/certificates/bulk-revoke`

use super::bulk_revoke::{BulkRevocationResult, Input, run};
use crate::edge::{ApiError, Cx, JsonBody};
use actix_web::HttpResponse;
use certctl_inventory::sources;

/// Revokes the certificates that meet the criteria and came by EST; see `POST /api/v1/certificates/bulk-revoke`.
#[utoipa::path(
    post, path = "/api/v1/est/certificates/bulk-revoke", tag = "certificates", request_body = Input,
    responses((status = 200, body = BulkRevocationResult)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    run(&cx, body.value, Some(sources::EST.to_owned()), true).await
}
