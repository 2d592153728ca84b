//! `GET /.well-known/pki/ocsp/{issuer_id}/{request}`

use super::{ocsp_limited, ocsp_response};
use crate::edge::{ApiError, Cx};
use crate::metrics::{self, OcspEvent};
use actix_web::{HttpRequest, HttpResponse};
use certctl_x509::ocsp::ErrorStatus;
use data_encoding::{BASE64, BASE64_NOPAD};

use super::service::OcspReply;

/// RFC 5019 asks clients to stay below 255 octets; longer ones are read as well.
const LONGEST: usize = 2048;

/// An OCSP answer. `request` is a DER request in base64 (RFC 6960 appendix A.1), percent-encoded or not, or the serial
/// number of a certificate in hex.
#[utoipa::path(
    get, path = "/.well-known/pki/ocsp/{issuer_id}/{request:.*}", tag = "pki",
    params(
        ("issuer_id" = String, Path, description = "Id of the issuer."),
        ("request" = String, Path, description = "Base64 of a DER request, or a serial number in hex."),
    ),
    responses(
        (status = 200, content_type = "application/ocsp-response", body = inline(crate::openapi::Octets)),
        (status = 304, description = "The client has it."),
        (status = 404, content_type = "application/ocsp-response", description = "No such issuer.", body = inline(crate::openapi::Octets)),
    ),
)]
pub(crate) async fn handler(cx: Cx, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    metrics::ocsp(OcspEvent::Get);
    if let Some(response) = ocsp_limited(&cx).await? {
        return Ok(response);
    }
    let issuer_id = cx.path("issuer_id")?;
    let service = cx.state().status()?;
    let text = percent_decoded(request.match_info().query("request"));
    let reply = match text.as_deref().map(form) {
        Some(Form::Request(der)) => service.ocsp(&issuer_id, &der).await,
        Some(Form::Serial(serial)) => service.ocsp_by_serial(&issuer_id, serial).await,
        Some(Form::Neither) | None => OcspReply::Refused(ErrorStatus::MalformedRequest),
    };
    Ok(ocsp_response(reply, true, cx.header("if-none-match"), cx.ambient().now()))
}

enum Form<'a> {
    Request(Vec<u8>),
    Serial(&'a str),
    Neither,
}

/// The base64 of any DER sequence short of 64 KiB begins with `M`, which is no hex digit.
fn form(text: &str) -> Form<'_> {
    if text.len() > LONGEST {
        return Form::Neither;
    }
    if text.starts_with('M') {
        let unpadded = text.trim_end_matches('=');
        let decoded = BASE64.decode(text.as_bytes()).or_else(|_| BASE64_NOPAD.decode(unpadded.as_bytes()));
        return decoded.map_or(Form::Neither, Form::Request);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
        return Form::Serial(text);
    }
    Form::Neither
}

/// Plain percent-decoding: `+` is a letter of base64 and means itself.
fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet == b'%' {
            let digits = [octets.next()?, octets.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            out.push(octet);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_forms_are_told_apart_and_anything_else_is_malformed() {
        let der = [0x30, 0x03, 0xFB, 0xFF, 0x01];
        let encoded = BASE64.encode(&der);
        assert!(encoded.contains('+') || encoded.contains('/'), "the sample holds a letter that addresses treat apart");
        let escaped = encoded.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        for text in [encoded.as_str(), &escaped, encoded.trim_end_matches('=')] {
            let decoded = percent_decoded(text).expect("well formed");
            assert!(matches!(form(&decoded), Form::Request(found) if found == der), "{text}");
        }
        assert!(matches!(form("00ff:AB"), Form::Serial(_)));
        for bad in ["", "M===M", "xyz", "../x"] {
            assert!(matches!(form(bad), Form::Neither), "{bad}");
        }
        assert_eq!(percent_decoded("%zz"), None);
        assert_eq!(percent_decoded("%4"), None);
    }
}
