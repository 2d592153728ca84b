//! A server with a hostile provider, and browsers that sign in: the real edge over the real stores.

use crate::edge::{PEPPER, config_with, oidc_settings, request};
use crate::hostile::{CLIENT, CLIENT_SECRET, CODE, Hostile};
use crate::oidc::with_catalogue;
use crate::secrets::{OLD, ring};
use crate::support::TestDatabase;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::test::TestRequest;
use certctl_http::edge::Sessions;
use certctl_http::{Backends, Oidc, OidcSettings};
use certctl_kernel::{RequestContext, Secret};
use certctl_oidc::{AtHashPolicy, GroupMapping, GroupsClaimFormat, GroupsOverage, OutboundPolicy, Provider};
use certctl_oidc_rp::{OidcClient, Settings};
use certctl_ports::Sealer;
use certctl_rbac::Scope;
use certctl_secrets::SealedColumn;
use certctl_session::{SameSite, SessionKeys, SessionSettings, ensure_signing_key};
use certctl_user::SubjectPepper;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The browser of these tests.
pub const BROWSER: &str = "Browser/1.0";
/// Where it is.
pub const ADDRESS: &str = "192.0.2.7";
pub const PENDING: &str = "__Host-certctl_oidc_pending";
pub const SESSION: &str = "__Host-certctl_session";

type Answering = Pin<Box<dyn Future<Output = ServiceResponse<BoxBody>>>>;

/// One server.
pub struct Replica {
    send: Box<dyn Fn(TestRequest) -> Answering>,
}

/// A database, a provider and a server.
pub struct Lab {
    pub db: TestDatabase,
    pub idp: Hostile,
    pub here: Replica,
    sealer: Arc<dyn Sealer>,
    settings: OidcSettings,
    sessions: SessionSettings,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Outcome {
    pub status: u16,
    pub location: String,
    /// Name to value and attributes, as set.
    pub cookies: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Outcome {
    /// The category that the sign-in page is told.
    pub fn reason(&self) -> &str {
        self.location.strip_prefix("/login?error=oidc_failed&reason=").unwrap_or(self.location.as_str())
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(|line| line.split(';').next().unwrap_or_default()).filter(|v| !v.is_empty())
    }

    pub fn signed_in(&self) -> bool {
        self.cookie(SESSION).is_some()
    }

    fn parameter(&self, name: &str) -> String {
        let url = url::Url::parse(&self.location).expect("a URL");
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

/// A sign-in that was begun.
#[derive(Debug, Clone)]
pub struct Started {
    pub state: String,
    pub nonce: String,
    pub challenge: String,
    pub cookie: String,
    pub url: String,
}

/// A browser that comes back.
#[derive(Debug, Clone)]
pub struct Back<'a> {
    pub cookie: Option<String>,
    pub user_agent: Option<&'a str>,
    pub address: Option<&'a str>,
    pub query: Vec<(&'a str, String)>,
}

pub fn settings() -> OidcSettings {
    OidcSettings { policy: OutboundPolicy { block_private: false, allow_loopback: true }, ..oidc_settings() }
}

impl Lab {
    /// A provider that maps `eng` to the operators.
    pub async fn new() -> Self {
        Self::with(settings(), SameSite::Lax).await
    }

    pub async fn with(settings: OidcSettings, same_site: SameSite) -> Self {
        let db = with_catalogue().await;
        let idp = Hostile::start(&db.clock);
        let sealer: Arc<dyn Sealer> = Arc::new(ring(&[("k1", OLD)]));
        let sessions = SessionSettings {
            idle: time::Duration::hours(1),
            absolute: time::Duration::hours(8),
            bind_ip: false,
            bind_user_agent: false,
            max_per_user: 20,
            same_site,
        };
        let here = replica(&db, &idp, &sealer, &settings, sessions).await;
        let lab = Self { db, idp, here, sealer, settings, sessions };
        lab.provider("op-1", &json!({})).await;
        lab.map("op-1", "eng", "r-operator").await;
        lab
    }

    /// Another server over the same database.
    pub async fn replica(&self) -> Replica {
        replica(&self.db, &self.idp, &self.sealer, &self.settings, self.sessions).await
    }

    /// Stores a provider; `changes` are members of the ones that tests change.
    pub async fn provider(&self, id: &str, changes: &Value) {
        let cell = SealedColumn::OIDC_CLIENT_SECRET.cell(id);
        let text = |name: &str, default: &str| changes[name].as_str().unwrap_or(default).to_owned();
        let texts = |name: &str, default: &[&str]| -> Vec<String> {
            changes[name].as_array().map_or_else(
                || default.iter().map(|text| (*text).to_owned()).collect(),
                |items| items.iter().map(|item| item.as_str().expect("text").to_owned()).collect(),
            )
        };
        let flag = |name: &str, default: bool| changes[name].as_bool().unwrap_or(default);
        let now = self.db.ambient.now();
        let provider = Provider {
            id: id.to_owned(),
            tenant_id: "t-default".to_owned(),
            name: text("name", id),
            issuer_url: text("issuer_url", &self.idp.issuer),
            client_id: text("client_id", CLIENT),
            sealed_client_secret: self.sealer.seal(CLIENT_SECRET.as_bytes(), cell).expect("seals"),
            redirect_uri: "https://pki.corp.example/auth/oidc/callback".to_owned(),
            groups_claim_path: text("groups_claim_path", "groups"),
            groups_claim_format: GroupsClaimFormat::StringArray,
            more_groups_claim_paths: texts("more_groups_claim_paths", &[]),
            fetch_userinfo: flag("fetch_userinfo", false),
            scopes: texts("scopes", &["openid", "profile", "email"]),
            allowed_email_domains: texts("allowed_email_domains", &[]),
            require_verified_email: flag("require_verified_email", true),
            iat_window_seconds: 300,
            jwks_cache_ttl_seconds: 3600,
            at_hash_policy: if flag("require_at_hash", false) {
                AtHashPolicy::Require
            } else {
                AtHashPolicy::IfPresent
            },
            groups_overage: if flag("graph", false) { GroupsOverage::Graph } else { GroupsOverage::Refuse },
            hosted_domain: text("hosted_domain", ""),
            default_role_id: changes["default_role_id"].as_str().map(ToOwned::to_owned),
            rp_initiated_logout: flag("rp_initiated_logout", false),
            ca_bundle_pem: text("ca_bundle_pem", &self.idp.ca),
            enabled: true,
            archived_at: None,
            row_version: 1,
            created_at: now,
            updated_at: now,
        };
        let mut unit = self.db.begin().await;
        unit.stores().insert_provider(&provider).await.expect("stored");
        unit.save_unaudited("a test's provider").await.expect("saved");
    }

    /// Members of a group hold a role.
    pub async fn map(&self, provider_id: &str, group: &str, role: &str) {
        let mapping = GroupMapping {
            id: self.db.ambient.id(certctl_kernel::IdKind::GroupRoleMapping),
            tenant_id: "t-default".to_owned(),
            provider_id: provider_id.to_owned(),
            group_name: group.to_owned(),
            role_id: role.to_owned(),
            scope: Scope::Global,
            description: String::new(),
            created_by: "test".to_owned(),
            created_at: self.db.ambient.now(),
            row_version: 1,
        };
        let mut unit = self.db.begin().await;
        unit.stores().insert_mappings(&[mapping]).await.expect("stored");
        unit.save_unaudited("a test's mapping").await.expect("saved");
    }

    /// Changes what is stored behind the product's back.
    pub async fn execute(&self, sql: &str) {
        self.db.session().await.batch_execute(sql).await.expect(sql);
    }

    /// One number.
    pub async fn count(&self, sql: &str) -> i64 {
        self.db.session().await.query_one(sql, &[]).await.expect(sql).get(0)
    }

    /// One column of text, in the order of the query.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.db.session().await.query(sql, &[]).await.expect(sql);
        rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
    }

    pub async fn sessions(&self) -> i64 {
        self.count("SELECT count(*) FROM iam.sessions").await
    }

    /// Categories of the failed sign-ins on record, oldest first.
    pub async fn failures(&self) -> Vec<String> {
        self.texts(
            "SELECT details->>'failure_category' FROM audit.events WHERE action = 'auth.oidc_login_failed' \
             ORDER BY insert_id",
        )
        .await
    }

    /// Roles that people hold at the moment, as `actor role`.
    pub async fn held(&self) -> Vec<String> {
        self.texts("SELECT role_id FROM iam.grants WHERE actor_type = 'User' ORDER BY role_id, actor_id").await
    }

    pub fn pass(&self, seconds: i64) {
        self.db.clock.set(self.db.ambient.now() + time::Duration::seconds(seconds));
    }

    pub async fn start(&self) -> Started {
        self.start_at(&self.here, "op-1").await
    }

    /// Begins a sign-in and tells the provider of it, as the browser would.
    pub async fn start_at(&self, server: &Replica, provider: &str) -> Started {
        let outcome = server.get(&format!("/auth/oidc/login?provider={provider}")).await;
        assert_eq!(outcome.status, 302, "{outcome:?}");
        let started = Started {
            state: outcome.parameter("state"),
            nonce: outcome.parameter("nonce"),
            challenge: outcome.parameter("code_challenge"),
            cookie: outcome.cookie(PENDING).expect("a cookie").to_owned(),
            url: outcome.location,
        };
        self.idp.script(|script| {
            script.nonce.clone_from(&started.nonce);
            script.challenge.clone_from(&started.challenge);
        });
        started
    }

    /// A whole sign-in.
    pub async fn sign_in(&self) -> Outcome {
        self.sign_in_at("op-1").await
    }

    pub async fn sign_in_at(&self, provider: &str) -> Outcome {
        let started = self.start_at(&self.here, provider).await;
        self.here.back(&started.back()).await
    }

    /// A sign-in must end without a session, under this category, on record, and with the cookie taken back.
    pub async fn refused(&self, category: &str) -> Outcome {
        let (before, known) = (self.sessions().await, self.failures().await.len());
        let outcome = self.sign_in().await;
        assert_eq!((outcome.status, outcome.reason()), (302, category), "{outcome:?}");
        assert!(!outcome.signed_in(), "{outcome:?}");
        assert!(outcome.cookies[PENDING].contains("Max-Age=0"), "{outcome:?}");
        assert_eq!(self.sessions().await, before, "{category}: no session");
        assert_eq!(self.failures().await[known..], [category], "on record once");
        outcome
    }

    /// Sends a logout token.
    pub async fn log_out(&self, token: &str) -> u16 {
        self.here.log_out(token).await.status
    }
}

impl Started {
    /// The browser that comes back as it should.
    pub fn back(&self) -> Back<'static> {
        Back {
            cookie: Some(self.cookie.clone()),
            user_agent: Some(BROWSER),
            address: Some(ADDRESS),
            query: vec![("code", CODE.to_owned()), ("state", self.state.clone())],
        }
    }
}

impl Replica {
    pub async fn send(&self, request: TestRequest) -> Outcome {
        let response = (self.send)(request).await;
        let status = response.status().as_u16();
        let mut headers = BTreeMap::new();
        let mut cookies = BTreeMap::new();
        for (name, value) in response.headers() {
            let value = value.to_str().expect("text").to_owned();
            if name == "set-cookie" {
                let (name, line) = value.split_once('=').expect("a cookie");
                cookies.insert(name.to_owned(), line.to_owned());
            } else {
                headers.insert(name.to_string(), value);
            }
        }
        let location = headers.get("location").cloned().unwrap_or_default();
        let body = actix_web::test::read_body(response).await;
        Outcome { status, location, cookies, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    pub async fn get(&self, path: &str) -> Outcome {
        self.send(browser(TestRequest::get().uri(path), Some(BROWSER), Some(ADDRESS))).await
    }

    /// A request with an API key.
    pub async fn call(&self, method: Method, path: &str, key: &str, body: Option<Value>) -> Outcome {
        self.send(request(method, path, Some(key), body)).await
    }

    /// A request of a browser that is signed in.
    pub async fn as_signed_in(&self, path: &str, session: &str) -> Outcome {
        let request = browser(TestRequest::get().uri(path), Some(BROWSER), Some(ADDRESS));
        self.send(request.insert_header(("Cookie", format!("{SESSION}={session}")))).await
    }

    /// The browser comes back.
    pub async fn back(&self, back: &Back<'_>) -> Outcome {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(back.query.iter().map(|(name, value)| (*name, value.as_str())));
        let uri = format!("/auth/oidc/callback?{}", query.finish());
        let mut request = browser(TestRequest::get().uri(&uri), back.user_agent, back.address);
        if let Some(cookie) = &back.cookie {
            request = request.insert_header(("Cookie", format!("{PENDING}={cookie}")));
        }
        self.send(request).await
    }

    pub async fn log_out(&self, token: &str) -> Outcome {
        let request = TestRequest::post().uri("/auth/oidc/back-channel-logout");
        self.send(browser(request, None, Some(ADDRESS)).set_form([("logout_token", token)])).await
    }
}

/// A request from a browser somewhere.
pub fn browser(request: TestRequest, user_agent: Option<&str>, address: Option<&str>) -> TestRequest {
    let request = match address {
        Some(address) => request.peer_addr(SocketAddr::new(address.parse().expect("an address"), 4711)),
        None => request,
    };
    match user_agent {
        Some(name) => request.insert_header(("User-Agent", name)),
        None => request,
    }
}

async fn replica(
    db: &TestDatabase,
    idp: &Hostile,
    sealer: &Arc<dyn Sealer>,
    settings: &OidcSettings,
    sessions: SessionSettings,
) -> Replica {
    let mut unit = db.begin().await;
    let context = RequestContext::system("test");
    ensure_signing_key(unit.stores(), &db.ambient, sealer.as_ref(), &context).await.expect("a key");
    unit.save_unaudited("a test's signing key").await.expect("saved");
    let keys = Arc::new(SessionKeys::new(time::Duration::hours(24)));
    keys.load(db.read().await.stores(), sealer.as_ref()).await.expect("keys");
    let client = Settings { policy: settings.policy, graph_url: idp.issuer.clone(), timeout: Duration::from_secs(2) };
    let oidc = Oidc {
        party: Arc::new(OidcClient::new(client, db.ambient.clone())),
        settings: settings.clone(),
        pepper: SubjectPepper::new(Secret::new(PEPPER)),
    };
    let config = config_with(db, |state| {
        state.with_sessions(Sessions::new(keys, sessions, Arc::clone(sealer))).with_oidc(oidc).with(Backends {
            issuers: Arc::new(crate::ca::registry(&db.ambient, &crate::ca::sealer())),
            sealer: Arc::clone(sealer),
            keys: Arc::new(certctl_signers::RingKeys::new()),
            targets: Arc::new(certctl_targets::Catalogue),
            status: certctl_revocation::StatusSettings::default(),
            enrolment: certctl_agents::EnrolmentToken::new(None),
        })
    });
    let service = Rc::new(actix_web::test::init_service(certctl_http::application!(&config)).await);
    let send = move |request: TestRequest| -> Answering {
        let service = Rc::clone(&service);
        Box::pin(async move { actix_web::test::call_service(&*service, request.to_request()).await })
    };
    Replica { send: Box::new(send) }
}
