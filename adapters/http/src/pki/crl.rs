//! `GET /.well-known/pki/crl/{issuer_id}`

use super::Object;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_kernel::{DomainError, StoreError};

/// The newest CRL of a local issuer in DER. It shows every revocation from the moment that it is committed. The address
/// may end in `.crl`.
#[utoipa::path(
    get, path = "/.well-known/pki/crl/{issuer_id}", tag = "pki",
    params(("issuer_id" = String, Path, description = "Id of the issuer.")),
    responses(
        (status = 200, content_type = "application/pkix-crl", body = inline(crate::openapi::Octets)),
        (status = 304, description = "The client has it."),
        (status = 503, description = "No list within its time is at hand; `Retry-After` says when to ask again.", body = crate::edge::ErrorBody),
        (status = 501, description = "The issuer's CRL is published by its own CA.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let named = cx.path("issuer_id")?;
    serve(&cx, named.strip_suffix(".crl").unwrap_or(&named), None).await
}

/// The list of one CA, or of the newest.
pub(super) async fn serve(cx: &Cx, issuer_id: &str, ca_id: Option<&str>) -> Result<HttpResponse, ApiError> {
    let crl = cx.state().status()?.crl(issuer_id, ca_id).await.map_err(unavailable)?;
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

/// A list past its time is worse than none, and an error of the server's is none of the relying party's: it is to ask
/// again.
fn unavailable(error: DomainError) -> ApiError {
    match error {
        DomainError::NotFound { .. } | DomainError::NotSupported { .. } | DomainError::Store(_) => error.into(),
        other => {
            tracing::error!(error = %other, "no CRL within its time is at hand");
            DomainError::Store(StoreError::Unavailable).into()
        }
    }
}
