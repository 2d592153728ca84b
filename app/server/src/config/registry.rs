//! Every setting: its name, what it takes, its default, an example and what it is for. Parsing, `config check`,
//! `config show` and `config docs` come from this list.

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Secret,
    Path,
    Bool,
    Int { min: i64, max: i64 },
    Duration { min_seconds: u64 },
    List,
    Choice(&'static [&'static str]),
}

/// One setting; the name is without `CERTCTL_`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) example: &'static str,
    pub(crate) help: &'static str,
    /// Why the value, though checked, changes nothing in this build.
    pub(crate) no_effect: Option<&'static str>,
}

impl Setting {
    /// The default; the one that depends on the machine is worked out.
    pub(crate) fn default(&self) -> String {
        if self.name == "DATABASE_MAX_CONNS" {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            return (4 * cores).clamp(16, 50).to_string();
        }
        self.default.to_owned()
    }

    const fn without_effect(mut self, why: &'static str) -> Self {
        self.no_effect = Some(why);
        self
    }
}

const fn setting(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, kind, default, example, help, no_effect: None }
}

const ANY: i64 = i64::MAX;

/// The settings that this server reads.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Setting] = &[
    setting("SERVER_HOST", Kind::Text, "127.0.0.1", "0.0.0.0", "address to listen on"),
    setting("SERVER_PORT", Kind::Int { min: 1, max: 65535 }, "8443", "8443", "port of the HTTPS listener"),
    setting("SERVER_TLS_CERT_PATH", Kind::Path, "", "/etc/certctl/tls/server.crt", "PEM leaf and chain; empty with the key empty: a self-signed pair is made in the data directory"),
    setting("SERVER_TLS_KEY_PATH", Kind::Path, "", "/etc/certctl/tls/server.key", "PEM key, unencrypted, readable by its owner only"),
    setting("SERVER_EXTERNAL_URL", Kind::Text, "", "https://certctl.example.com", "origin under which people and agents reach this server; security keys of emergency accounts are tied to it, so https and a host name are needed for them"),
    setting("SERVER_TLS_SANS", Kind::List, "", "certctl.example.com,10.0.0.5", "extra names of the self-signed leaf"),
    setting("DATA_DIR", Kind::Path, "", "/var/lib/certctl", "private PostgreSQL, TLS material, lock; default /var/lib/certctl for root or when writable, else $XDG_DATA_HOME/certctl; relative paths of other settings lie in it; the database's socket is in its run folder, or, when that path is too long for one, in a folder of its own under $XDG_RUNTIME_DIR or /tmp"),
    setting("MAX_BODY_SIZE", Kind::Int { min: 1, max: ANY }, "1048576", "1048576", "bytes of a request body; 413 above"),
    setting("TRUSTED_PROXIES", Kind::List, "", "10.0.0.0/8", "networks whose X-Forwarded-For, X-Request-ID and traceparent are believed"),
    setting("CORS_ORIGINS", Kind::List, "", "https://console.example.com", "exact origins of web pages that may call with credentials; empty: this server's own pages only"),
    setting("SERVER_HSTS_MAX_AGE", Kind::Duration { min_seconds: 0 }, "365d", "365d", "how long browsers come back by TLS only (Strict-Transport-Security); 0 = not told"),
    setting("SERVER_HSTS_SUBDOMAINS", Kind::Bool, "true", "false", "whether that holds for names below this server's as well"),
    setting("STRICT_JSON", Kind::Bool, "false", "true", "refuse unknown JSON members"),
    setting("LENIENT_QUERY", Kind::Bool, "false", "true", "ignore unknown query parameters"),
    setting("STRICT_ENV", Kind::Bool, "false", "true", "make unknown CERTCTL_* names an error"),
    setting("DATABASE_URL", Kind::Secret, "", "postgres://certctl@db.example.com/certctl?sslmode=verify-full", "PostgreSQL to use; unset: a private one in the data directory"),
    setting("DATABASE_MAX_CONNS", Kind::Int { min: 2, max: 10_000 }, "", "50", "connections in all; default four a core, 16 to 50"),
    setting("DATABASE_CONNECT_TIMEOUT", Kind::Duration { min_seconds: 1 }, "10s", "10s", "how long opening a connection may take"),
    setting("DATABASE_ACQUIRE_TIMEOUT", Kind::Duration { min_seconds: 1 }, "5s", "5s", "how long a request waits for a connection"),
    setting("DATABASE_STATEMENT_TIMEOUT", Kind::Duration { min_seconds: 1 }, "30s", "30s", "how long one statement may run"),
    setting("DATABASE_ALLOW_PLAINTEXT", Kind::Bool, "false", "true", "allow sslmode=disable to a host that is not this machine"),
    setting("MIGRATIONS_VIA_HOOK", Kind::Bool, "false", "true", "do not migrate at start; refuse to start when the schema is old"),
    setting("SCHEDULER_RENEWAL_CHECK_INTERVAL", Kind::Duration { min_seconds: 60 }, "1h", "1h", "how often due renewals are looked for"),
    setting("SCHEDULER_JOB_PROCESSOR_INTERVAL", Kind::Duration { min_seconds: 1 }, "30s", "30s", "how often pending jobs are claimed and run").without_effect("agents fetch their jobs; the server runs none by itself in this build"),
    setting("SCHEDULER_JOB_CLAIM_LIMIT", Kind::Int { min: i64::MIN, max: ANY }, "1000", "1000", "jobs of one claim; 0 or less = 1000").without_effect("agents fetch their jobs; the server runs none by itself in this build"),
    setting("SCHEDULER_RETRY_INTERVAL", Kind::Duration { min_seconds: 1 }, "5m", "5m", "how often failed jobs are looked at for another try"),
    setting("SCHEDULER_AGENT_HEALTH_CHECK_INTERVAL", Kind::Duration { min_seconds: 1 }, "2m", "2m", "how often silent agents are marked offline"),
    setting("JOB_TIMEOUT_INTERVAL", Kind::Duration { min_seconds: 1 }, "10m", "10m", "how often stuck jobs are looked for"),
    setting("JOB_AWAITING_APPROVAL_TIMEOUT", Kind::Duration { min_seconds: 1 }, "168h", "48h", "how long an approval request waits for a decision, and an approval for its use; then the request expires and its job is cancelled"),
    setting("JOB_AWAITING_CSR_TIMEOUT", Kind::Duration { min_seconds: 1 }, "24h", "24h", "how long a job waits for its CSR"),
    setting("SHORT_LIVED_EXPIRY_CHECK_INTERVAL", Kind::Duration { min_seconds: 1 }, "30s", "30s", "how often short-lived certificates are looked at for their end").without_effect("this build has no loop for short-lived certificates"),
    setting("CRL_GENERATION_INTERVAL", Kind::Duration { min_seconds: 1 }, "1h", "1h", "how often CRLs are rebuilt"),
    setting("CRL_VALIDITY", Kind::Duration { min_seconds: 3600 }, "24h", "24h", "thisUpdate to nextUpdate of a CRL"),
    setting("OCSP_RESPONSE_VALIDITY", Kind::Duration { min_seconds: 3600 }, "12h", "12h", "thisUpdate to nextUpdate of an OCSP response"),
    setting("OCSP_RESPONDER_VALIDITY", Kind::Duration { min_seconds: 3600 }, "720h", "720h", "lifetime of a delegated responder's certificate"),
    setting("OCSP_RESPONDER_ROTATION_GRACE", Kind::Duration { min_seconds: 60 }, "168h", "168h", "a responder is replaced this long before its end"),
    setting("ISSUANCE_BACKDATE", Kind::Duration { min_seconds: 0 }, "60s", "60s", "how far notBefore lies in the past"),
    setting("PKI_BASE_URL", Kind::Text, "", "http://pki.example.com", "origin of the AIA and CRL URLs in certificates"),
    setting("PKI_HTTP_LISTEN", Kind::Text, "", "0.0.0.0:8080", "plain-HTTP listener for CRLs, OCSP and CA certificates only"),
    setting("PKCS11_MODULE", Kind::Path, "", "/usr/lib/softhsm/libsofthsm2.so", "shared library of the tokens that hold CA keys; issuers name such keys by pkcs11: references"),
    setting("PKCS11_PIN_FILE", Kind::Path, "", "/etc/certctl/pin", "file with the user PIN of those tokens, readable by the server alone"),
    setting("CA_CERT_PATH", Kind::Path, "", "/etc/certctl/ca.crt", "operator's CA for iss-local; with the key"),
    setting("CA_KEY_PATH", Kind::Path, "", "/etc/certctl/ca.key", "operator's CA key for iss-local; with the certificate"),
    setting("LOG_LEVEL", Kind::Text, "info", "info", "least level that is logged: debug, info, warn or error; with module=level after commas for single modules"),
    setting("LOG_FORMAT", Kind::Choice(&["json", "text"]), "json", "text", "form of log lines"),
    setting("AUTH_TYPE", Kind::Choice(&["api-key", "none", "oidc", "jwt"]), "api-key", "api-key", "who is let in: api-key, people through providers beside keys in any case; oidc, the same without keys of the environment being expected; none, everybody as administrator, for demos"),
    setting("SESSION_IDLE_TIMEOUT", Kind::Duration { min_seconds: 60 }, "1h", "1h", "a session that is not used for so long ends"),
    setting("SESSION_ABSOLUTE_TIMEOUT", Kind::Duration { min_seconds: 60 }, "8h", "8h", "no session lives longer; must exceed the idle time"),
    setting("SESSION_SIGNING_KEY_RETENTION", Kind::Duration { min_seconds: 60 }, "24h", "24h", "how long a retired signing key verifies cookies; not less than the longest session"),
    setting("SESSION_SIGNING_KEY_ROTATION", Kind::Duration { min_seconds: 3600 }, "720h", "168h", "how often a new key signs cookies"),
    setting("SESSION_GC_INTERVAL", Kind::Duration { min_seconds: 1 }, "1h", "1h", "how often what ended long ago is removed"),
    setting("SESSION_SAMESITE", Kind::Choice(&["Lax", "Strict"]), "Lax", "Strict", "SameSite of the session's cookies"),
    setting("SESSION_BIND_IP", Kind::Bool, "false", "true", "a session is good from the address it was made from only"),
    setting("SESSION_BIND_USER_AGENT", Kind::Bool, "false", "true", "a session is good for the browser it was made by only"),
    setting("SESSION_MAX_PER_USER", Kind::Int { min: 0, max: 10_000 }, "20", "5", "sessions a person may have at once; the oldest end; 0 = no limit"),
    setting("OIDC_PRELOGIN_REQUIRE_UA", Kind::Bool, "true", "false", "the browser that comes back from the provider must call itself as the one that began"),
    setting("OIDC_PRELOGIN_REQUIRE_IP", Kind::Bool, "true", "false", "it must come from the same address"),
    setting("OIDC_BCL_MAX_AGE_SECONDS", Kind::Int { min: 10, max: 300 }, "60", "120", "how old a back-channel logout token may be"),
    setting("OIDC_AUDIT_GROUP_NAMES", Kind::Bool, "true", "false", "name the groups of a sign-in that has no role in the audit trail; false: only their SHA-256"),
    setting("OIDC_GRAPH_URL", Kind::Text, "https://graph.microsoft.com", "https://graph.microsoft.us", "where Microsoft Graph is asked for the groups of people who are in too many for a token"),
    setting("OIDC_ALLOW_LOOPBACK", Kind::Bool, "false", "true", "let identity providers be on this machine itself; for laboratories and tests, never for a server that others reach"),
    setting("BLOCK_RFC1918_OUTBOUND", Kind::Bool, "false", "true", "refuse identity providers on private networks (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7)"),
    setting("BOOTSTRAP_ADMIN_GROUPS", Kind::List, "", "pki-admins", "groups of an identity provider whose first member to sign in becomes the first administrator"),
    setting("BOOTSTRAP_OIDC_PROVIDER_ID", Kind::Text, "", "op-01jq3v7m5n8x2c4b6d9f0g1h2k", "the one provider whose groups count for that; needed where there are several"),
    setting("USER_RETENTION_INTERVAL", Kind::Duration { min_seconds: 1 }, "24h", "24h", "how often the personal data of people who were shut out is looked for"),
    setting("USER_RETENTION_WINDOW", Kind::Duration { min_seconds: 0 }, "720h", "2160h", "how long it is kept after they were shut out"),
    setting("USER_RETENTION_BATCH_CAP", Kind::Int { min: 0, max: 100_000 }, "200", "1000", "people whose data goes in one run; 0 = all"),
    setting("AUTH_SECRET", Kind::Secret, "", "a-long-random-key", "keys of viewers, comma-separated; used only without named keys"),
    setting("API_KEYS_NAMED", Kind::Secret, "", "ci:0f1e2d3c4b5a6978,ops:8796a5b4c3d2e1f0:admin", "keys as name:key[:admin], comma-separated; a name may have two keys while clients change over"),
    setting("DEMO_MODE_ACK", Kind::Bool, "false", "true", "a person has read what the demo mode switches off"),
    setting("DEMO_MODE_ACK_TS", Kind::Text, "", "1767225600", "when, in Unix seconds; at most a day ago"),
    setting("DEMO_MODE_RESIDUAL_STRICT", Kind::Bool, "false", "true", "refuse to start while the demo principal holds roles and the demo mode is off"),
    setting("AGENT_BOOTSTRAP_TOKEN", Kind::Secret, "", "$(openssl rand -hex 32)", "with it agents enrol themselves"),
    setting("AGENT_BOOTSTRAP_TOKEN_DENY_EMPTY", Kind::Bool, "true", "false", "refuse to start without an enrolment token"),
    setting("BOOTSTRAP_TOKEN", Kind::Secret, "", "$(openssl rand -hex 32)", "one-shot token that makes the first administrator"),
    setting("BREAKGLASS_ENABLED", Kind::Bool, "false", "true", "mounts the emergency way in; without it its addresses don't exist. Sign-in is open for CERTCTL_BREAKGLASS_BOOT_ACTIVATION after a start, and when `certctl-server breakglass enable` opens it"),
    setting("BREAKGLASS_BOOT_ACTIVATION", Kind::Duration { min_seconds: 0 }, "4h", "0", "how long emergency sign-in is open after a start, unless it was closed by hand; 0 = only when opened by hand"),
    setting("BREAKGLASS_MAX_ACTIVATION", Kind::Duration { min_seconds: 60 }, "8h", "2h", "the longest that emergency sign-in can be opened for at once; at most 7d"),
    setting("BREAKGLASS_LOCKOUT_THRESHOLD", Kind::Int { min: 1, max: 100 }, "5", "5", "wrong emergency passwords that lock an account"),
    setting("BREAKGLASS_LOCKOUT_DURATION", Kind::Duration { min_seconds: 1 }, "15m", "15m", "how long the first lock lasts; each further failure doubles it, up to 16 times and at most a day"),
    setting("BREAKGLASS_LOCKOUT_RESET_INTERVAL", Kind::Duration { min_seconds: 1 }, "1h", "1h", "failures are forgotten after so long without another"),
    setting("CONFIG_ENCRYPTION_KEY", Kind::Secret, "", "$(openssl rand -hex 32)", "seals secrets in the database; `certctl-server keys init` makes one"),
    setting("CONFIG_ENCRYPTION_KEYS", Kind::Secret, "", "k2:new-key,k1:old-key", "keyring: the first writes, all read"),
    setting("KEYGEN_MODE", Kind::Choice(&["agent", "server"]), "agent", "agent", "where private keys are made; this build offers agent"),
    setting("RATE_LIMIT_ENABLED", Kind::Bool, "true", "false", "general limits"),
    setting("RATE_LIMIT_RPS", Kind::Int { min: 1, max: 1_000_000 }, "50", "50", "requests a second of one source"),
    setting("RATE_LIMIT_BURST", Kind::Int { min: 1, max: 1_000_000 }, "100", "100", "requests that one source may make at once"),
    setting("RATE_LIMIT_PER_USER_RPS", Kind::Int { min: 0, max: 1_000_000 }, "0", "100", "the same for a principal; 0 = as above"),
    setting("RATE_LIMIT_PER_USER_BURST", Kind::Int { min: 0, max: 1_000_000 }, "0", "200", "the same for a principal; 0 = as above"),
    setting("RATE_LIMIT_BUCKET_TTL", Kind::Duration { min_seconds: 60 }, "1h", "1h", "how long memory keeps an idle source, if its quota does not take longer"),
    setting("RATE_LIMIT_BACKEND", Kind::Choice(&["memory", "postgres"]), "memory", "postgres", "where limits count: memory, for one server; postgres, for several, on four more connections a replica"),
    setting("RATE_LIMIT_BUDGET", Kind::Duration { min_seconds: 0 }, "50ms", "50ms", "how long a request waits for its count in PostgreSQL; then each limiter does what it declares; 1ms to 10s"),
    setting("RATE_LIMIT_JANITOR_INTERVAL", Kind::Duration { min_seconds: 0 }, "5m", "5m", "how often counts at rest are swept from PostgreSQL; 0 = never, else at least 1m"),
    setting("APPROVAL_BYPASS", Kind::Bool, "false", "false", "approve everything without a second person; in the demo mode only"),
    setting("AUDIT_SIGNING_KEY_PATH", Kind::Path, "", "/etc/certctl/audit.key", "Ed25519 key (PKCS#8 PEM, 0600) that signs checkpoints of the audit log; empty: audit/checkpoint.key in the data directory, made at the first start; replicas of one database share one"),
    setting("AUDIT_TRUSTED_KEYS", Kind::List, "", "certctl-audit/0f1e2d3c4b5a69788796a5b4c3d2e1f0+57d48bfe+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f", "verifier keys of earlier signing keys of this log, whose checkpoints are still believed"),
    setting("AUDIT_CHECKPOINT_INTERVAL", Kind::Duration { min_seconds: 1 }, "5m", "5m", "a checkpoint at the latest after so long, when events were sealed"),
    setting("AUDIT_CHECKPOINT_ROWS", Kind::Int { min: 1, max: 10_000_000 }, "10000", "10000", "a checkpoint at the latest after so many events"),
    setting("AUDIT_CHECKPOINT_FILE", Kind::Path, "", "/mnt/worm/certctl-checkpoints", "file that every checkpoint is appended to; best on a machine that the database's administrators don't reach"),
    setting("AUDIT_CHAIN_VERIFY_INTERVAL", Kind::Duration { min_seconds: 60 }, "6h", "6h", "how often what was added to the audit log is verified, from the start on"),
    setting("AUDIT_FULL_VERIFY_INTERVAL", Kind::Duration { min_seconds: 3600 }, "168h", "24h", "how often the whole audit log is verified"),
    setting("AUDIT_RETENTION", Kind::Duration { min_seconds: 0 }, "0", "26280h", "months of the audit trail that ended so long ago are written to a file and dropped; 0 keeps all; their hashes stay, so that proofs hold"),
    setting("AUDIT_ARCHIVE_DIR", Kind::Path, "", "/mnt/archive/certctl", "folder of those files; empty: audit/archive in the data directory"),
    setting("AUDIT_LEGAL_HOLD", Kind::Bool, "false", "true", "drop nothing of the audit trail, whatever its age"),
    setting("ACCESS_LOG_RETENTION", Kind::Duration { min_seconds: 86_400 }, "2160h", "720h", "how long the request log is kept"),
    setting("ACCESS_LOG_SAMPLE_GET", Kind::Int { min: 1, max: 10_000 }, "1", "100", "of successful reads one in so many is kept in the request log; changes and refusals are kept all"),
    setting("OCSP_RATE_LIMIT_PER_IP_MIN", Kind::Int { min: 0, max: 10_000_000 }, "1000", "1000", "OCSP requests of one address in a minute; 0 = off"),
    setting("CERT_EXPORT_RATE_LIMIT_PER_ACTOR_HR", Kind::Int { min: 0, max: 1_000_000 }, "50", "50", "exports of one principal in an hour; 0 = off"),
    setting("SHUTDOWN_DRAIN_DELAY", Kind::Duration { min_seconds: 0 }, "5s", "5s", "how long /ready is red before the listener closes"),
    setting("SHUTDOWN_TIMEOUT", Kind::Duration { min_seconds: 1 }, "30s", "30s", "how long requests in flight may take at shutdown"),
];

/// The example of a setting.
#[cfg(test)]
pub(super) fn example(name: &str) -> &'static str {
    SETTINGS.iter().find(|setting| setting.name == name).map_or("", |setting| setting.example)
}
