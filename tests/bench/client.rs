//! Requests, and many of them at once.

use crate::Outcome;
use crate::processes::{Server, Usage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use ureq::http::Request;
use ureq::tls::{Certificate, TlsConfig};

/// One connection that stays open.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

/// The trust of a server's own CA, ready to use by many clients.
pub fn trust(ca_pem: &[u8]) -> Outcome<TlsConfig> {
    let ca = Certificate::from_pem(ca_pem).map_err(|error| format!("the server's CA: {error}"))?;
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_3);
    Ok(TlsConfig::builder().root_certs(vec![ca].into()).unversioned_rustls_crypto_provider(Arc::new(provider)).build())
}

impl Client {
    /// A client of the server at `base`.
    pub fn new(base: &str, tls: &TlsConfig, key: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .tls_config(tls.clone())
            .max_idle_connections(1)
            .build();
        Self { agent: config.into(), base: base.to_owned(), authorization: key.map(|key| format!("Bearer {key}")) }
    }

    /// One request with a body of this type; the status and body of its answer.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Outcome<(u16, Vec<u8>)> {
        let mut answer = self.exchange(method, path, None, body)?;
        let status = answer.status().as_u16();
        Ok((status, answer.body_mut().read_to_vec().map_err(|error| format!("{method} {path}: {error}"))?))
    }

    /// Exchanges an API key for a session; the cookie that stands for it.
    pub fn sign_in(&self, key: &str) -> Outcome<String> {
        let (path, body) = ("/api/v1/auth/session", serde_json::json!({"api_key": key}).to_string());
        let answer = self.exchange("POST", path, None, Some(("application/json", body.as_bytes())))?;
        let cookies = answer.headers().get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
        let session = cookies.filter_map(|cookie| cookie.split(';').next()).find(|pair| pair.contains("_session="));
        session.map(ToOwned::to_owned).ok_or_else(|| format!("no session: {}", answer.status()))
    }

    /// Reads with a session, and must get this status.
    pub fn expect_in_session(&self, path: &str, cookie: &str, status: u16) -> Outcome<()> {
        let mut answer = self.exchange("GET", path, Some(("cookie", cookie)), None)?;
        let got = answer.status().as_u16();
        answer.body_mut().read_to_vec().map_err(|error| format!("GET {path}: {error}"))?;
        if got == status { Ok(()) } else { Err(format!("GET {path} in a session answered {got}")) }
    }

    /// Sends JSON as a proxy in front of a client of this address would; the status.
    pub fn post_from(&self, address: &str, path: &str, json: &str) -> Outcome<u16> {
        let body = Some(("application/json", json.as_bytes()));
        let mut answer = self.exchange("POST", path, Some(("x-forwarded-for", address)), body)?;
        answer.body_mut().read_to_vec().map_err(|error| format!("POST {path}: {error}"))?;
        Ok(answer.status().as_u16())
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        header: Option<(&str, &str)>,
        body: Option<(&str, &[u8])>,
    ) -> Outcome<ureq::http::Response<ureq::Body>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if let Some((kind, _)) = body {
            request = request.header("content-type", kind);
        }
        let octets = body.map_or(&[][..], |(_, octets)| octets);
        let failed = |error: ureq::Error| format!("{method} {path}: {error}");
        let answer = if body.is_some() {
            self.agent.run(request.body(octets).map_err(|error| error.to_string())?)
        } else {
            self.agent.run(request.body(()).map_err(|error| error.to_string())?)
        };
        answer.map_err(failed)
    }

    /// One request with JSON that must get this status; anything else ends the run, for a refusal is fast and no work.
    pub fn expect(&self, method: &str, path: &str, json: Option<&[u8]>, status: u16) -> Outcome<Vec<u8>> {
        let (got, body) = self.send(method, path, json.map(|octets| ("application/json", octets)))?;
        if got == status {
            Ok(body)
        } else {
            Err(format!("{method} {path} answered {got}: {}", String::from_utf8_lossy(&body)))
        }
    }
}

/// How much to send.
#[derive(Clone, Copy)]
pub enum Budget {
    /// As much as fits, after a second of warming up.
    Time(Duration),
    /// So many requests, none of them for warming up.
    Requests(u64),
}

/// What a phase showed.
pub struct Load {
    /// Requests a second.
    pub rate: f64,
    /// Median latency.
    pub p50: Duration,
    /// Latency that one in a hundred exceeds.
    pub p99: Duration,
    /// Processor time a request.
    pub usage: Usage,
}

/// The latency below which `hundredths` of the sorted ones are.
pub fn percentile(sorted: &[Duration], hundredths: usize) -> Duration {
    sorted.get((sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Sends requests over `connections` at once; `step` gets the number of its request over all of them.
pub fn drive<C>(
    server: &Server,
    connections: usize,
    budget: Budget,
    connect: impl Fn(usize) -> C + Sync,
    step: impl Fn(&C, u64) -> Outcome<()> + Sync,
) -> Outcome<Load> {
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    let warm_up = match budget {
        Budget::Time(_) => Duration::from_secs(1),
        Budget::Requests(_) => Duration::ZERO,
    };
    let over = |n: u64| match budget {
        Budget::Time(length) => begun.elapsed() >= warm_up + length,
        Budget::Requests(most) => n >= most,
    };
    let one = |number: usize| -> Outcome<Vec<Duration>> {
        let client = connect(number);
        let mut latencies = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if over(n) {
                return Ok(latencies);
            }
            let counts = begun.elapsed() >= warm_up;
            let sent = Instant::now();
            step(&client, n)?;
            if counts {
                latencies.push(sent.elapsed());
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|number| {
                scope.spawn({
                    let one = &one;
                    move || one(number)
                })
            })
            .collect();
        std::thread::sleep(warm_up);
        let (before, from) = (server.usage()?, begun.elapsed());
        let mut latencies = Vec::new();
        for thread in threads {
            latencies.extend(thread.join().map_err(|_| "a driver thread panicked".to_owned())??);
        }
        let (after, until) = (server.usage()?, begun.elapsed());
        latencies.sort_unstable();
        let count = f64::from(u32::try_from(latencies.len()).map_err(|error| error.to_string())?.max(1));
        Ok(Load {
            rate: count / until.saturating_sub(from).as_secs_f64(),
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            usage: after.since(&before).over(count),
        })
    })
}
