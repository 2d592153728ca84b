//! Names that this server knows and does not read: of other binaries, of features that are not in this build, of what
//! became needless, and slips that older texts taught.

/// Why a known name is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Accepted with a warning that tells why it has no effect.
    AcceptedAndWarned(&'static str),
    /// Read by another of our programs; ignored in silence.
    OtherBinary(&'static str),
    /// A slip: warned about with the right name.
    Slip(&'static str),
}

const AGENT: Standing = Standing::OtherBinary("certctl-agent");
const CLIENT: Standing = Standing::OtherBinary("certctl-agent, certctl");
const CLI: Standing = Standing::OtherBinary("certctl");
const DEMO: Standing = Standing::OtherBinary("scripts/demo");
const ABSENT: Standing = Standing::AcceptedAndWarned("its feature is not in this build");

/// Names with a standing of their own.
const NAMES: &[(&str, Standing)] = &[
    ("SERVER_URL", CLIENT),
    ("API_KEY", CLIENT),
    ("SERVER_CA_BUNDLE_PATH", CLIENT),
    ("SERVER_TLS_INSECURE_SKIP_VERIFY", CLIENT),
    ("AGENT_ID", AGENT),
    ("AGENT_NAME", AGENT),
    ("AGENT_HEARTBEAT_INTERVAL", AGENT),
    ("AGENT_POLL_INTERVAL", AGENT),
    ("AGENT_COMMAND_ALLOW", AGENT),
    ("AGENT_CONFIG_FILE", AGENT),
    ("KEY_DIR", AGENT),
    ("DISCOVERY_DIRS", AGENT),
    ("DISCOVERY_INTERVAL", AGENT),
    ("CLI_PROFILE", CLI),
    ("MCP_MODE", CLI),
    ("MCP_TOOLS", CLI),
    ("DEMO_PORT", DEMO),
    ("DEMO_NGINX_PORT", DEMO),
    ("DEMO_PKI_PORT", DEMO),
    ("DEMO_DIR", DEMO),
    ("VERIFY_DEPLOYMENT", Standing::AcceptedAndWarned("the agent reads it, not the server")),
    ("VERIFY_TIMEOUT", Standing::AcceptedAndWarned("the agent reads it, not the server")),
    ("VERIFY_DELAY", Standing::AcceptedAndWarned("the agent reads it, not the server")),
    ("DEPLOY_BACKUP_RETENTION", Standing::AcceptedAndWarned("the agent reads it, not the server")),
    ("DATABASE_MIGRATIONS_PATH", Standing::AcceptedAndWarned("the migrations are part of the binary")),
    ("AUDIT_FLUSH_TIMEOUT_SECONDS", Standing::AcceptedAndWarned("CERTCTL_SHUTDOWN_TIMEOUT took its place")),
    ("K8SSECRET_PREVIEW_ACK", Standing::AcceptedAndWarned("nothing is a preview that needs it")),
    ("HEALTH_CHECK_DEFAULT_INTERVAL", Standing::AcceptedAndWarned("nothing ever read it")),
    ("DB_URL", Standing::Slip("DATABASE_URL")),
    ("TLS_CERT_PATH", Standing::Slip("SERVER_TLS_CERT_PATH")),
    ("HEARTBEAT_INTERVAL", Standing::Slip("AGENT_HEARTBEAT_INTERVAL")),
    ("STEPCA_ROOT_CERT_PATH", Standing::Slip("STEPCA_ROOT_CERT")),
    ("ISSUERS_ENABLED", Standing::AcceptedAndWarned("an issuer is enabled by its own settings")),
];

/// Names of features that are not in this build.
const ABSENT_NAMES: &str = "
    ACME_ARI_ENABLED ACME_CHALLENGE_TYPE ACME_DIRECTORY_URL ACME_DNS_CLEANUP_SCRIPT ACME_DNS_PERSIST_ISSUER_DOMAIN
    ACME_DNS_PRESENT_SCRIPT ACME_EAB_HMAC ACME_EAB_KID ACME_EMAIL ACME_INSECURE ACME_INSECURE_ACK ACME_PROFILE
    ACME_SERVER_ARI_ENABLED ACME_SERVER_ARI_POLL_INTERVAL ACME_SERVER_AUTHZ_TTL ACME_SERVER_CAA_IDENTITIES
    ACME_SERVER_DEFAULT_AUTH_MODE ACME_SERVER_DEFAULT_PROFILE_ID ACME_SERVER_DNS01_CONCURRENCY
    ACME_SERVER_DNS01_RESOLVER ACME_SERVER_EAB_REQUIRED ACME_SERVER_ENABLED ACME_SERVER_GC_INTERVAL
    ACME_SERVER_HTTP01_CONCURRENCY ACME_SERVER_NONCE_TTL ACME_SERVER_ORDER_TTL
    ACME_SERVER_RATE_LIMIT_CHALLENGE_RESPONDS_PER_HOUR ACME_SERVER_RATE_LIMIT_CONCURRENT_ORDERS
    ACME_SERVER_RATE_LIMIT_KEY_CHANGE_PER_HOUR ACME_SERVER_RATE_LIMIT_ORDERS_PER_HOUR
    ACME_SERVER_TLSALPN01_CONCURRENCY ACME_SERVER_TOS_URL ACME_SERVER_WEBSITE ASYNC_POLL_MAX_WAIT_SECONDS
    AWS_PCA_CA_ARN AWS_PCA_REGION AWS_PCA_SIGNING_ALGORITHM AWS_PCA_TEMPLATE_ARN
    AWS_PCA_VALIDITY_DAYS AWS_SM_DISCOVERY_ENABLED AWS_SM_NAME_PREFIX AWS_SM_REGION AWS_SM_TAG_FILTER
    AZURE_KV_CLIENT_ID AZURE_KV_CLIENT_SECRET AZURE_KV_DISCOVERY_ENABLED AZURE_KV_TENANT_ID AZURE_KV_VAULT_URL
    CA_KEY_DIR
    CLOUD_DISCOVERY_ENABLED CLOUD_DISCOVERY_INTERVAL DEMO_SEED DIGEST_ENABLED DIGEST_INTERVAL
    DIGEST_RECIPIENTS DIGICERT_API_KEY DIGICERT_BASE_URL DIGICERT_ORG_ID DIGICERT_POLL_MAX_WAIT_SECONDS
    DIGICERT_PRODUCT_TYPE EJBCA_API_URL EJBCA_AUTH_MODE EJBCA_CA_NAME EJBCA_CERT_PROFILE EJBCA_CLIENT_CERT_PATH
    EJBCA_CLIENT_KEY_PATH EJBCA_EE_PROFILE EJBCA_TOKEN ENROLL_LISTEN ENTRUST_API_URL ENTRUST_CA_ID
    ENTRUST_CLIENT_CERT_PATH ENTRUST_CLIENT_KEY_PATH ENTRUST_POLL_MAX_WAIT_SECONDS ENTRUST_PROFILE_ID EST_ENABLED
    EST_ISSUER_ID EST_PROFILES EST_PROFILE_ID GCP_SM_CREDENTIALS GCP_SM_DISCOVERY_ENABLED GCP_SM_PROJECT
    GLOBALSIGN_API_KEY GLOBALSIGN_API_SECRET GLOBALSIGN_API_URL GLOBALSIGN_CLIENT_CERT_PATH GLOBALSIGN_CLIENT_KEY_PATH
    GLOBALSIGN_POLL_MAX_WAIT_SECONDS GLOBALSIGN_SERVER_CA_PATH GOOGLE_CAS_CA_POOL GOOGLE_CAS_CREDENTIALS
    GOOGLE_CAS_LOCATION GOOGLE_CAS_PROJECT GOOGLE_CAS_TTL HEALTH_CHECK_AUTO_CREATE HEALTH_CHECK_DEFAULT_TIMEOUT
    HEALTH_CHECK_ENABLED HEALTH_CHECK_HISTORY_RETENTION HEALTH_CHECK_INTERVAL HEALTH_CHECK_MAX_CONCURRENT
    K8S_DEPLOY_KUBELET_SYNC_TIMEOUT MAINTENANCE METRICS_LISTEN METRICS_TOKEN
    NETWORK_SCAN_ENABLED NETWORK_SCAN_INTERVAL NOTIFICATION_RETRY_INTERVAL OCSP_CACHE_REFRESH_INTERVAL
    OCSP_RESPONDER_KEY_DIR 
    OPENSSL_CRL_SCRIPT OPENSSL_REVOKE_SCRIPT OPENSSL_SIGN_SCRIPT OPENSSL_TIMEOUT_SECONDS OPSGENIE_API_KEY
    OPSGENIE_PRIORITY OTEL_ENABLED PAGERDUTY_ROUTING_KEY PAGERDUTY_SEVERITY RENEWAL_CONCURRENCY
    SCEP_CHALLENGE_PASSWORD SCEP_ENABLED SCEP_ISSUER_ID SCEP_PROFILES SCEP_PROFILE_ID SCEP_RA_CERT_PATH
    SCEP_RA_KEY_PATH SCHEDULER_NOTIFICATION_PROCESS_INTERVAL SECRET_REF_ALLOW SECTIGO_BASE_URL SECTIGO_CERT_TYPE
    SECTIGO_CUSTOMER_URI SECTIGO_LOGIN SECTIGO_ORG_ID SECTIGO_PASSWORD SECTIGO_POLL_MAX_WAIT_SECONDS SECTIGO_TERM
    SLACK_CHANNEL SLACK_USERNAME SLACK_WEBHOOK_URL SMTP_FROM_ADDRESS
    SMTP_HOST SMTP_PASSWORD SMTP_PORT SMTP_USERNAME SMTP_USE_TLS STEPCA_KEY_PATH STEPCA_PASSWORD STEPCA_PROVISIONER
    STEPCA_ROOT_CERT STEPCA_URL TEAMS_WEBHOOK_URL TRUSTED_PROXY_CIDRS TRUST_CLIENT_CERT_HEADER UI_COLOR UI_ENABLED
    UI_LABEL VAULT_ADDR VAULT_MOUNT VAULT_ROLE
    VAULT_TOKEN VAULT_TTL WEBHOOK_SECRET WEBHOOK_URL ZEROSSL_EAB_URL";

/// Beginnings of names that come in families.
const FAMILIES: &[(&str, Standing)] = &[
    ("EST_PROFILE_", ABSENT),
    ("SCEP_PROFILE_", ABSENT),
    ("TEST_", Standing::OtherBinary("the tests")),
    ("QA_", Standing::OtherBinary("the tests")),
    ("E2E_", Standing::OtherBinary("the tests")),
];

/// The standing of a name that is not in the registry of settings; `None` when nobody knows it.
pub(super) fn standing(name: &str) -> Option<Standing> {
    let own = NAMES.iter().find(|(known, _)| *known == name).map(|(_, standing)| *standing);
    let absent = || ABSENT_NAMES.split_whitespace().any(|known| known == name).then_some(ABSENT);
    let family = || FAMILIES.iter().find(|(start, _)| name.starts_with(start)).map(|(_, standing)| *standing);
    own.or_else(absent).or_else(family)
}

/// Every single name with its standing, sorted.
pub(super) fn all() -> Vec<(&'static str, Standing)> {
    let absent = ABSENT_NAMES.split_whitespace().map(|name| (name, ABSENT));
    let mut names: Vec<_> = NAMES.iter().copied().chain(absent).collect();
    names.sort_by_key(|(name, _)| *name);
    names
}
