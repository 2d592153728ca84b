//! Who may ask how often. Each limiter has a name, a quota, and a declared way out when its count can't be reached.

mod memory;
mod tally;

pub(crate) use memory::MemoryLimits;
use tally::Tally;

use super::ApiError;
use super::pipeline::record_alone;
use crate::state::{AppState, HttpSettings};
use actix_web::dev::Extensions;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use certctl_audit::{Action, AuditEvent};
use certctl_kernel::RequestContext;
use certctl_ports::{Bucket, Quota, RateLimits, Verdict};
use serde_json::json;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Failed sign-ins and enrolments of one address in a minute.
const FAILURES_PER_MINUTE: u32 = 10;
/// Attempts at the bootstrap of one address in a minute.
const BOOTSTRAPS_PER_MINUTE: u32 = 5;

/// Attempts at emergency accounts of one address in a minute.
const BREAKGLASS_PER_MINUTE: u32 = 5;
/// Attempts at one emergency account in a minute, from wherever.
const BREAKGLASS_ACTOR_PER_MINUTE: u32 = 10;
/// Attempts at all emergency accounts in a minute.
const BREAKGLASS_ALL_PER_MINUTE: u32 = 60;
/// Sign-ins through providers that one address may begin, and end, in a minute.
const SIGN_INS_PER_MINUTE: u32 = 60;
/// Logout tokens of one address in a minute.
const LOGOUTS_PER_MINUTE: u32 = 120;
/// Logout tokens of one issuer in a minute.
const LOGOUTS_OF_ISSUER_PER_MINUTE: u32 = 600;

/// What happens when the count can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WithoutCount {
    /// The request goes on: it needs the database itself, or refusing it would do more harm.
    Pass,
    /// The request is refused: it would let guesses or private keys through uncounted.
    Refuse,
}

/// One limiter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limiter {
    name: &'static str,
    quota: Quota,
    without: WithoutCount,
}

/// Every limiter of the edge.
pub(crate) struct Limits {
    store: Arc<dyn RateLimits>,
    /// Refusals and denials of the last minute.
    tally: Tally,
    /// All requests of an address, before anything else is looked at.
    pub(crate) address: Option<Limiter>,
    /// All requests of a principal.
    pub(crate) principal: Option<Limiter>,
    /// Failed sign-ins of an address; always on.
    pub(crate) sign_in: Limiter,
    /// Attempts of an address to become the first administrator; always on.
    pub(crate) bootstrap: Limiter,
    /// Attempts of an address at emergency accounts; always on.
    pub(crate) breakglass: Limiter,
    /// Attempts at one emergency account; always on.
    pub(crate) breakglass_actor: Limiter,
    /// Attempts at all of them; always on.
    pub(crate) breakglass_all: Limiter,
    /// Failed enrolments of an address; always on.
    pub(crate) enrolment: Limiter,
    /// Sign-ins that an address begins; always on.
    pub(crate) oidc_login: Limiter,
    /// Sign-ins that an address ends; always on.
    pub(crate) oidc_callback: Limiter,
    /// Logout tokens of an address; always on.
    pub(crate) oidc_logout: Limiter,
    /// Logout tokens of an issuer; always on.
    pub(crate) oidc_logout_issuer: Limiter,
    /// Exports of a principal.
    pub(crate) export: Option<Limiter>,
    /// OCSP requests of an address.
    pub(crate) ocsp: Option<Limiter>,
}

/// A request that goes no further.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// Over the limit.
    Over(Verdict),
    /// The count can't be reached, and the limiter does not pass without one.
    NoCount,
}

impl Limits {
    pub(crate) fn new(settings: &HttpSettings, store: Arc<dyn RateLimits>) -> Self {
        use WithoutCount::{Pass, Refuse};
        let limiter = |name, quota, without| Limiter { name, quota, without };
        let general = settings.rate_limit;
        let some = |units: u32| (units > 0).then_some(units);
        Self {
            store,
            tally: Tally::default(),
            address: general.map(|l| limiter("address", Quota::per_second(l.per_address, l.address_burst), Pass)),
            principal: general
                .map(|l| limiter("principal", Quota::per_second(l.per_principal, l.principal_burst), Pass)),
            sign_in: limiter("sign_in", Quota::per_minute(FAILURES_PER_MINUTE), Refuse),
            bootstrap: limiter("bootstrap", Quota::per_minute(BOOTSTRAPS_PER_MINUTE), Refuse),
            breakglass: limiter("breakglass", Quota::per_minute(BREAKGLASS_PER_MINUTE), Refuse),
            breakglass_actor: limiter("breakglass_actor", Quota::per_minute(BREAKGLASS_ACTOR_PER_MINUTE), Refuse),
            breakglass_all: limiter("breakglass_all", Quota::per_minute(BREAKGLASS_ALL_PER_MINUTE), Refuse),
            enrolment: limiter("enrolment", Quota::per_minute(FAILURES_PER_MINUTE), Refuse),
            oidc_login: limiter("oidc_login", Quota::per_minute(SIGN_INS_PER_MINUTE), Pass),
            oidc_callback: limiter("oidc_callback", Quota::per_minute(SIGN_INS_PER_MINUTE), Pass),
            oidc_logout: limiter("oidc_logout", Quota::per_minute(LOGOUTS_PER_MINUTE), Pass),
            oidc_logout_issuer: limiter("oidc_logout_issuer", Quota::per_minute(LOGOUTS_OF_ISSUER_PER_MINUTE), Pass),
            export: some(settings.exports_per_hour).map(|n| limiter("export", Quota::per_hour(n), Refuse)),
            ocsp: some(settings.ocsp_per_minute).map(|n| limiter("ocsp", Quota::per_minute(n), Pass)),
        }
    }

    /// Counts somewhere else from now on.
    pub(crate) fn count_in(&mut self, store: Arc<dyn RateLimits>) {
        self.store = store;
    }

    /// Where limits count.
    pub(crate) fn store(&self) -> &dyn RateLimits {
        self.store.as_ref()
    }

    async fn ask(&self, limiter: &Limiter, key: &str, taking: bool) -> Result<Option<Verdict>, Refusal> {
        let bucket = Bucket { limiter: limiter.name, key };
        let answer = if taking {
            self.store.take(bucket, limiter.quota).await
        } else {
            self.store.peek(bucket, limiter.quota).await
        };
        match (answer, limiter.without) {
            (Ok(verdict), _) if verdict.allowed => Ok(Some(verdict)),
            (Ok(verdict), _) => Err(Refusal::Over(verdict)),
            (Err(error), WithoutCount::Pass) => {
                tracing::warn!(limiter = limiter.name, %error, "a rate limit can't be counted; requests pass uncounted");
                Ok(None)
            }
            (Err(error), WithoutCount::Refuse) => {
                tracing::error!(limiter = limiter.name, %error, "a rate limit can't be counted; requests are refused");
                Err(Refusal::NoCount)
            }
        }
    }
}

impl AppState {
    /// Takes one unit of `limiter` for `key`. A refusal is told to the audit trail, floods of them in one event a
    /// minute. `None` when the limiter let the request pass uncounted.
    pub(crate) async fn take(
        &self,
        limiter: &Limiter,
        key: &str,
        context: &RequestContext,
    ) -> Result<Option<Verdict>, Refusal> {
        let outcome = self.limits.ask(limiter, key, true).await;
        self.tell(limiter, key, context, &outcome).await;
        outcome
    }

    /// Whether `limiter` has a unit for `key`; takes none.
    pub(crate) async fn peek(&self, limiter: &Limiter, key: &str, context: &RequestContext) -> Result<(), Refusal> {
        let outcome = self.limits.ask(limiter, key, false).await;
        self.tell(limiter, key, context, &outcome).await;
        outcome.map(|_| ())
    }

    async fn tell(
        &self,
        limiter: &Limiter,
        key: &str,
        context: &RequestContext,
        outcome: &Result<Option<Verdict>, Refusal>,
    ) {
        if outcome.is_err() {
            crate::metrics::rate_limited(limiter.name);
        }
        if matches!(outcome, Err(Refusal::Over(_))) {
            let event = || AuditEvent::new(Action::RateLimited, context, limiter.name, json!({"source": key}));
            self.tell_of("limited", Some(&format!("{} {key}", limiter.name)), event).await;
        }
    }

    /// Records a refusal that belongs to no change, unless that would only add to a flood: see [`Tally::now`].
    pub(crate) async fn tell_of(&self, kind: &'static str, source: Option<&str>, event: impl FnOnce() -> AuditEvent) {
        if let Some(event) = self.limits.tally.now(kind, source, event) {
            record_alone(self, event).await;
        }
    }

    /// Records what was refused since the last call beyond the first refusals; call it once a minute.
    pub async fn report_refusals(&self) {
        for event in self.limits.tally.drain() {
            record_alone(self, event).await;
        }
    }

    /// Forgets counts that are at rest; returns how many.
    pub async fn sweep_limits(&self) -> Result<u64, certctl_kernel::StoreError> {
        self.limits.store().sweep().await
    }
}

/// Whole seconds, so that whoever waits as long is not told to wait again.
pub(crate) fn seconds(duration: Duration) -> u32 {
    let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX)
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Over(verdict) => Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Rate limit exceeded")
                .retry_after(seconds(verdict.retry_after))
                .quota(verdict),
            Refusal::NoCount => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "rate_limit_unavailable",
                "attempts can't be counted at the moment, so none is made",
            )
            .retry_after(1),
        }
    }
}

/// Tells the client where it stands; seconds until the quota is whole again.
pub(crate) fn quota_headers(verdict: Verdict) -> [(HeaderName, HeaderValue); 3] {
    [
        ("ratelimit-limit", verdict.limit),
        ("ratelimit-remaining", verdict.remaining),
        ("ratelimit-reset", seconds(verdict.reset_after)),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(value)))
}

/// Keeps the verdict that leaves the least room, for the headers of the answer.
pub(crate) fn keep_tightest(extensions: &mut Extensions, verdict: Option<Verdict>) {
    let Some(verdict) = verdict else { return };
    let share = |v: &Verdict| f64::from(v.remaining) / f64::from(v.limit.max(1));
    if extensions.get::<Verdict>().is_none_or(|known| share(&verdict) < share(known)) {
        extensions.insert(verdict);
    }
}

/// Whose requests count together: an IPv4 address, or the /64 that a site gives to one host or household.
pub(crate) fn address_key(address: Option<&str>) -> String {
    let Some(address) = address else { return "unknown".to_owned() };
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(v6)) => {
            let mut octets = v6.octets();
            octets[8..].fill(0);
            format!("{}/64", Ipv6Addr::from(octets))
        }
        Ok(IpAddr::V4(v4)) => v4.to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::RateLimitSettings;
    use async_trait::async_trait;
    use certctl_kernel::StoreError;

    /// A database that does not answer.
    struct Gone;

    #[async_trait]
    impl RateLimits for Gone {
        async fn take(&self, _: Bucket<'_>, _: Quota) -> Result<Verdict, StoreError> {
            Err(StoreError::Timeout)
        }
        async fn peek(&self, _: Bucket<'_>, _: Quota) -> Result<Verdict, StoreError> {
            Err(StoreError::Unavailable)
        }
        async fn sweep(&self) -> Result<u64, StoreError> {
            Err(StoreError::Unavailable)
        }
    }

    fn settings() -> HttpSettings {
        HttpSettings {
            max_body_size: 1,
            strict_json: true,
            lenient_query: false,
            cors_origins: Vec::new(),
            hsts: None,
            trusted_proxies: crate::edge::TrustedProxies::default(),
            rate_limit: Some(RateLimitSettings {
                per_address: 1,
                address_burst: 1,
                per_principal: 1,
                principal_burst: 1,
            }),
            limit_idle: Duration::from_mins(1),
            exports_per_hour: 1,
            ocsp_per_minute: 1,
            approvals: certctl_approval::ApprovalSettings::default(),
            request_timeout: Duration::from_secs(1),
            auth_type: "api-key",
            version: "test",
            commit: "test",
            compiler: "test",
        }
    }

    #[tokio::test]
    async fn without_its_count_each_limiter_does_what_it_declares() {
        let limits = Limits::new(&settings(), Arc::new(Gone));
        for limiter in [&limits.address, &limits.principal, &limits.ocsp] {
            let limiter = limiter.as_ref().expect("switched on");
            for taking in [true, false] {
                let outcome = limits.ask(limiter, "x", taking).await;
                assert!(matches!(outcome, Ok(None)), "{} passes: {outcome:?}", limiter.name);
            }
        }
        for limiter in [&limits.sign_in, &limits.bootstrap, &limits.enrolment, limits.export.as_ref().expect("on")] {
            for taking in [true, false] {
                let outcome = limits.ask(limiter, "x", taking).await;
                assert!(matches!(outcome, Err(Refusal::NoCount)), "{} refuses: {outcome:?}", limiter.name);
            }
        }
        let refused = ApiError::from(Refusal::NoCount);
        assert_eq!((refused.status, refused.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(1)));
    }

    #[test]
    fn the_general_limits_can_be_switched_off_and_the_guards_of_credentials_can_not() {
        let limits = Limits::new(
            &HttpSettings { rate_limit: None, exports_per_hour: 0, ocsp_per_minute: 0, ..settings() },
            Arc::new(Gone),
        );
        let off = [&limits.address, &limits.principal, &limits.export, &limits.ocsp];
        assert!(off.iter().all(|limiter| limiter.is_none()));
        assert_eq!(limits.sign_in.quota, Quota::per_minute(10));
        assert_eq!(limits.bootstrap.quota, Quota::per_minute(5));
    }

    #[test]
    fn one_ipv6_prefix_is_one_client() {
        assert_eq!(address_key(Some("2001:db8::1")), "2001:db8::/64");
        assert_eq!(address_key(Some("2001:db8::1")), address_key(Some("2001:db8::2")));
        assert_ne!(address_key(Some("2001:db8:0:1::1")), address_key(Some("2001:db8::1")));
        assert_eq!(address_key(Some("192.0.2.1")), "192.0.2.1");
        assert_eq!(address_key(Some("::ffff:192.0.2.1")), "192.0.2.1");
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(20)), 20);
        assert_eq!(seconds(Duration::from_millis(20_001)), 21);
    }
}
