//! The one way out towards providers: `https` only, no redirects, no proxy of the environment, bounded in time and
//! size, and never to an address that the policy refuses.
//!
//! A name is judged by the addresses that the connection is made to, not by an earlier look-up: whoever answers
//! differently the second time (DNS rebinding) gains nothing.

use async_trait::async_trait;
use certctl_oidc::{OutboundPolicy, ProviderError};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::{Host, Url};

/// Octets of an answer.
const LARGEST: usize = 1024 * 1024;
/// Clients with CA bundles of their own that are kept.
const MOST_CLIENTS: usize = 64;

/// Finds the addresses of a name.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// Every address of the name.
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The host's own resolver.
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutboundError {
    /// The policy, for the person who configures the provider.
    #[error("{0}")]
    Refused(String),
    /// The network or the peer.
    #[error("{0}")]
    Failed(String),
    /// The configuration.
    #[error("{0}")]
    Configuration(String),
}

impl From<OutboundError> for ProviderError {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Refused(text) => Self::AddressRefused(text),
            OutboundError::Failed(text) => Self::Unreachable(text),
            OutboundError::Configuration(text) => Self::Configuration(text),
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) max_age: Option<Duration>,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Refused by the resolver; found again among the causes of the client's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RefusedAddress(String);

struct Guard {
    policy: OutboundPolicy,
    lookup: Arc<dyn Lookup>,
}

impl Guard {
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.lookup.addresses(name).await?;
        if let Some(reason) = found.iter().find_map(|address| self.policy.check_address(*address).err()) {
            return Err(Box::new(RefusedAddress(format!("an address of {name} {reason}"))));
        }
        Ok(found)
    }
}

struct GuardedResolver(Arc<Guard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = guard.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

/// Asks providers.
pub(crate) struct Outbound {
    guard: Arc<Guard>,
    roots: RootCertStore,
    time: Duration,
    /// By CA bundle; the empty one is the host's authorities.
    clients: Mutex<HashMap<String, reqwest::Client>>,
}

impl Outbound {
    /// Reads the authorities that this host believes; a host without any can still use bundles.
    pub(crate) fn new(policy: OutboundPolicy, time: Duration, lookup: Arc<dyn Lookup>) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "an authority of this host can't be read");
        }
        roots.add_parsable_certificates(found.certs);
        Self { guard: Arc::new(Guard { policy, lookup }), roots, time, clients: Mutex::default() }
    }

    /// Judges a URL by what it says itself, without asking anybody.
    pub(crate) fn vet(&self, what: &str, text: &str) -> Result<Url, OutboundError> {
        let refused = |reason: &str| OutboundError::Refused(format!("{what} {reason}"));
        let url = Url::parse(text).map_err(|_| refused("is not a URL"))?;
        if url.scheme() != "https" {
            return Err(refused("does not begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("holds a user name or a password"));
        }
        self.guard.policy.check_host(&url).map_err(|reason| refused(&reason.to_string()))?;
        Ok(url)
    }

    /// The same, and looks the name up. A name that can't be resolved passes: there is nothing to judge yet.
    pub(crate) async fn vet_resolved(&self, what: &str, text: &str) -> Result<(), OutboundError> {
        let url = self.vet(what, text)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        match self.guard.addresses(name).await {
            Err(error) if error.is::<RefusedAddress>() => Err(OutboundError::Refused(format!("{what}: {error}"))),
            _ => Ok(()),
        }
    }

    fn client(&self, ca_bundle_pem: &str) -> Result<reqwest::Client, OutboundError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(ca_bundle_pem) {
            return Ok(client.clone());
        }
        let roots = if ca_bundle_pem.is_empty() { self.roots.clone() } else { bundle(ca_bundle_pem)? };
        let client = build(roots, self.time, GuardedResolver(Arc::clone(&self.guard)))?;
        if clients.len() >= MOST_CLIENTS {
            clients.clear();
        }
        clients.insert(ca_bundle_pem.to_owned(), client.clone());
        Ok(client)
    }

    /// One request, one answer; `what` names the place in errors.
    pub(crate) async fn ask(
        &self,
        ca_bundle_pem: &str,
        what: &str,
        request: reqwest::Request,
    ) -> Result<Answer, OutboundError> {
        self.vet(what, request.url().as_str())?;
        let client = self.client(ca_bundle_pem)?;
        let mut response = client.execute(request).await.map_err(|error| failed(what, &error))?;
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
        let content_type = text("content-type").unwrap_or_default().to_ascii_lowercase();
        let (location, max_age) = (text("location"), text("cache-control").and_then(|value| max_age(&value)));
        let status = response.status().as_u16();
        let too_large = || OutboundError::Failed(format!("{what} answered with more than {LARGEST} bytes"));
        if response.content_length().is_some_and(|length| length > LARGEST as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(what, &error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, content_type, max_age, location, body })
    }

    /// Fetches a document; anything but 200 is an error.
    pub(crate) async fn get(&self, ca_bundle_pem: &str, what: &str, url: &Url) -> Result<Answer, OutboundError> {
        let answer = self.ask(ca_bundle_pem, what, document(url.clone())).await?;
        expect_ok(what, answer)
    }

    /// The same, and follows one redirect that stays at the origin.
    pub(crate) async fn get_following(
        &self,
        ca_bundle_pem: &str,
        what: &str,
        url: &Url,
    ) -> Result<Answer, OutboundError> {
        let answer = self.ask(ca_bundle_pem, what, document(url.clone())).await?;
        if !(300..400).contains(&answer.status) {
            return expect_ok(what, answer);
        }
        let target = answer.location.and_then(|location| url.join(&location).ok());
        match target {
            Some(target) if target.origin() == url.origin() => self.get(ca_bundle_pem, what, &target).await,
            _ => Err(OutboundError::Refused(format!("{what} redirects to another place"))),
        }
    }
}

fn document(url: Url) -> reqwest::Request {
    let mut request = reqwest::Request::new(reqwest::Method::GET, url);
    request.headers_mut().insert("accept", reqwest::header::HeaderValue::from_static("application/json"));
    request
}

fn expect_ok(what: &str, answer: Answer) -> Result<Answer, OutboundError> {
    if answer.status == 200 {
        Ok(answer)
    } else {
        Err(OutboundError::Failed(format!("{what} answered with status {}", answer.status)))
    }
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let mut directives = cache_control.split(',').map(str::trim);
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

/// The authorities of a bundle; each must be readable, and there must be one.
fn bundle(pem: &str) -> Result<RootCertStore, OutboundError> {
    let unreadable = |why: String| OutboundError::Configuration(format!("ca_bundle_pem: {why}"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unreadable("holds no certificate".to_owned())) } else { Ok(roots) }
}

fn build(roots: RootCertStore, time: Duration, resolver: GuardedResolver) -> Result<reqwest::Client, OutboundError> {
    let fault = |error: String| OutboundError::Configuration(format!("the client can't be made: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .dns_resolver(resolver)
        .timeout(time)
        .connect_timeout(time)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4)
        .user_agent(concat!("certctl/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| fault(error.to_string()))
}

/// An error in words that tell an operator what to look at, without the URL's query and without what the peer sent.
fn failed(what: &str, error: &reqwest::Error) -> OutboundError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        if let Some(RefusedAddress(reason)) = inner.downcast_ref() {
            return OutboundError::Refused(format!("{what}: {reason}"));
        }
        cause = inner;
    }
    let text = if error.is_timeout() {
        format!("{what} did not answer in time")
    } else if error.is_connect() {
        format!("{what} can't be connected to: {cause}")
    } else {
        format!("{what} broke off: {cause}")
    };
    OutboundError::Failed(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Answers each question with the next list.
    struct Scripted(Vec<Vec<&'static str>>, AtomicUsize);

    #[async_trait]
    impl Lookup for Scripted {
        async fn addresses(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            let at = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
            Ok(self.0[at].iter().map(|text| text.parse().expect("an address")).collect())
        }
    }

    fn outbound(answers: Vec<Vec<&'static str>>) -> Outbound {
        Outbound::new(
            OutboundPolicy::default(),
            Duration::from_secs(1),
            Arc::new(Scripted(answers, AtomicUsize::new(0))),
        )
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[tokio::test]
    async fn ob_02_a_name_is_judged_by_the_addresses_of_the_connection() {
        let rebinding = outbound(vec![vec!["192.0.2.1"], vec!["169.254.169.254"]]);
        assert_eq!(rebinding.vet_resolved("issuer_url", "https://idp.example/").await, Ok(()));
        let error = rebinding.get("", "the issuer", &url("https://idp.example/")).await.expect_err("refused");
        assert!(matches!(&error, OutboundError::Refused(text) if text.contains("link-local")), "{error:?}");
    }

    #[tokio::test]
    async fn ob_02_one_reserved_address_among_several_refuses_the_name() {
        let mixed = outbound(vec![vec!["192.0.2.1", "::1"]]);
        let refused = mixed.vet_resolved("issuer_url", "https://idp.example/").await.expect_err("refused");
        assert!(refused.to_string().starts_with("issuer_url: an address of idp.example is a loopback"), "{refused}");
        let error = mixed.get("", "the issuer", &url("https://idp.example/")).await.expect_err("refused");
        assert!(matches!(error, OutboundError::Refused(_)), "{error:?}");
    }

    #[tokio::test]
    async fn ob_01_ob_03_literal_addresses_other_schemes_and_credentials_are_refused_before_anybody_is_asked() {
        let outbound = outbound(vec![vec!["192.0.2.1"]]);
        for bad in [
            "http://idp.example/",
            "ftp://idp.example/",
            "file:///etc/passwd",
            "https://127.0.0.1/",
            "https://[::ffff:169.254.169.254]/",
            "https://localhost/",
            "https://user@idp.example/",
            "https://user:pw@idp.example/",
            "idp.example",
        ] {
            let refused = outbound.vet("token_endpoint", bad).expect_err(bad);
            assert!(matches!(refused, OutboundError::Refused(_)), "{bad}: {refused:?}");
        }
        assert!(outbound.vet("issuer_url", "https://idp.example/realms/pki").is_ok());
        let error = outbound.get("", "the key set", &url("https://127.0.0.1:1/")).await.expect_err("refused");
        assert!(matches!(error, OutboundError::Refused(_)), "{error:?}");
    }

    #[test]
    fn a_bundle_holds_certificates_or_is_refused() {
        for bad in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(bundle(bad), Err(OutboundError::Configuration(_))), "{bad}");
        }
    }

    #[test]
    fn the_age_that_a_document_may_reach_is_read() {
        assert_eq!(max_age("public, max-age=600, must-revalidate"), Some(Duration::from_mins(10)));
        assert_eq!(max_age("no-store"), None);
        assert_eq!(max_age("max-age=x"), None);
    }
}
