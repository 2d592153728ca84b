//! What relying parties fetch without signing in: CRLs, OCSP answers and CA certificates.

use crate::edge::limits::{Refusal, quota_headers, seconds};
use crate::edge::{ApiError, Gate, Route};
use crate::metrics::{self, OcspEvent};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use certctl_kernel::Timestamp;
use certctl_rbac::Permission;
use certctl_x509::{ocsp, sha256_hex};
use service::OcspReply;
use time::macros::format_description;

mod ca_certificate;
mod cache;
mod certificate_of_ca;
mod crl;
mod crl_cache;
mod crl_of_ca;
mod crl_regenerate;
mod hierarchy;
mod ocsp_get;
mod ocsp_post;
mod service;

pub use service::StatusService;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    const RELYING: Gate = Gate::Public("relying parties check certificates without an account");
    let mut routes = hierarchy::routes();
    routes.extend([
        crate::route!(RELYING, crl),
        crate::route!(RELYING, crl_of_ca),
        crate::route!(RELYING, ca_certificate),
        crate::route!(RELYING, certificate_of_ca),
        crate::route!(RELYING, ocsp_get),
        crate::route!(RELYING, ocsp_post),
        crate::route!(Gate::Permission(Permission::CrlAdmin), crl_cache),
        crate::route!(Gate::Permission(Permission::CrlAdmin), crl_regenerate),
    ]);
    routes
}

/// Caches are told to ask again this long before an object runs out.
const SAFETY_SECONDS: i64 = 60;

/// RFC 9110 §5.6.7.
fn http_date(at: Timestamp) -> String {
    let format =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    at.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_default()
}

fn matches(header: Option<&str>, etag: &str) -> bool {
    header.is_some_and(|list| {
        list.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
    })
}

/// A public object with its validity: 200 with the octets, or 304 when the client has them.
struct Object<'a> {
    media_type: &'static str,
    body: Bytes,
    etag: String,
    this_update: Timestamp,
    next_update: Timestamp,
    /// Upper bound of `max-age` in seconds.
    longest: i64,
    if_none_match: Option<&'a str>,
}

impl Object<'_> {
    fn respond(self, now: Timestamp) -> HttpResponse {
        let left = (self.next_update - now).whole_seconds() - SAFETY_SECONDS;
        let max_age = left.clamp(0, self.longest);
        let fresh = matches(self.if_none_match, &self.etag);
        let mut response = HttpResponse::build(if fresh { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
        response
            .insert_header(("ETag", self.etag))
            .insert_header(("Cache-Control", format!("max-age={max_age}, public, no-transform, must-revalidate")))
            .insert_header(("Last-Modified", http_date(self.this_update)))
            .insert_header(("Expires", http_date(self.next_update)));
        if fresh { response.finish() } else { response.content_type(self.media_type).body(self.body) }
    }
}

const OCSP_RESPONSE: &str = "application/ocsp-response";

fn ocsp_private(status: StatusCode, body: Bytes) -> HttpResponse {
    HttpResponse::build(status).insert_header(("Cache-Control", "no-store")).content_type(OCSP_RESPONSE).body(body)
}

/// The HTTP form of a reply. Only answers to GET may be cached by others.
fn ocsp_response(reply: OcspReply, cacheable: bool, if_none_match: Option<&str>, now: Timestamp) -> HttpResponse {
    metrics::ocsp(match &reply {
        OcspReply::Shared(_) | OcspReply::Private(_) => OcspEvent::Success,
        OcspReply::Refused(ocsp::ErrorStatus::InternalError | ocsp::ErrorStatus::TryLater) => OcspEvent::SigningFailed,
        OcspReply::Refused(_) => OcspEvent::Invalid,
        OcspReply::NoIssuer => OcspEvent::IssuerNotFound,
    });
    match reply {
        OcspReply::Shared(answer) if cacheable => Object {
            media_type: OCSP_RESPONSE,
            etag: format!("\"{}\"", sha256_hex(&answer.der)),
            body: answer.der,
            this_update: answer.this_update,
            next_update: answer.next_update,
            longest: i64::MAX,
            if_none_match,
        }
        .respond(now),
        OcspReply::Shared(answer) => ocsp_private(StatusCode::OK, answer.der),
        OcspReply::Private(der) => ocsp_private(StatusCode::OK, der),
        OcspReply::Refused(status) => ocsp_private(StatusCode::OK, ocsp::error_response(status).into()),
        OcspReply::NoIssuer => {
            ocsp_private(StatusCode::NOT_FOUND, ocsp::error_response(ocsp::ErrorStatus::Unauthorized).into())
        }
    }
}

/// Over the limit: told in the protocol's own words, because OCSP clients read nothing else.
async fn ocsp_limited(cx: &crate::edge::Cx) -> Result<Option<HttpResponse>, ApiError> {
    let state = cx.state();
    let Some(limiter) = &state.limits.ocsp else { return Ok(None) };
    let facts = cx.facts();
    let verdict = match state.take(limiter, &facts.address_key(), &facts.nobody()).await {
        Ok(_) => return Ok(None),
        Err(Refusal::Over(verdict)) => verdict,
        Err(refusal @ Refusal::NoCount) => return Err(refusal.into()),
    };
    metrics::ocsp(OcspEvent::RateLimited);
    let mut response = ocsp_private(StatusCode::OK, ocsp::error_response(ocsp::ErrorStatus::TryLater).into());
    let retry = (header::RETRY_AFTER, HeaderValue::from(seconds(verdict.retry_after)));
    for (name, value) in quota_headers(verdict).into_iter().chain([retry]) {
        response.headers_mut().insert(name, value);
    }
    Ok(Some(response))
}

#[cfg(test)]
mod tests {
    use super::cache::SharedAnswer;
    use super::*;
    use time::macros::datetime;

    fn shared() -> OcspReply {
        OcspReply::Shared(SharedAnswer {
            der: Bytes::from_static(b"answer"),
            this_update: datetime!(2026-03-01 12:00 UTC),
            next_update: datetime!(2026-03-02 00:00 UTC),
        })
    }

    fn header(response: &HttpResponse, name: &str) -> String {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    #[test]
    fn o10_an_answer_to_get_is_cacheable_until_a_minute_before_its_end() {
        let now = datetime!(2026-03-01 23:00 UTC);
        let response = ocsp_response(shared(), true, None, now);
        assert_eq!(header(&response, "cache-control"), "max-age=3540, public, no-transform, must-revalidate");
        assert_eq!(header(&response, "last-modified"), "Sun, 01 Mar 2026 12:00:00 GMT");
        assert_eq!(header(&response, "expires"), "Mon, 02 Mar 2026 00:00:00 GMT");
        let etag = header(&response, "etag");
        assert_eq!(ocsp_response(shared(), true, Some(&etag), now).status(), StatusCode::NOT_MODIFIED);
        let late = ocsp_response(shared(), true, None, datetime!(2026-03-01 23:59:30 UTC));
        assert!(header(&late, "cache-control").starts_with("max-age=0,"));
    }

    #[test]
    fn answers_to_post_refusals_and_unknown_issuers_are_never_stored() {
        let now = datetime!(2026-03-01 23:00 UTC);
        for reply in [shared(), OcspReply::Refused(ocsp::ErrorStatus::TryLater), OcspReply::NoIssuer] {
            let response = ocsp_response(reply, false, None, now);
            assert_eq!(header(&response, "cache-control"), "no-store");
        }
        assert_eq!(ocsp_response(OcspReply::NoIssuer, true, None, now).status(), StatusCode::NOT_FOUND);
    }
}
