//! Long-lived parts that handlers share.

use crate::auth::Breakglass;
use crate::edge::access::{AccessCache, Authenticator};
use crate::edge::limits::{Limits, MemoryLimits};
use crate::edge::{AccessLog, ApiError, PermissionUsage, Sessions, TrustedProxies};
use crate::metrics::MetricsState;
use crate::pki::StatusService;
use certctl_agents::EnrolmentToken;
use certctl_approval::ApprovalSettings;
use certctl_audit_log::SealedLog;
use certctl_port_issuer::IssuerRegistry;
use certctl_port_target::TargetCatalogue;
use certctl_ports::{Ambient, KeyGenerator, RateLimits, Sealer};
use certctl_revocation::{ResponderKeys, StatusSettings};
use certctl_unit_of_work::Database;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Limits of requests a second; both stages use the same figures unless set apart.
#[derive(Debug, Clone, Copy)]
pub struct RateLimitSettings {
    /// Sustained requests a second for one address, before authentication.
    pub per_address: u32,
    /// Requests one address may make at once.
    pub address_burst: u32,
    /// Sustained requests a second for one principal, after authentication.
    pub per_principal: u32,
    /// Requests one principal may make at once.
    pub principal_burst: u32,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// How long browsers remember, in whole seconds.
    pub max_age: Duration,
    /// Whether it holds for names below as well.
    pub include_subdomains: bool,
}

/// What the edge needs of the configuration.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Bytes of a request body.
    pub max_body_size: usize,
    /// Whether unknown JSON members are refused.
    pub strict_json: bool,
    /// Whether unknown query parameters are ignored.
    pub lenient_query: bool,
    /// Origins that browsers may call from.
    pub cors_origins: Vec<String>,
    /// Tells browsers to come by TLS only; `None` when they are not told.
    pub hsts: Option<Hsts>,
    /// Whose `X-Forwarded-For`, `X-Request-ID` and `traceparent` are believed.
    pub trusted_proxies: TrustedProxies,
    /// General limits; `None` when switched off.
    pub rate_limit: Option<RateLimitSettings>,
    /// How long the memory of this process keeps an idle source.
    pub limit_idle: Duration,
    /// Exports a principal may make in an hour; 0 means no limit.
    pub exports_per_hour: u32,
    /// OCSP requests an address may make in a minute; 0 means no limit.
    pub ocsp_per_minute: u32,
    /// How approvals work.
    pub approvals: ApprovalSettings,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// `api-key`, `oidc` or `none`, for sign-in pages.
    pub auth_type: &'static str,
    /// Version shown to clients.
    pub version: &'static str,
    /// Commit the binary was built from.
    pub commit: &'static str,
    /// Compiler the binary was built with.
    pub compiler: &'static str,
}

/// The ports behind the operations on certificates, issuers, agents and targets.
pub struct Backends {
    /// Seals secrets at rest.
    pub sealer: Arc<dyn Sealer>,
    /// Makes and loads signing keys.
    pub keys: Arc<dyn KeyGenerator>,
    /// Finds issuers and CAs.
    pub issuers: Arc<dyn IssuerRegistry>,
    /// Knows target types and their configuration.
    pub targets: Arc<dyn TargetCatalogue>,
    /// How CRLs and OCSP answers are made.
    pub status: StatusSettings,
    /// With it hosts enrol without an operator's key.
    pub enrolment: EnrolmentToken,
}

/// Everything a handler may reach.
pub struct AppState {
    /// The ports behind the larger operations; a server always has them, tests of the edge alone don't.
    pub backends: Option<Backends>,
    /// Where units of work come from.
    pub db: Arc<dyn Database>,
    /// Time and randomness.
    pub ambient: Ambient,
    /// The edge's settings.
    pub settings: HttpSettings,
    /// Who a credential belongs to.
    pub access: AccessCache,
    /// Settings that bear on who gets in, as administrators may read them.
    pub(crate) runtime_config: BTreeMap<&'static str, String>,
    /// What callers used of their rights, yet to be written down.
    pub usage: PermissionUsage,
    /// False while starting and draining: `/ready` is red.
    pub accepting: AtomicBool,
    /// Who may ask how often.
    pub(crate) limits: Limits,
    /// What monitoring reads.
    pub(crate) metrics: MetricsState,
    /// Serves CRLs, OCSP answers and CA certificates; comes with the backends.
    status: Option<Arc<StatusService>>,
    /// The sealed log under the audit trail; a server always has it, tests of the edge alone don't.
    log: Option<Arc<SealedLog>>,
    /// What signing in by sessions needs; a server always has it, tests of the edge alone don't.
    pub sessions: Option<Sessions>,
    /// What the emergency way in needs; absent where it is switched off.
    pub breakglass: Option<Breakglass>,
    /// What signing in through providers needs; a server always has it, tests of the edge alone don't.
    pub oidc: Option<crate::Oidc>,
    /// The request log, where one is kept.
    pub(crate) access_log: Option<AccessLog>,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(
        db: Arc<dyn Database>,
        authenticator: Arc<dyn Authenticator>,
        ambient: Ambient,
        settings: HttpSettings,
    ) -> Self {
        let memory = Arc::new(MemoryLimits::new(ambient.clone(), settings.limit_idle));
        Self {
            backends: None,
            access: AccessCache::new(authenticator, ambient.clone(), settings.auth_type == "none"),
            limits: Limits::new(&settings, memory),
            metrics: MetricsState::new(ambient.now()),
            status: None,
            log: None,
            sessions: None,
            breakglass: None,
            oidc: None,
            runtime_config: BTreeMap::new(),
            usage: PermissionUsage::default(),
            access_log: None,
            accepting: AtomicBool::new(false),
            db,
            ambient,
            settings,
        }
    }

    /// Counts limits there instead of in this process's memory.
    #[must_use]
    pub fn counting_in(mut self, store: Arc<dyn RateLimits>) -> Self {
        self.limits.count_in(store);
        self
    }

    /// Adds the ports behind the larger operations.
    #[must_use]
    pub fn with(mut self, backends: Backends) -> Self {
        let keys = ResponderKeys { keys: Arc::clone(&backends.keys), sealer: Arc::clone(&backends.sealer) };
        self.status = Some(Arc::new(StatusService::new(
            Arc::clone(&self.db),
            Arc::clone(&backends.issuers),
            keys,
            self.ambient.clone(),
            backends.status,
        )));
        self.backends = Some(backends);
        self
    }

    /// Adds the sealed log.
    #[must_use]
    pub fn with_log(mut self, log: Arc<SealedLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Switches the emergency way in on.
    #[must_use]
    pub fn with_breakglass(mut self, breakglass: Breakglass) -> Self {
        self.breakglass = Some(breakglass);
        self
    }

    /// Lets people sign in with sessions.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Sessions) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Lets people sign in through providers.
    #[must_use]
    pub fn with_oidc(mut self, oidc: crate::Oidc) -> Self {
        self.oidc = Some(oidc);
        self
    }

    /// What signing in through providers needs.
    pub(crate) fn oidc(&self) -> Result<&crate::Oidc, ApiError> {
        self.oidc.as_ref().ok_or_else(|| ApiError::internal("the application has no relying party"))
    }

    /// What signing in by sessions needs.
    pub(crate) fn sessions(&self) -> Result<&Sessions, ApiError> {
        self.sessions.as_ref().ok_or_else(|| ApiError::internal("the application has no sessions"))
    }

    /// Keeps a request log.
    #[must_use]
    pub fn with_access_log(mut self, log: AccessLog) -> Self {
        self.access_log = Some(log);
        self
    }

    /// The sealed log.
    pub(crate) fn log(&self) -> Result<&Arc<SealedLog>, ApiError> {
        self.log.as_ref().ok_or_else(|| ApiError::internal("the application has no audit log"))
    }

    /// Adds the settings that administrators may read.
    #[must_use]
    pub fn showing(mut self, runtime_config: BTreeMap<&'static str, String>) -> Self {
        self.runtime_config = runtime_config;
        self
    }

    /// What serves CRLs, OCSP answers and CA certificates.
    pub fn status(&self) -> Result<&Arc<StatusService>, ApiError> {
        self.status.as_ref().ok_or_else(|| ApiError::internal("the application has no backends"))
    }

    /// The ports behind the larger operations.
    pub(crate) fn backends(&self) -> Result<&Backends, ApiError> {
        self.backends.as_ref().ok_or_else(|| ApiError::internal("the application has no backends"))
    }
}
