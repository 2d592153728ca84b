//! Requests: addresses that can't leave their route, retries that can't do a thing twice.

use crate::failure::Failure;
use crate::settings::Settings;
use certctl_kernel::Secret;
use serde_json::Value;
use std::time::{Duration, Instant};
use ureq::http;
use url::Url;

const MOST_RETRIES: u32 = 3;
/// Beyond any list page or CRL that makes sense to hold in memory.
const LARGEST_ANSWER: u64 = 128 << 20;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// One request.
#[derive(Debug, Default)]
pub(crate) struct Send<'a> {
    /// Literal part of the path, such as `/api/v1/certificates`.
    pub(crate) path: &'a str,
    /// Segments after it; each is encoded as one.
    pub(crate) rest: &'a [&'a str],
    /// Query parameters.
    pub(crate) query: Vec<(String, String)>,
    /// JSON body.
    pub(crate) body: Option<Value>,
    /// Never sent twice, whatever happens: its answer carries a secret that a repetition would lose.
    pub(crate) once: bool,
}

impl<'a> Send<'a> {
    /// A request to this path.
    pub(crate) fn to(path: &'a str, rest: &'a [&'a str]) -> Self {
        Self { path, rest, ..Self::default() }
    }

    /// With this JSON body.
    pub(crate) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With one more query parameter.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Never repeated.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// An answer below 300.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; an empty one is null.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Network(format!("the server's answer is not JSON: {error}")))
    }
}

/// A connection to one server as one caller, on behalf of one command.
pub(crate) struct Client {
    agent: ureq::Agent,
    base: Url,
    key: Option<Secret<String>>,
    timeout: Duration,
    command: String,
}

enum Attempt {
    Answer(u16, Option<u64>, Vec<u8>),
    /// The second part: whether another try makes sense.
    Trouble(Failure, bool),
}

impl Client {
    /// A client for `settings`; `command` is the resource and verb, without arguments.
    pub(crate) fn new(settings: &Settings, command: &str) -> Result<Self, Failure> {
        if settings.insecure {
            eprintln!("warning: the server's certificate is not verified");
        }
        let agent = super::agent_for(settings)?;
        Ok(Self {
            agent,
            base: settings.server.clone(),
            key: settings.api_key.clone(),
            timeout: settings.timeout,
            command: command.to_owned(),
        })
    }

    /// The same client with another time limit a request.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same client with another key.
    pub(crate) fn with_key(mut self, key: Secret<String>) -> Self {
        self.key = Some(key);
        self
    }

    /// Sends and expects success.
    pub(crate) fn send(&self, method: Method, request: &Send) -> Result<Reply, Failure> {
        let url = address(&self.base, request)?;
        let body = match &request.body {
            Some(body) => Some(serde_json::to_vec(body).map_err(|error| Failure::Local(error.to_string()))?),
            None => None,
        };
        let idempotency_key = (method == Method::Post && !request.once).then(idempotency_key);
        let repeatable = method != Method::Post || idempotency_key.is_some();
        let started = Instant::now();
        let mut tries = 0;
        loop {
            let left = self.timeout.saturating_sub(started.elapsed());
            let attempt = self.attempt(method, &url, body.as_deref(), idempotency_key.as_deref(), left);
            let (again, asked) = match &attempt {
                Attempt::Answer(status, retry_after, _) => (matches!(status, 429 | 502 | 503 | 504), *retry_after),
                Attempt::Trouble(_, again) => (*again, None),
            };
            if again && repeatable {
                let left = self.timeout.saturating_sub(started.elapsed());
                if let Some(delay) = pause(tries, asked, left) {
                    std::thread::sleep(delay);
                    tries += 1;
                    continue;
                }
            }
            return match attempt {
                Attempt::Answer(200..=299, _, body) => Ok(Reply { body }),
                Attempt::Answer(status, _, body) => Err(Failure::refused(status, &body)),
                Attempt::Trouble(failure, _) => Err(failure),
            };
        }
    }

    /// GET as JSON.
    pub(crate) fn get(&self, request: &Send) -> Result<Value, Failure> {
        self.send(Method::Get, request)?.json()
    }

    /// PATCH as JSON.
    pub(crate) fn patch(&self, request: &Send) -> Result<Value, Failure> {
        self.send(Method::Patch, request)?.json()
    }

    /// POST as JSON.
    pub(crate) fn post(&self, request: &Send) -> Result<Value, Failure> {
        self.send(Method::Post, request)?.json()
    }

    /// GET of something large: writes the answer as it comes and gives its last line.
    pub(crate) fn download(&self, request: &Send, out: &mut dyn std::io::Write) -> Result<String, Failure> {
        let url = address(&self.base, request)?;
        let mut response = match self.open(Method::Get, &url, None, None, self.timeout) {
            Ok(response) => response,
            Err(Attempt::Trouble(failure, _)) => return Err(failure),
            Err(Attempt::Answer(status, _, body)) => return Err(Failure::refused(status, &body)),
        };
        let status = response.status().as_u16();
        if !(200..300).contains(&status) {
            let body = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec();
            return Err(Failure::refused(status, &body.unwrap_or_default()));
        }
        let mut reader = std::io::BufReader::new(response.body_mut().with_config().limit(u64::MAX).reader());
        let (mut line, mut last) = (String::new(), String::new());
        loop {
            line.clear();
            let read = std::io::BufRead::read_line(&mut reader, &mut line);
            let read = read.map_err(|error| Failure::Network(format!("the answer ended early: {error}")))?;
            if read == 0 {
                return Ok(last);
            }
            out.write_all(line.as_bytes()).map_err(|error| match error.kind() {
                std::io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
                _ => Failure::Local(format!("writing the answer: {error}")),
            })?;
            std::mem::swap(&mut line, &mut last);
        }
    }

    /// One try without repetition, whose refusals are answers too: for probes.
    pub(crate) fn probe(&self, path: &str) -> Result<(u16, Value), Failure> {
        let url = address(&self.base, &Send::to(path, &[]))?;
        match self.attempt(Method::Get, &url, None, None, self.timeout) {
            Attempt::Answer(status, _, body) => Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null))),
            Attempt::Trouble(failure, _) => Err(failure),
        }
    }

    fn attempt(
        &self,
        method: Method,
        url: &Url,
        body: Option<&[u8]>,
        idempotency_key: Option<&str>,
        left: Duration,
    ) -> Attempt {
        let mut response = match self.open(method, url, body, idempotency_key, left) {
            Ok(response) => response,
            Err(attempt) => return attempt,
        };
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("Retry-After")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        match response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec() {
            Ok(body) => Attempt::Answer(status, retry_after, body),
            Err(error) => self.trouble(error),
        }
    }

    /// Sends and gives the answer before its body; what went wrong is the attempt's end.
    fn open(
        &self,
        method: Method,
        url: &Url,
        body: Option<&[u8]>,
        idempotency_key: Option<&str>,
        left: Duration,
    ) -> Result<http::Response<ureq::Body>, Attempt> {
        let mut request = http::Request::builder()
            .method(match method {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
                Method::Put => http::Method::PUT,
                Method::Patch => http::Method::PATCH,
                Method::Delete => http::Method::DELETE,
            })
            .uri(url.as_str())
            .header("X-Certctl-Command", &self.command);
        if let Some(key) = &self.key {
            let Ok(mut value) = http::HeaderValue::try_from(format!("Bearer {}", key.expose())) else {
                return Err(Attempt::Trouble(Failure::Local("the API key can't be sent".to_owned()), false));
            };
            value.set_sensitive(true);
            request = request.header("Authorization", value);
        }
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = match body {
            Some(body) => request
                .header("Content-Type", "application/json")
                .body(body)
                .map_err(ureq::Error::from)
                .and_then(|request| self.run(request, left)),
            None if matches!(method, Method::Post | Method::Put | Method::Patch) => request
                .body(ureq::SendBody::none())
                .map_err(ureq::Error::from)
                .and_then(|request| self.run(request, left)),
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.run(request, left)),
        };
        answer.map_err(|error| self.trouble(error))
    }

    fn run(
        &self,
        request: http::Request<impl ureq::AsSendBody>,
        left: Duration,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let request =
            self.agent.configure_request(request).timeout_global(Some(left.max(Duration::from_millis(1)))).build();
        self.agent.run(request)
    }

    fn trouble(&self, error: ureq::Error) -> Attempt {
        let server = self.base.origin().ascii_serialization();
        let untrusted = |reason: &rustls::Error| match reason {
            rustls::Error::InvalidCertificate(reason) => {
                Some(Failure::Untrusted { server: server.clone(), reason: format!("{reason:?}") })
            }
            _ => None,
        };
        match error {
            ureq::Error::Timeout(_) => Attempt::Trouble(
                Failure::TimedOut(format!("{server} did not answer within {} s", self.timeout.as_secs_f32())),
                false,
            ),
            ureq::Error::Rustls(reason) => {
                let text = format!("TLS with {server} failed: {reason}");
                Attempt::Trouble(untrusted(&reason).unwrap_or(Failure::Network(text)), false)
            }
            ureq::Error::Io(error) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                if let Some(reason) = inner {
                    let text = format!("TLS with {server} failed: {reason}");
                    return Attempt::Trouble(untrusted(reason).unwrap_or(Failure::Network(text)), false);
                }
                Attempt::Trouble(Failure::Network(format!("cannot reach {server}: {error}")), true)
            }
            ureq::Error::ConnectionFailed => Attempt::Trouble(Failure::Network(format!("cannot reach {server}")), true),
            other => Attempt::Trouble(Failure::Network(format!("cannot reach {server}: {other}")), false),
        }
    }
}

/// How long to wait before the next try, when there is to be one within the time left.
fn pause(tries: u32, asked: Option<u64>, left: Duration) -> Option<Duration> {
    if tries >= MOST_RETRIES {
        return None;
    }
    let delay = asked.map_or_else(|| Duration::from_millis(250 << tries), Duration::from_secs);
    (delay < left).then_some(delay)
}

/// The full address; no segment can leave the route it belongs to.
fn address(base: &Url, request: &Send) -> Result<Url, Failure> {
    let mut url = base.clone();
    {
        let mut path =
            url.path_segments_mut().map_err(|()| Failure::Local("the server address can't carry a path".to_owned()))?;
        path.pop_if_empty().extend(request.path.split('/').filter(|part| !part.is_empty()));
        for segment in request.rest {
            if segment.is_empty() || matches!(*segment, "." | "..") {
                return Err(Failure::Usage(format!("{segment:?} is not an id")));
            }
            path.push(segment);
        }
    }
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    Ok(url)
}

/// A value that no other request carries.
fn idempotency_key() -> String {
    #[expect(clippy::disallowed_methods, reason = "the client is where randomness enters this program")]
    let source = ring::rand::SystemRandom::new();
    let random: [u8; 16] = ring::rand::generate(&source)
        .expect("the operating system gives random bytes once it has booted; without them TLS would not work either")
        .expose();
    data_encoding::HEXLOWER.encode(&random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(base: &str, path: &str, rest: &[&str]) -> Result<String, Failure> {
        address(&Url::parse(base).unwrap(), &Send::to(path, rest)).map(|url| url.path().to_owned())
    }

    #[test]
    fn ids_stay_one_segment() {
        let base = "https://localhost:8443";
        assert_eq!(
            path_of(base, "/api/v1/certificates", &["a/../b", "renew"]).unwrap(),
            "/api/v1/certificates/a%2F..%2Fb/renew"
        );
        assert_eq!(path_of(base, "/api/v1/certificates", &["a?x#y"]).unwrap(), "/api/v1/certificates/a%3Fx%23y");
        for bad in ["", ".", ".."] {
            assert_eq!(path_of(base, "/api/v1/certificates", &[bad]).expect_err(bad).exit_code(), 2);
        }
    }

    #[test]
    fn address_may_have_a_prefix_of_its_own() {
        assert_eq!(path_of("https://x.example/pki/", "/health", &[]).unwrap(), "/pki/health");
    }

    #[test]
    fn retries_are_few_and_end_with_the_time() {
        let long = Duration::from_secs(30);
        assert_eq!(pause(0, None, long), Some(Duration::from_millis(250)));
        assert_eq!(pause(2, None, long), Some(Duration::from_secs(1)));
        assert_eq!(pause(3, None, long), None);
        assert_eq!(pause(0, Some(7), long), Some(Duration::from_secs(7)), "the server's wish counts");
        assert_eq!(pause(0, Some(3600), long), None, "an hour does not fit into half a minute");
    }

    #[test]
    fn idempotency_keys_differ() {
        assert_ne!(idempotency_key(), idempotency_key());
        assert_eq!(idempotency_key().len(), 32);
    }
}
