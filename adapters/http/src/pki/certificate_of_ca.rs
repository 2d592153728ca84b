//! `GET /.well-known/pki/ca/{issuer_id}/{ca_id}`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// One CA certificate of a local issuer in DER, as what it signed names it. The address may end in `.cer`.
#[utoipa::path(
    get, path = "/.well-known/pki/ca/{issuer_id}/{ca_id}", tag = "pki",
    params(
        ("issuer_id" = String, Path, description = "Id of the issuer."),
        ("ca_id" = String, Path, description = "Id of the CA certificate."),
    ),
    responses(
        (status = 200, content_type = "application/pkix-cert", body = inline(crate::openapi::Octets)),
        (status = 304, description = "The client has it."),
        (status = 501, description = "The issuer's certificate is published by its own CA.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (issuer_id, named) = (cx.path("issuer_id")?, cx.path("ca_id")?);
    super::ca_certificate::serve(&cx, &issuer_id, Some(named.strip_suffix(".cer").unwrap_or(&named))).await
}
