//! Counters of this process.

use actix_web::http::Method;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, register_histogram_vec, register_int_counter_vec,
};
use std::sync::LazyLock;

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register_int_counter_vec!(name, help, labels).expect("each metric is registered once, under a valid name")
}

static REQUESTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counters("certctl_http_requests_total", "Requests answered.", &["method", "route", "status"]));

static DURATIONS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let options = HistogramOpts::new("certctl_http_request_duration_seconds", "Time to the answer's headers.")
        .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
    register_histogram_vec!(options, &["method", "route"]).expect("registered once, under a valid name")
});

static RATE_LIMITED: LazyLock<IntCounterVec> =
    LazyLock::new(|| counters("certctl_rate_limited_total", "Requests refused by a limit.", &["limiter"]));

static BREAKGLASS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters("certctl_breakglass_logins_total", "Attempts to sign in with an emergency account.", &["result"])
});

static LOGINS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Sign-ins that providers answered, by what became of them.";
    counters("certctl_auth_login_total", help, &["provider", "result"])
});

/// What happens to OCSP requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OcspEvent {
    Get,
    Post,
    Success,
    Invalid,
    IssuerNotFound,
    CertNotFound,
    SigningFailed,
    NonceEchoed,
    NonceMalformed,
    RateLimited,
}

impl OcspEvent {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Get, "request_get"),
        (Self::Post, "request_post"),
        (Self::Success, "request_success"),
        (Self::Invalid, "request_invalid"),
        (Self::IssuerNotFound, "issuer_not_found"),
        (Self::CertNotFound, "cert_not_found"),
        (Self::SigningFailed, "signing_failed"),
        (Self::NonceEchoed, "nonce_echoed"),
        (Self::NonceMalformed, "nonce_malformed"),
        (Self::RateLimited, "rate_limited"),
    ];
}

// Resolved once: an answer from the cache takes microseconds, a label lookup is a hash and a lock.
static OCSP: LazyLock<[IntCounter; 10]> = LazyLock::new(|| {
    let family = counters("certctl_ocsp_counter_total", "What happened to OCSP requests.", &["label"]);
    OcspEvent::ALL.map(|(_, label)| family.with_label_values(&[label]))
});

/// Registers everything, so that a metric is there, at zero, before its first event.
pub(super) fn prepare() {
    LazyLock::force(&REQUESTS);
    LazyLock::force(&DURATIONS);
    LazyLock::force(&RATE_LIMITED);
    LazyLock::force(&OCSP);
    // An alert on a rate must know the zero before the first use.
    for result in ["signed_in", "key_answered", "key_asked", "refused", "failed"] {
        BREAKGLASS.with_label_values(&[result]);
    }
}

/// Counts an answer. `route` is the template, never the path itself.
pub(crate) fn observe_request(method: &Method, route: Option<&str>, status: u16, seconds: f64) {
    let method = match *method {
        Method::GET | Method::POST | Method::PUT | Method::DELETE | Method::PATCH | Method::HEAD | Method::OPTIONS => {
            method.as_str()
        }
        _ => "other",
    };
    let route = route.unwrap_or("unmatched");
    let mut digits = [0; 3];
    let status = three_digits(status, &mut digits);
    REQUESTS.with_label_values(&[method, route, status]).inc();
    DURATIONS.with_label_values(&[method, route]).observe(seconds);
}

fn three_digits(status: u16, into: &mut [u8; 3]) -> &str {
    for (place, divisor) in into.iter_mut().zip([100, 10, 1]) {
        *place = b'0' + u8::try_from(status / divisor % 10).unwrap_or(0);
    }
    std::str::from_utf8(into).unwrap_or("000")
}

/// Counts something that happened to an OCSP request.
pub(crate) fn ocsp(event: OcspEvent) {
    OCSP[event as usize].inc();
}

/// Counts an attempt to sign in with an emergency account.
pub(crate) fn breakglass_login(result: &str) {
    BREAKGLASS.with_label_values(&[result]).inc();
}

/// Counts a sign-in through a provider; `provider` is empty while nobody knows which.
pub(crate) fn login(provider: &str, result: &str) {
    LOGINS.with_label_values(&[provider, result]).inc();
}

/// Counts a refusal by the limiter of this name.
pub(crate) fn rate_limited(limiter: &str) {
    RATE_LIMITED.with_label_values(&[limiter]).inc();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_counts_under_its_own_label() {
        for (position, (event, _)) in OcspEvent::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, position, "{event:?} is where its counter is");
        }
    }

    #[test]
    fn a_status_is_written_as_it_is() {
        let mut digits = [0; 3];
        assert_eq!(three_digits(204, &mut digits), "204");
        assert_eq!(three_digits(599, &mut digits), "599");
    }
}
