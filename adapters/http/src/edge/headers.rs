//! Headers that every answer carries, whatever became of the request.

use super::cors::Cors;
use crate::state::Hsts;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

const ALWAYS: [(&str, &str); 4] = [
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    (REFERRER, "same-origin"),
    (
        "permissions-policy",
        "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    ),
];
const REFERRER: &str = "referrer-policy";
const POLICY: &str = "content-security-policy";

/// The content security policy of a page whose inline style has this hash (CSP Level 3, "hash-source").
pub(crate) fn policy_with_style(sha256_base64: &str) -> String {
    policy(&format!("'self' 'sha256-{sha256_base64}'"))
}

fn policy(styles: &str) -> String {
    format!(
        "default-src 'self'; img-src 'self' data:; style-src {styles}; script-src 'self'; connect-src 'self'; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// What is added to the answer of one request.
pub(super) struct Finish {
    pub(super) request_id: String,
    pub(super) cors: Cors,
    /// Absent over plain HTTP, where browsers must not heed it (RFC 6797 section 7.2).
    pub(super) hsts: Option<Hsts>,
}

impl Finish {
    /// Adds the headers; policies that a page brought along stay.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in ALWAYS {
            if name != REFERRER || !headers.contains_key(REFERRER) {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
        }
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("x-request-id", &self.request_id);
        if let Some(hsts) = self.hsts {
            let scope = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
            set("strict-transport-security", &format!("max-age={}{scope}", hsts.max_age.as_secs()));
        }
        if !headers.contains_key(POLICY)
            && let Ok(value) = HeaderValue::from_str(&policy("'self'"))
        {
            headers.insert(HeaderName::from_static(POLICY), value);
        }
        self.cors.apply(headers);
    }
}
