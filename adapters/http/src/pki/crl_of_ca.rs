//! `GET /.well-known/pki/crl/{issuer_id}/{ca_id}`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// The newest CRL of one CA of a local issuer in DER, as its certificates name it; it goes on when the issuer has another
/// CA. The address may end in `.crl`.
#[utoipa::path(
    get, path = "/.well-known/pki/crl/{issuer_id}/{ca_id}", tag = "pki",
    params(
        ("issuer_id" = String, Path, description = "Id of the issuer."),
        ("ca_id" = String, Path, description = "Id of the CA certificate."),
    ),
    responses(
        (status = 200, content_type = "application/pkix-crl", body = inline(crate::openapi::Octets)),
        (status = 304, description = "The client has it."),
        (status = 503, description = "No list within its time is at hand; `Retry-After` says when to ask again.", body = crate::edge::ErrorBody),
        (status = 501, description = "The issuer's CRL is published by its own CA.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (issuer_id, named) = (cx.path("issuer_id")?, cx.path("ca_id")?);
    super::crl::serve(&cx, &issuer_id, Some(named.strip_suffix(".crl").unwrap_or(&named))).await
}
