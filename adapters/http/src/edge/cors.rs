//! Which web pages of other origins may call (Fetch standard, "CORS protocol").

use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// What anybody's page may read: no credential goes there, and no data comes back that needs one.
const OPEN: [&str; 4] = ["/health", "/ready", "/api/v1/version", "/api/v1/auth/info"];
const METHODS: &str = "GET, POST, PUT, DELETE, PATCH, OPTIONS";
const REQUEST_HEADERS: &str = "Content-Type, Authorization, X-Request-ID, X-CSRF-Token, If-None-Match, If-Match, \
    Idempotency-Key";
const RESPONSE_HEADERS: &str = "ETag, X-Request-ID, Retry-After, X-CSRF-Token";

/// How a request stands to the list of origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Not from another origin, or a browser does not say so.
    Absent,
    /// On the list: may send credentials and read answers.
    Listed(HeaderValue),
    /// Any page may read the answer, without credentials.
    Anybody,
    /// Not on the list: the browser keeps the answer from the page.
    Stranger,
}

/// Whether pages of this origin may call with credentials.
pub(super) fn lists(listed: &[String], origin: &str) -> bool {
    origin != "*" && listed.iter().any(|allowed| allowed == origin)
}

/// The decision for one request.
#[derive(Debug, Clone)]
pub(super) struct Cors {
    origin: Origin,
    preflight: bool,
    /// Answers differ by origin, so shared caches must keep them apart.
    varies: bool,
}

impl Cors {
    /// Looks at a request for `path`.
    pub(super) fn judge(method: &Method, path: &str, headers: &HeaderMap, listed: &[String]) -> Self {
        let any = listed.iter().any(|allowed| allowed == "*") || OPEN.contains(&path);
        let origin = match headers.get("origin") {
            None => Origin::Absent,
            Some(origin) if origin.to_str().is_ok_and(|origin| lists(listed, origin)) => Origin::Listed(origin.clone()),
            Some(_) if any => Origin::Anybody,
            Some(_) => Origin::Stranger,
        };
        // Tools read the probes with no Origin at all and still look for the header.
        let origin = if OPEN.contains(&path) && origin == Origin::Absent { Origin::Anybody } else { origin };
        let preflight = *method == Method::OPTIONS
            && headers.contains_key("origin")
            && headers.contains_key("access-control-request-method");
        Self { origin, preflight, varies: listed.iter().any(|allowed| allowed != "*") }
    }

    /// Whether the request asks for leave, and whether it gets it.
    pub(super) fn preflight(&self) -> Option<bool> {
        self.preflight.then_some(self.origin != Origin::Stranger)
    }

    /// Adds what the browser looks for.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let mut set = |name: &'static str, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
        match &self.origin {
            Origin::Absent | Origin::Stranger => {}
            Origin::Listed(origin) => {
                set("access-control-allow-origin", origin.clone());
                set("access-control-allow-credentials", HeaderValue::from_static("true"));
                set("access-control-expose-headers", HeaderValue::from_static(RESPONSE_HEADERS));
            }
            Origin::Anybody => {
                set("access-control-allow-origin", HeaderValue::from_static("*"));
                set("access-control-expose-headers", HeaderValue::from_static(RESPONSE_HEADERS));
            }
        }
        if self.preflight() == Some(true) {
            set("access-control-allow-methods", HeaderValue::from_static(METHODS));
            set("access-control-allow-headers", HeaderValue::from_static(REQUEST_HEADERS));
            set("access-control-max-age", HeaderValue::from_static("86400"));
        }
        if self.varies {
            headers.append(HeaderName::from_static("vary"), HeaderValue::from_static("Origin"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(method: &Method, path: &str, origin: Option<&str>, listed: &[&str]) -> (Option<bool>, HeaderMap) {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(HeaderName::from_static("origin"), HeaderValue::from_str(origin).expect("a value"));
            let asked = HeaderName::from_static("access-control-request-method");
            headers.insert(asked, HeaderValue::from_static("GET"));
        }
        let listed: Vec<String> = listed.iter().map(|&origin| origin.to_owned()).collect();
        let cors = Cors::judge(method, path, &headers, &listed);
        let mut answer = HeaderMap::new();
        cors.apply(&mut answer);
        (cors.preflight(), answer)
    }

    fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    const CONSOLE: &str = "https://console.example.com";

    #[test]
    fn only_exact_origins_get_credentials() {
        let (leave, headers) = applied(&Method::OPTIONS, "/api/v1/teams", Some(CONSOLE), &[CONSOLE]);
        assert_eq!(leave, Some(true));
        assert_eq!(value(&headers, "access-control-allow-origin"), CONSOLE);
        assert_eq!(value(&headers, "access-control-allow-credentials"), "true");
        assert!(value(&headers, "access-control-allow-headers").contains("X-CSRF-Token"));
        for stranger in ["https://console.example.com.evil.test", "http://console.example.com", "null", "*"] {
            let (leave, headers) = applied(&Method::OPTIONS, "/api/v1/teams", Some(stranger), &[CONSOLE]);
            assert_eq!(leave, Some(false), "{stranger}");
            assert!(!headers.contains_key("access-control-allow-origin"), "{stranger}");
            assert_eq!(value(&headers, "vary"), "Origin", "{stranger}");
        }
    }

    #[test]
    fn everybody_never_comes_with_credentials() {
        for (path, listed) in [("/api/v1/teams", &["*"][..]), ("/api/v1/teams", &["*", CONSOLE]), ("/health", &[])] {
            let (leave, headers) = applied(&Method::OPTIONS, path, Some("https://elsewhere.example"), listed);
            assert_eq!(leave, Some(true), "{path}");
            assert_eq!(value(&headers, "access-control-allow-origin"), "*", "{path}");
            assert!(!headers.contains_key("access-control-allow-credentials"), "{path}");
        }
    }

    #[test]
    fn a_probe_is_open_without_an_origin_and_nothing_else_is() {
        assert_eq!(value(&applied(&Method::GET, "/ready", None, &[]).1, "access-control-allow-origin"), "*");
        assert!(applied(&Method::GET, "/api/v1/teams", None, &[]).1.is_empty());
    }

    #[test]
    fn options_without_the_questions_of_a_preflight_is_none() {
        assert_eq!(applied(&Method::OPTIONS, "/api/v1/teams", None, &[CONSOLE]).0, None);
        assert_eq!(applied(&Method::GET, "/api/v1/teams", Some(CONSOLE), &[CONSOLE]).0, None);
    }
}
