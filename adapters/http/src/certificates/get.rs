//! `GET /api/v1/certificates/{id}`

use super::CertificateBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;

/// One certificate.
#[utoipa::path(
    get, path = "/api/v1/certificates/{id}", tag = "certificates",
    params(("id" = String, Path, description = "Id of the certificate.")),
    responses((status = 200, body = CertificateBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let found = cx.read(async |tx| Ok(certctl_inventory::get_certificate(tx, caller, &id).await?)).await?;
    let (updated_at, version) = (found.updated_at, found.row_version);
    cx.object(&Reply::ok(CertificateBody::from(found)).version(updated_at, version))
}
