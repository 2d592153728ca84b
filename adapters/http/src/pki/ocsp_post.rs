//! `POST /.well-known/pki/ocsp/{issuer_id}`

use super::service::OcspReply;
use super::{ocsp_limited, ocsp_response};
use crate::edge::{ApiError, Cx};
use crate::metrics::{self, OcspEvent};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use certctl_x509::ocsp::ErrorStatus;
use futures_util::StreamExt as _;

/// No request that is answered is longer.
const LONGEST: usize = 4 * 1024;

/// An OCSP answer (RFC 6960 appendix A.1).
#[utoipa::path(
    post, path = "/.well-known/pki/ocsp/{issuer_id}", tag = "pki",
    params(("issuer_id" = String, Path, description = "Id of the issuer.")),
    request_body(content_type = "application/ocsp-request", content = inline(crate::openapi::Octets)),
    responses(
        (status = 200, content_type = "application/ocsp-response", body = inline(crate::openapi::Octets)),
        (status = 404, content_type = "application/ocsp-response", description = "No such issuer.", body = inline(crate::openapi::Octets)),
        (status = 415, description = "The body is not an OCSP request.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut body: web::Payload) -> Result<HttpResponse, ApiError> {
    metrics::ocsp(OcspEvent::Post);
    if let Some(response) = ocsp_limited(&cx).await? {
        return Ok(response);
    }
    let media_type = cx.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if !media_type.is_empty() && !media_type.contains("ocsp-request") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send the request as application/ocsp-request",
        ));
    }
    let issuer_id = cx.path("issuer_id")?;
    let service = cx.state().status()?;
    let mut der = web::BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk
            .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "malformed_body", "the request body ended early"))?;
        der.extend_from_slice(&chunk);
        if der.len() > LONGEST {
            break;
        }
    }
    let reply = if der.len() > LONGEST {
        OcspReply::Refused(ErrorStatus::MalformedRequest)
    } else {
        service.ocsp(&issuer_id, &der).await
    };
    Ok(ocsp_response(reply, false, None, cx.ambient().now()))
}
