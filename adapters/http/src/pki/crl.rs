//! `GET /.well-known/pki/crl/{issuer_id}`

use super::Object;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// The newest CRL of a local issuer in DER. It shows every revocation from the moment that it is committed. The address
/// may end in `.crl`.
#[utoipa::path(
    get, path = "/.well-known/pki/crl/{issuer_id}", tag = "pki",
    params(("issuer_id" = String, Path, description = "Id of the issuer.")),
    responses(
        (status = 200, content_type = "application/pkix-crl", body = inline(crate::openapi::Octets)),
        (status = 304, description = "The client has it."),
        (status = 501, description = "The issuer's CRL is published by its own CA.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let named = cx.path("issuer_id")?;
    let issuer_id = named.strip_suffix(".crl").unwrap_or(&named);
    let crl = cx.state().status()?.crl(issuer_id).await?;
    let object = Object {
        media_type: "application/pkix-crl",
        body: crl.der.clone(),
        etag: crl.etag.clone(),
        this_update: crl.this_update,
        next_update: crl.next_update,
        longest: 3600,
        if_none_match: cx.header("if-none-match"),
    };
    Ok(object.respond(cx.ambient().now()))
}
