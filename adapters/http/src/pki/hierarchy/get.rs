//! `GET /api/v1/intermediates/{id}`

use super::CaBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use certctl_issuance::get_ca;

/// One CA.
#[utoipa::path(
    get, path = "/api/v1/intermediates/{id}", tag = "pki",
    params(("id" = String, Path, description = "Id of the CA.")),
    responses((status = 200, body = CaBody)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let record = cx.read(async |tx| Ok(get_ca(tx, caller, &id).await?)).await?;
    cx.object(&Reply::ok(CaBody::from(record)))
}
