//! The HTTP edge over the real stores, without a socket.

use crate::support::TestDatabase;
use actix_web::http::Method;
use actix_web::test::TestRequest;
use certctl_bootstrap::AdminGroups;
use certctl_http::{AppConfig, AppState, Bootstrap, HttpSettings, KeyAuthenticator, Oidc, OidcSettings};
use certctl_kernel::Secret;
use certctl_oidc::{BrowserBinding, OutboundPolicy};
use certctl_oidc_rp::{GRAPH, OidcClient, Settings, TIMEOUT};
use certctl_user::SubjectPepper;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The token that the edge's bootstrap takes.
pub const TOKEN: &str = "a-bootstrap-token-of-at-least-32-bytes";

/// The edge's settings in tests: no limits, strict bodies.
pub fn config(db: &TestDatabase) -> AppConfig {
    config_with(db, |state| state)
}

/// The same with more parts.
pub fn config_with(db: &TestDatabase, more: impl FnOnce(AppState) -> AppState) -> AppConfig {
    let settings = HttpSettings {
        max_body_size: 1024 * 1024,
        strict_json: true,
        lenient_query: false,
        cors_origins: Vec::new(),
        hsts: None,
        trusted_proxies: certctl_http::edge::TrustedProxies::default(),
        rate_limit: None,
        limit_idle: Duration::from_hours(1),
        exports_per_hour: 0,
        ocsp_per_minute: 0,
        approvals: certctl_approval::ApprovalSettings::default(),
        request_timeout: Duration::from_secs(20),
        auth_type: "api-key",
        version: "test",
        commit: "test",
        compiler: "test",
    };
    let database = Arc::new(db.postgres.clone());
    let authenticator = Arc::new(KeyAuthenticator::new(database.clone(), db.ambient.clone()));
    let bootstrap = Bootstrap::new(Some(Secret::new(TOKEN.to_owned())));
    let state = AppState::new(database, authenticator, db.ambient.clone(), settings).with_oidc(relying_party(db));
    AppConfig::new(more(state), bootstrap)
}

/// Signing in through providers as it is set up by default, but on this machine.
pub fn oidc_settings() -> OidcSettings {
    OidcSettings {
        binding: BrowserBinding { user_agent: true, source_ip: true },
        admin_groups: AdminGroups::default(),
        policy: OutboundPolicy::default(),
        logout_max_age: time::Duration::minutes(1),
        name_groups: true,
    }
}

/// The key that people are recognised by.
pub const PEPPER: [u8; 32] = [9; 32];

fn relying_party(db: &TestDatabase) -> Oidc {
    let settings = oidc_settings();
    let client = Settings { policy: settings.policy, graph_url: GRAPH.to_owned(), timeout: TIMEOUT };
    Oidc {
        party: Arc::new(OidcClient::new(client, db.ambient.clone())),
        settings,
        pepper: SubjectPepper::new(Secret::new(PEPPER)),
    }
}

/// The edge as a service: `edge!(db)`. A macro, because its type can't be named.
macro_rules! edge {
    ($db:expr) => {
        actix_web::test::init_service(certctl_http::application!(&crate::edge::config($db))).await
    };
}

/// Sends one request, with a key or without; gives status and body, `null` when that is empty.
macro_rules! send {
    ($edge:expr, $method:ident $path:expr, $key:expr) => {
        send!($edge, $method $path, $key, None)
    };
    ($edge:expr, $method:ident $path:expr, $key:expr, $body:expr) => {{
        let request = crate::edge::request(actix_web::http::Method::$method, $path, $key, $body);
        let response = actix_web::test::call_service(&$edge, request.to_request()).await;
        let status = response.status().as_u16();
        let text = actix_web::test::read_body(response).await;
        let body: serde_json::Value =
            if text.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&text).expect("JSON") };
        (status, body)
    }};
}

pub(crate) use {edge, send};

/// The request that `send!` sends.
pub fn request(method: Method, path: &str, key: Option<&str>, body: Option<Value>) -> TestRequest {
    let mut request = TestRequest::with_uri(path).method(method);
    if let Some(key) = key {
        request = request.insert_header(("Authorization", format!("Bearer {key}")));
    }
    match body {
        Some(body) => request.set_json(body),
        None => request,
    }
}
