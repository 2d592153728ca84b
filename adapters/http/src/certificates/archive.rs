//! `DELETE /api/v1/certificates/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;

/// Takes a certificate out of management and cancels its open jobs. Its versions stay, and what was revoked stays
/// revoked.
#[utoipa::path(
    delete, path = "/api/v1/certificates/{id}", tag = "certificates",
    params(
        ("id" = String, Path, description = "Id of the certificate."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 204, description = "Archived."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_inventory::archive_certificate(tx, cx.ambient(), caller, &id, expected).await?;
        let reason = "the certificate was archived";
        tx.cancel_open_jobs(&id, reason, cx.ambient().now()).await?;
        certctl_approval::call_off(tx, cx.ambient(), &caller.context, &id, reason).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
