//! `GET /.well-known/pki/ca/{issuer_id}`

use super::Object;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_x509::{certificate, sha256_hex};

/// The CA certificate that signs for a local issuer, in DER. The address may end in `.cer`.
#[utoipa::path(
    get, path = "/.well-known/pki/ca/{issuer_id}", tag = "pki",
    params(("issuer_id" = String, Path, description = "Id of the issuer.")),
    responses(
        (status = 200, content_type = "application/pkix-cert", body = inline(crate::openapi::Octets)),
        (status = 304, description = "The client has it."),
        (status = 501, description = "The issuer's certificate is published by its own CA.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let named = cx.path("issuer_id")?;
    serve(&cx, named.strip_suffix(".cer").unwrap_or(&named), None).await
}

/// The certificate of one CA, or of the newest.
pub(super) async fn serve(cx: &Cx, issuer_id: &str, ca_id: Option<&str>) -> Result<HttpResponse, ApiError> {
    let der = cx.state().status()?.ca_certificate(issuer_id, ca_id).await?;
    let facts = certificate::inspect(&der).map_err(|error| ApiError::internal(&error.to_string()))?;
    let object = Object {
        media_type: "application/pkix-cert",
        etag: format!("\"{}\"", sha256_hex(&der)),
        body: der.into(),
        this_update: facts.not_before,
        next_update: facts.not_after,
        longest: 3600,
        if_none_match: cx.header("if-none-match"),
    };
    Ok(object.respond(cx.ambient().now()))
}
