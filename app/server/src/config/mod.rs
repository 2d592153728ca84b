//! The configuration: typed, checked as a whole, every problem reported at once.

mod advice;
mod check;
mod file;
mod known;
mod registry;
mod show;
mod source;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use check::check_files;
pub(crate) use show::{Format, docs, show};
pub(crate) use source::{Problem, Raw, collect};
pub(crate) use values::duration;

use certctl_audit_log::VerifierKey;
use certctl_bootstrap::AdminGroups;
use certctl_http::Hsts;
use certctl_http::OidcSettings;
use certctl_http::edge::TrustedProxies;
use certctl_kernel::IdKind;
use certctl_kernel::Secret;
use certctl_oidc::{BrowserBinding, OutboundPolicy};
use certctl_session::{SameSite, SessionSettings};
use certctl_user::Retention;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use values::Reader;

/// A key given by the environment.
pub(crate) struct NamedKey {
    pub(crate) name: String,
    pub(crate) key: Secret<String>,
    pub(crate) admin: bool,
}

/// The emergency way in.
pub(crate) struct BreakglassConfig {
    pub(crate) enabled: bool,
    pub(crate) boot_activation: Duration,
    pub(crate) max_activation: Duration,
    pub(crate) lockout_threshold: u32,
    pub(crate) lockout_duration: Duration,
    pub(crate) lockout_reset: Duration,
}

/// The server's configuration.
pub(crate) struct Config {
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) tls_pair: Option<(PathBuf, PathBuf)>,
    pub(crate) tls_sans: Vec<String>,
    pub(crate) external_url: Option<String>,
    pub(crate) data_dir: PathBuf,
    pub(crate) max_body_size: usize,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) hsts: Option<Hsts>,
    pub(crate) strict_json: bool,
    pub(crate) lenient_query: bool,
    pub(crate) database_url: Option<Secret<String>>,
    pub(crate) database_max_conns: usize,
    pub(crate) database_connect_timeout: Duration,
    pub(crate) database_acquire_timeout: Duration,
    pub(crate) database_statement_timeout: Duration,
    pub(crate) database_allow_plaintext: bool,
    pub(crate) migrations_via_hook: bool,
    pub(crate) log_level: String,
    pub(crate) log_json: bool,
    pub(crate) demo: bool,
    pub(crate) auth_type: &'static str,
    pub(crate) auth_none: bool,
    pub(crate) sessions: SessionSettings,
    pub(crate) session_key_retention: Duration,
    pub(crate) session_key_rotation: Duration,
    pub(crate) session_gc_interval: Duration,
    pub(crate) oidc: OidcSettings,
    pub(crate) oidc_graph_url: String,
    pub(crate) user_retention_interval: Duration,
    pub(crate) user_retention: Retention,
    pub(crate) demo_residual_strict: bool,
    pub(crate) named_keys: Vec<NamedKey>,
    pub(crate) bootstrap_token: Option<Secret<String>>,
    pub(crate) agent_bootstrap_token: Option<Secret<String>>,
    pub(crate) encryption_keys: Vec<(String, Secret<String>)>,
    pub(crate) breakglass: BreakglassConfig,
    pub(crate) rate_limit: Option<(u32, u32, u32, u32)>,
    pub(crate) rate_limit_bucket_ttl: Duration,
    pub(crate) rate_limit_shared: bool,
    pub(crate) rate_limit_budget: Duration,
    pub(crate) rate_limit_janitor_interval: Duration,
    pub(crate) ocsp_per_minute: u32,
    pub(crate) exports_per_hour: u32,
    pub(crate) pki_http_listen: Option<SocketAddr>,
    pub(crate) pki_base_url: Option<String>,
    /// Shared library of the tokens that hold CA keys.
    pub(crate) pkcs11_module: Option<PathBuf>,
    /// File with their user PIN.
    pub(crate) pkcs11_pin_file: Option<PathBuf>,
    pub(crate) ca_pair: Option<(PathBuf, PathBuf)>,
    pub(crate) crl_validity: Duration,
    pub(crate) ocsp_response_validity: Duration,
    pub(crate) ocsp_responder_validity: Duration,
    pub(crate) ocsp_responder_grace: Duration,
    pub(crate) issuance_backdate: Duration,
    pub(crate) renewal_check_interval: Duration,
    #[expect(dead_code, reason = "the registry says that it has no effect yet; both notes go when it is read")]
    pub(crate) job_processor_interval: Duration,
    #[expect(dead_code, reason = "the registry says that it has no effect yet; both notes go when it is read")]
    pub(crate) job_claim_limit: u32,
    #[expect(dead_code, reason = "the registry says that it has no effect yet; both notes go when it is read")]
    pub(crate) short_lived_interval: Duration,
    pub(crate) retry_interval: Duration,
    pub(crate) agent_health_interval: Duration,
    pub(crate) job_timeout_interval: Duration,
    pub(crate) awaiting_csr_timeout: Duration,
    pub(crate) awaiting_approval_timeout: Duration,
    pub(crate) approval_bypass: bool,
    pub(crate) crl_interval: Duration,
    pub(crate) audit_signing_key: Option<PathBuf>,
    pub(crate) audit_trusted_keys: Vec<VerifierKey>,
    pub(crate) audit_checkpoint_interval: Duration,
    pub(crate) audit_checkpoint_rows: u64,
    pub(crate) audit_checkpoint_file: Option<PathBuf>,
    pub(crate) audit_verify_interval: Duration,
    pub(crate) audit_full_verify_interval: Duration,
    pub(crate) audit_retention: Duration,
    pub(crate) audit_archive_dir: Option<PathBuf>,
    pub(crate) audit_legal_hold: bool,
    pub(crate) access_log_retention: Duration,
    pub(crate) access_log_sample_get: u32,
    pub(crate) drain_delay: Duration,
    pub(crate) shutdown_timeout: Duration,
}

const MIN_SECRET: usize = 32;
const PLACEHOLDER_KEY: &str = "change-me-32-char-encryption-key";

impl Config {
    /// Types and checks the raw values. `unix_now` judges the age of a demo acknowledgement, `data_dir_default` is used
    /// when none is set.
    pub(crate) fn from_raw(raw: &Raw, unix_now: i64, data_dir_default: PathBuf) -> Result<Self, Vec<Problem>> {
        let mut r = Reader::new(raw, data_dir_default);
        let demo = demo_acknowledged(&mut r, unix_now);
        let host = listen_host(&mut r);
        let auth_type = auth_type(&mut r, host, demo);
        let (sessions, session_key_retention) = sessions(&mut r);
        let named_keys = named_keys(&mut r, demo);
        let bootstrap_token = r.secret("BOOTSTRAP_TOKEN");
        if bootstrap_token.as_ref().is_some_and(|token| token.expose().len() < MIN_SECRET) {
            r.problem("BOOTSTRAP_TOKEN", "must have at least 32 characters; make one with `openssl rand -hex 32`");
        }
        let agent_bootstrap_token = r.secret("AGENT_BOOTSTRAP_TOKEN");
        if agent_bootstrap_token.is_none() && r.flag("AGENT_BOOTSTRAP_TOKEN_DENY_EMPTY") && !demo {
            r.problem(
                "AGENT_BOOTSTRAP_TOKEN",
                "is empty: set one, or CERTCTL_AGENT_BOOTSTRAP_TOKEN_DENY_EMPTY=false to let only operators enrol agents",
            );
        }
        let encryption_keys = encryption_keys(&mut r, demo);
        let tls_pair = pair(&mut r, "SERVER_TLS_CERT_PATH", "SERVER_TLS_KEY_PATH");
        let ca_pair = pair(&mut r, "CA_CERT_PATH", "CA_KEY_PATH");
        if r.choice("KEYGEN_MODE") == "server" {
            r.problem("KEYGEN_MODE", "this build makes private keys on agents only; use agent");
        }
        let cors_origins = r.origins("CORS_ORIGINS");
        if cors_origins.iter().any(|origin| origin == "*") && !demo {
            r.problem("CORS_ORIGINS", "`*` lets every site call the API; list the origins");
        }
        let approval_bypass = r.flag("APPROVAL_BYPASS");
        if approval_bypass && !demo {
            r.problem(
                "APPROVAL_BYPASS",
                "takes the second person away; it works in the demo mode only (CERTCTL_DEMO_MODE_ACK)",
            );
        }
        let rate_limit = rate_limit(&mut r);
        let config = Self {
            host,
            port: r.number("SERVER_PORT"),
            tls_pair,
            tls_sans: tls_sans(&mut r),
            external_url: r.origin("SERVER_EXTERNAL_URL"),
            data_dir: r.data_dir(),
            max_body_size: r.number("MAX_BODY_SIZE"),
            trusted_proxies: r.networks("TRUSTED_PROXIES"),
            cors_origins,
            hsts: hsts(&mut r),
            strict_json: r.flag("STRICT_JSON"),
            lenient_query: r.flag("LENIENT_QUERY"),
            database_url: database_url(&mut r),
            database_max_conns: r.number("DATABASE_MAX_CONNS"),
            database_connect_timeout: r.duration("DATABASE_CONNECT_TIMEOUT"),
            database_acquire_timeout: r.duration("DATABASE_ACQUIRE_TIMEOUT"),
            database_statement_timeout: r.duration("DATABASE_STATEMENT_TIMEOUT"),
            database_allow_plaintext: r.flag("DATABASE_ALLOW_PLAINTEXT"),
            migrations_via_hook: r.flag("MIGRATIONS_VIA_HOOK"),
            log_level: log_level(&mut r),
            log_json: r.choice("LOG_FORMAT") == "json",
            demo,
            auth_type,
            auth_none: auth_type == "none",
            sessions,
            session_key_retention,
            session_key_rotation: r.duration("SESSION_SIGNING_KEY_ROTATION"),
            session_gc_interval: r.duration("SESSION_GC_INTERVAL"),
            oidc: oidc(&mut r),
            oidc_graph_url: graph_url(&mut r),
            user_retention_interval: r.duration("USER_RETENTION_INTERVAL"),
            user_retention: user_retention(&mut r),
            demo_residual_strict: r.flag("DEMO_MODE_RESIDUAL_STRICT"),
            named_keys,
            bootstrap_token,
            agent_bootstrap_token,
            encryption_keys,
            breakglass: breakglass(&mut r),
            rate_limit,
            rate_limit_bucket_ttl: r.duration("RATE_LIMIT_BUCKET_TTL"),
            rate_limit_shared: r.choice("RATE_LIMIT_BACKEND") == "postgres",
            rate_limit_budget: rate_limit_budget(&mut r),
            rate_limit_janitor_interval: janitor_interval(&mut r),
            ocsp_per_minute: r.number("OCSP_RATE_LIMIT_PER_IP_MIN"),
            exports_per_hour: r.number("CERT_EXPORT_RATE_LIMIT_PER_ACTOR_HR"),
            pki_http_listen: r.address("PKI_HTTP_LISTEN"),
            pki_base_url: r.origin("PKI_BASE_URL"),
            pkcs11_module: r.path("PKCS11_MODULE"),
            pkcs11_pin_file: r.path("PKCS11_PIN_FILE"),
            ca_pair,
            crl_validity: r.duration("CRL_VALIDITY"),
            ocsp_response_validity: r.duration("OCSP_RESPONSE_VALIDITY"),
            ocsp_responder_validity: r.duration("OCSP_RESPONDER_VALIDITY"),
            ocsp_responder_grace: r.duration("OCSP_RESPONDER_ROTATION_GRACE"),
            issuance_backdate: r.duration("ISSUANCE_BACKDATE"),
            renewal_check_interval: r.duration("SCHEDULER_RENEWAL_CHECK_INTERVAL"),
            job_processor_interval: r.duration("SCHEDULER_JOB_PROCESSOR_INTERVAL"),
            job_claim_limit: job_claim_limit(&mut r),
            short_lived_interval: r.duration("SHORT_LIVED_EXPIRY_CHECK_INTERVAL"),
            retry_interval: r.duration("SCHEDULER_RETRY_INTERVAL"),
            agent_health_interval: r.duration("SCHEDULER_AGENT_HEALTH_CHECK_INTERVAL"),
            job_timeout_interval: r.duration("JOB_TIMEOUT_INTERVAL"),
            awaiting_csr_timeout: r.duration("JOB_AWAITING_CSR_TIMEOUT"),
            awaiting_approval_timeout: r.duration("JOB_AWAITING_APPROVAL_TIMEOUT"),
            approval_bypass,
            crl_interval: r.duration("CRL_GENERATION_INTERVAL"),
            audit_signing_key: r.path("AUDIT_SIGNING_KEY_PATH"),
            audit_trusted_keys: trusted_keys(&mut r),
            audit_checkpoint_interval: r.duration("AUDIT_CHECKPOINT_INTERVAL"),
            audit_checkpoint_rows: r.number("AUDIT_CHECKPOINT_ROWS"),
            audit_checkpoint_file: r.path("AUDIT_CHECKPOINT_FILE"),
            audit_verify_interval: r.duration("AUDIT_CHAIN_VERIFY_INTERVAL"),
            audit_full_verify_interval: r.duration("AUDIT_FULL_VERIFY_INTERVAL"),
            audit_retention: r.duration("AUDIT_RETENTION"),
            audit_archive_dir: r.path("AUDIT_ARCHIVE_DIR"),
            audit_legal_hold: r.flag("AUDIT_LEGAL_HOLD"),
            access_log_retention: r.duration("ACCESS_LOG_RETENTION"),
            access_log_sample_get: r.number("ACCESS_LOG_SAMPLE_GET"),
            drain_delay: r.duration("SHUTDOWN_DRAIN_DELAY"),
            shutdown_timeout: r.duration("SHUTDOWN_TIMEOUT"),
        };
        without_effect(&mut r);
        r.finish(config)
    }
}

fn demo_acknowledged(r: &mut Reader<'_>, unix_now: i64) -> bool {
    if !r.flag("DEMO_MODE_ACK") {
        return false;
    }
    let stamp = r.text("DEMO_MODE_ACK_TS");
    match stamp.parse::<i64>() {
        Ok(at) if at > unix_now + 60 => r.problem("DEMO_MODE_ACK_TS", "lies in the future; use `date +%s`"),
        Ok(at) if unix_now.saturating_sub(at) > 86_400 => {
            r.problem("DEMO_MODE_ACK_TS", "is older than a day; a person must acknowledge the demo mode each day");
        }
        Ok(_) => {}
        Err(_) => r.problem("DEMO_MODE_ACK_TS", "must be Unix seconds when CERTCTL_DEMO_MODE_ACK is set"),
    }
    true
}

fn listen_host(r: &mut Reader<'_>) -> IpAddr {
    let text = r.text("SERVER_HOST");
    let text = if text == "localhost" { "127.0.0.1".to_owned() } else { text };
    text.parse().unwrap_or_else(|_| {
        r.problem("SERVER_HOST", "must be an IP address or localhost");
        IpAddr::from([127, 0, 0, 1])
    })
}

fn auth_type(r: &mut Reader<'_>, host: IpAddr, demo: bool) -> &'static str {
    match r.choice("AUTH_TYPE").as_str() {
        "none" => {
            if !host.is_loopback() && !demo {
                r.problem(
                    "AUTH_TYPE",
                    "none on an address that others reach makes everybody an administrator; use api-key",
                );
            }
            "none"
        }
        "jwt" => {
            r.problem("AUTH_TYPE", "jwt is gone: use oidc, or none behind a gateway that authenticates");
            "api-key"
        }
        "oidc" => "oidc",
        _ => "api-key",
    }
}

/// How long the personal data of people who were shut out is kept.
fn user_retention(r: &mut Reader<'_>) -> Retention {
    let window = r.duration("USER_RETENTION_WINDOW");
    Retention {
        window: time::Duration::try_from(window).unwrap_or(time::Duration::MAX),
        batch_cap: r.number("USER_RETENTION_BATCH_CAP"),
    }
}

/// How sessions live, and how long a retired signing key verifies.
fn sessions(r: &mut Reader<'_>) -> (SessionSettings, Duration) {
    let (idle, absolute) = (r.duration("SESSION_IDLE_TIMEOUT"), r.duration("SESSION_ABSOLUTE_TIMEOUT"));
    let retention = r.duration("SESSION_SIGNING_KEY_RETENTION");
    if idle >= absolute {
        r.problem("SESSION_ABSOLUTE_TIMEOUT", "must exceed CERTCTL_SESSION_IDLE_TIMEOUT");
    }
    if retention < absolute {
        let reason = "is less than CERTCTL_SESSION_ABSOLUTE_TIMEOUT: sessions would end early when keys rotate";
        r.problem("SESSION_SIGNING_KEY_RETENTION", reason);
    }
    let whole = |duration| time::Duration::try_from(duration).unwrap_or(time::Duration::MAX);
    let settings = SessionSettings {
        idle: whole(idle),
        absolute: whole(absolute),
        bind_ip: r.flag("SESSION_BIND_IP"),
        bind_user_agent: r.flag("SESSION_BIND_USER_AGENT"),
        max_per_user: r.number("SESSION_MAX_PER_USER"),
        same_site: if r.choice("SESSION_SAMESITE") == "Strict" { SameSite::Strict } else { SameSite::Lax },
    };
    (settings, retention)
}

/// How people sign in through identity providers.
fn oidc(r: &mut Reader<'_>) -> OidcSettings {
    let provider_id = r.text("BOOTSTRAP_OIDC_PROVIDER_ID");
    if !provider_id.is_empty() && IdKind::check_supplied(&provider_id).is_err() {
        r.problem("BOOTSTRAP_OIDC_PROVIDER_ID", "must be the id of an identity provider");
    }
    OidcSettings {
        binding: BrowserBinding {
            user_agent: r.flag("OIDC_PRELOGIN_REQUIRE_UA"),
            source_ip: r.flag("OIDC_PRELOGIN_REQUIRE_IP"),
        },
        admin_groups: AdminGroups {
            groups: r.list("BOOTSTRAP_ADMIN_GROUPS"),
            provider_id: (!provider_id.is_empty()).then_some(provider_id),
        },
        policy: OutboundPolicy {
            block_private: r.flag("BLOCK_RFC1918_OUTBOUND"),
            allow_loopback: r.flag("OIDC_ALLOW_LOOPBACK"),
        },
        logout_max_age: time::Duration::seconds(r.number("OIDC_BCL_MAX_AGE_SECONDS")),
        name_groups: r.flag("OIDC_AUDIT_GROUP_NAMES"),
    }
}

fn graph_url(r: &mut Reader<'_>) -> String {
    r.origin("OIDC_GRAPH_URL").unwrap_or_default()
}

fn named_keys(r: &mut Reader<'_>, demo: bool) -> Vec<NamedKey> {
    let mut keys: Vec<NamedKey> = Vec::new();
    let secret = r.secret("AUTH_SECRET");
    if !demo && secret.as_ref().is_some_and(|secret| secret.expose() == "change-me-in-production") {
        r.problem("AUTH_SECRET", "is the published placeholder; replace it");
    }
    let Some(named) = r.secret("API_KEYS_NAMED") else {
        let parts = secret.as_ref().map(|secret| values::split(secret.expose())).unwrap_or_default();
        return parts
            .into_iter()
            .enumerate()
            .map(|(index, key)| NamedKey { name: format!("legacy-key-{index}"), key: Secret::new(key), admin: false })
            .collect();
    };
    for (index, entry) in values::split(named.expose()).iter().enumerate() {
        let place = index + 1;
        let fields: Vec<&str> = entry.split(':').collect();
        let admin = match fields.as_slice() {
            [_, _] => false,
            [_, _, "admin"] => true,
            _ => {
                r.problem("API_KEYS_NAMED", &format!("entry {place} must be name:key or name:key:admin"));
                continue;
            }
        };
        let (name, key) = (fields[0], fields[1]);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
            r.problem("API_KEYS_NAMED", &format!("the name of entry {place} must match [A-Za-z0-9_-]+"));
        }
        if key.len() < 16 {
            r.problem("API_KEYS_NAMED", &format!("the key of entry {place} must have at least 16 characters"));
        }
        if keys.iter().any(|other| other.name == name && other.admin != admin) {
            r.problem("API_KEYS_NAMED", &format!("entry {place}: two keys of {name} differ in admin"));
        }
        if keys.iter().any(|other| other.name == name && other.key.matches(key.as_bytes())) {
            r.problem("API_KEYS_NAMED", &format!("entry {place} repeats a key of {name}"));
        }
        keys.push(NamedKey { name: name.to_owned(), key: Secret::new(key.to_owned()), admin });
    }
    keys
}

fn encryption_keys(r: &mut Reader<'_>, demo: bool) -> Vec<(String, Secret<String>)> {
    let mut keys = Vec::new();
    if let Some(ring) = r.secret("CONFIG_ENCRYPTION_KEYS") {
        for (index, entry) in values::split(ring.expose()).iter().enumerate() {
            match entry.split_once(':') {
                Some((kid, _)) if keys.iter().any(|(other, _): &(String, _)| other == kid) => {
                    r.problem("CONFIG_ENCRYPTION_KEYS", &format!("entry {} repeats the kid of another", index + 1));
                }
                Some((_, PLACEHOLDER_KEY)) if !demo => {
                    let reason = format!("entry {} is the published placeholder; replace it", index + 1);
                    r.problem("CONFIG_ENCRYPTION_KEYS", &reason);
                }
                Some((kid, key)) if (1..=4).contains(&kid.len()) && key.len() >= MIN_SECRET => {
                    keys.push((kid.to_owned(), Secret::new(key.to_owned())));
                }
                _ => r.problem(
                    "CONFIG_ENCRYPTION_KEYS",
                    &format!("entry {} must be kid:key, kid of 1 to 4 characters, key of at least 32", index + 1),
                ),
            }
        }
    }
    if let Some(key) = r.secret("CONFIG_ENCRYPTION_KEY") {
        if key.expose().len() < MIN_SECRET {
            r.problem(
                "CONFIG_ENCRYPTION_KEY",
                "must have at least 32 characters; `certctl-server keys init` makes one",
            );
        } else if key.expose() == PLACEHOLDER_KEY && !demo {
            r.problem("CONFIG_ENCRYPTION_KEY", "is the published placeholder; replace it");
        }
        keys.push((String::new(), key));
    }
    let given = ["CONFIG_ENCRYPTION_KEY", "CONFIG_ENCRYPTION_KEYS"].iter().any(|name| r.secret(name).is_some());
    if !given {
        r.problem(
            "CONFIG_ENCRYPTION_KEY",
            "is needed to seal CA keys and secrets in the database; `certctl-server keys init` makes one",
        );
    }
    keys
}

fn pair(r: &mut Reader<'_>, cert: &'static str, key: &'static str) -> Option<(PathBuf, PathBuf)> {
    match (r.path(cert), r.path(key)) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            r.problem(key, &format!("must be set together with CERTCTL_{cert}"));
            None
        }
        (None, Some(_)) => {
            r.problem(cert, &format!("must be set together with CERTCTL_{key}"));
            None
        }
    }
}

fn rate_limit(r: &mut Reader<'_>) -> Option<(u32, u32, u32, u32)> {
    let (rps, burst): (u32, u32) = (r.number("RATE_LIMIT_RPS"), r.number("RATE_LIMIT_BURST"));
    let (user_rps, user_burst): (u32, u32) =
        (r.number("RATE_LIMIT_PER_USER_RPS"), r.number("RATE_LIMIT_PER_USER_BURST"));
    let or = |own: u32, general: u32| if own == 0 { general } else { own };
    r.flag("RATE_LIMIT_ENABLED").then(|| (rps, burst, or(user_rps, rps), or(user_burst, burst)))
}

fn breakglass(r: &mut Reader<'_>) -> BreakglassConfig {
    let config = BreakglassConfig {
        enabled: r.flag("BREAKGLASS_ENABLED"),
        boot_activation: r.duration("BREAKGLASS_BOOT_ACTIVATION"),
        max_activation: r.duration("BREAKGLASS_MAX_ACTIVATION"),
        lockout_threshold: r.number("BREAKGLASS_LOCKOUT_THRESHOLD"),
        lockout_duration: r.duration("BREAKGLASS_LOCKOUT_DURATION"),
        lockout_reset: r.duration("BREAKGLASS_LOCKOUT_RESET_INTERVAL"),
    };
    if config.boot_activation > config.max_activation {
        r.problem("BREAKGLASS_BOOT_ACTIVATION", "must not be longer than CERTCTL_BREAKGLASS_MAX_ACTIVATION");
    }
    if config.max_activation > Duration::from_hours(7 * 24) {
        r.problem("BREAKGLASS_MAX_ACTIVATION", "must be at most 7d: what stays open is no emergency");
    }
    config
}

fn janitor_interval(r: &mut Reader<'_>) -> Duration {
    let interval = r.duration("RATE_LIMIT_JANITOR_INTERVAL");
    if !interval.is_zero() && interval < Duration::from_mins(1) {
        r.problem("RATE_LIMIT_JANITOR_INTERVAL", "must be 0 or at least 1m");
    }
    interval
}

fn rate_limit_budget(r: &mut Reader<'_>) -> Duration {
    let budget = r.duration("RATE_LIMIT_BUDGET");
    if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&budget) {
        r.problem("RATE_LIMIT_BUDGET", "must be from 1ms to 10s");
    }
    budget
}

fn hsts(r: &mut Reader<'_>) -> Option<Hsts> {
    let (max_age, include_subdomains) = (r.duration("SERVER_HSTS_MAX_AGE"), r.flag("SERVER_HSTS_SUBDOMAINS"));
    (!max_age.is_zero()).then_some(Hsts { max_age, include_subdomains })
}

/// One level, and perhaps levels of single modules: `info,certctl_http=debug`.
fn log_level(r: &mut Reader<'_>) -> String {
    let text = r.text("LOG_LEVEL");
    let level = |text: &str| matches!(text, "debug" | "info" | "warn" | "error");
    let module = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b));
    let sound = |(index, item): (usize, &str)| match item.split_once('=') {
        None => index == 0 && level(item),
        Some((name, of)) => index > 0 && module(name) && level(of),
    };
    if !text.split(',').enumerate().all(sound) {
        r.problem("LOG_LEVEL", "must be one of debug, info, warn, error, with module=level after commas if need be");
    }
    text
}

fn tls_sans(r: &mut Reader<'_>) -> Vec<String> {
    let names = r.list("SERVER_TLS_SANS");
    for name in &names {
        if let Err(error) = certctl_x509::San::parse(name) {
            r.problem("SERVER_TLS_SANS", &format!("{name}: {}", error.message));
        }
    }
    names
}

/// Only what shows without a connection; the value holds a password and is never repeated.
fn database_url(r: &mut Reader<'_>) -> Option<Secret<String>> {
    let url = r.secret("DATABASE_URL")?;
    match url::Url::parse(url.expose()) {
        Ok(parsed) if matches!(parsed.scheme(), "postgres" | "postgresql") => {}
        Ok(_) => r.problem("DATABASE_URL", "must begin with postgres:// or postgresql://"),
        Err(error) => r.problem("DATABASE_URL", &format!("is not a URL: {error}")),
    }
    Some(url)
}

fn trusted_keys(r: &mut Reader<'_>) -> Vec<VerifierKey> {
    let mut keys = Vec::new();
    for text in r.list("AUDIT_TRUSTED_KEYS") {
        match VerifierKey::parse(&text) {
            Ok(key) => keys.push(key),
            Err(error) => r.problem("AUDIT_TRUSTED_KEYS", &format!("{text}: {error}")),
        }
    }
    keys
}

fn job_claim_limit(r: &mut Reader<'_>) -> u32 {
    let limit: i64 = r.number("SCHEDULER_JOB_CLAIM_LIMIT");
    if limit <= 0 { 1000 } else { u32::try_from(limit).unwrap_or(u32::MAX) }
}

/// What has no field of its own is still held to its rules.
fn without_effect(r: &mut Reader<'_>) {
    r.flag("STRICT_ENV");
}
