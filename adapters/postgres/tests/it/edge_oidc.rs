//! Providers and group mappings as administrators see them.

use crate::edge::{TOKEN, send};
use crate::oidc::with_catalogue;
use crate::relying_party::Scripted;
use crate::secrets::{NEW, OLD, ring};
use crate::support::{START, TestDatabase};
use crate::users::{signed_in, told};
use certctl_bootstrap::AdminGroups;
use certctl_http::{AppConfig, Backends, Oidc, OidcSettings};
use certctl_oidc::{BrowserBinding, OutboundPolicy};
use certctl_ports::Sealer as _;
use certctl_secrets::SealedColumn;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::sync::Arc;
use time::Duration;

const PROVIDERS: &str = "/api/v1/auth/oidc/providers";
const MAPPINGS: &str = "/api/v1/auth/oidc/group-mappings";
const SECRET: &str = "correct-horse-battery-staple";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}

/// The edge's settings with what seals.
fn sealing(db: &TestDatabase) -> AppConfig {
    let keyring = Arc::new(ring(&[("k1", OLD)]));
    let settings = OidcSettings {
        binding: BrowserBinding { user_agent: true, source_ip: true },
        admin_groups: AdminGroups { groups: Vec::new(), provider_id: None },
        policy: OutboundPolicy::default(),
        logout_max_age: Duration::MINUTE,
        name_groups: true,
    };
    let oidc = Oidc { party: Arc::new(Scripted::default()), settings, pepper: crate::users::pepper() };
    crate::edge::config_with(db, |state| {
        state.with_oidc(oidc).with(Backends {
            issuers: Arc::new(crate::ca::registry(&db.ambient, &crate::ca::sealer())),
            sealer: keyring,
            keys: Arc::new(certctl_signers::RingKeys::new()),
            targets: Arc::new(certctl_targets::Catalogue),
            status: certctl_revocation::StatusSettings::default(),
            enrolment: certctl_agents::EnrolmentToken::new(None),
        })
    })
}

/// The edge with what seals.
macro_rules! sealing_edge {
    ($db:expr) => {
        actix_web::test::init_service(certctl_http::application!(&sealing($db))).await
    };
}

/// Key of the first administrator.
macro_rules! admin {
    ($edge:expr) => {{
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (status, made) = send!($edge, POST "/api/v1/auth/bootstrap", None, Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

/// Key of a caller that holds these permissions and no other.
macro_rules! holder {
    ($edge:expr, $admin:expr, $name:expr, $permissions:expr) => {{
        let (status, role) =
            send!($edge, POST "/api/v1/auth/roles", Some(&$admin), Some(json!({"name": $name})));
        assert_eq!(status, 201, "{role}");
        let id = text(&role["id"]);
        for permission in $permissions {
            let path = format!("/api/v1/auth/roles/{id}/permissions");
            let body = json!({"permission": permission});
            assert_eq!(send!($edge, POST & path, Some(&$admin), Some(body)).0, 204);
        }
        let body = json!({"name": $name, "roles": [id]});
        let (status, made) = send!($edge, POST "/api/v1/auth/api-keys", Some(&$admin), Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

/// A request that is made only if the object is still the one with this validator.
macro_rules! send_if {
    ($edge:expr, $method:ident $path:expr, $key:expr, $etag:expr, $body:expr) => {{
        let request = crate::edge::request(actix_web::http::Method::$method, $path, $key, $body)
            .insert_header(("If-Match", $etag));
        let response = actix_web::test::call_service(&$edge, request.to_request()).await;
        let etag = response.headers().get("etag").map(|etag| etag.to_str().expect("text").to_owned());
        (response.status().as_u16(), etag)
    }};
}

fn minimal(name: &str) -> Value {
    json!({
        "name": name, "issuer_url": "https://idp.corp.example/realms/pki", "client_id": "certctl",
        "client_secret": SECRET, "redirect_uri": "https://pki.corp.example:8443/auth/oidc/callback",
    })
}

fn with(mut base: Value, member: &str, value: Value) -> Value {
    base[member] = value;
    base
}

/// Id of a provider made with these members.
macro_rules! provider {
    ($edge:expr, $admin:expr, $body:expr) => {{
        let path = format!("{PROVIDERS}?skip_check=true");
        let (status, made) = send!($edge, POST & path, Some(&$admin), Some($body));
        assert_eq!(status, 201, "{made}");
        text(&made["id"])
    }};
}

#[tokio::test]
async fn a_minimal_provider_is_made_enabled_and_its_defaults_are_told() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let path = format!("{PROVIDERS}?skip_check=true");
    let (status, made) = send!(edge, POST & path, Some(&admin), Some(minimal("Corp SSO")));
    assert_eq!(status, 201, "{made}");
    let expected = json!({
        "id": made["id"], "tenant_id": "t-default", "name": "Corp SSO",
        "issuer_url": "https://idp.corp.example/realms/pki", "client_id": "certctl",
        "redirect_uri": "https://pki.corp.example:8443/auth/oidc/callback", "groups_claim_path": "groups",
        "groups_claim_format": "string-array", "more_groups_claim_paths": [], "fetch_userinfo": false,
        "scopes": ["openid", "profile", "email"], "allowed_email_domains": [], "require_verified_email": true,
        "iat_window_seconds": 300, "jwks_cache_ttl_seconds": 3600, "at_hash_policy": "if_present",
        "groups_overage": "refuse", "hosted_domain": "", "rp_initiated_logout": false, "ca_bundle_pem": "",
        "enabled": true, "created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:00:00Z",
    });
    assert_eq!(made, expected);
    assert!(text(&made["id"]).starts_with("op-"));
    let one = format!("{PROVIDERS}/{}", text(&made["id"]));
    assert_eq!(send!(edge, GET & one, Some(&admin)), (200, made.clone()));
    let (status, list) = send!(edge, GET PROVIDERS, Some(&admin));
    assert_eq!((status, &list["providers"], &list["total"]), (200, &json!([made]), &json!(1)));
    let (status, clash) = send!(edge, POST & path, Some(&admin), Some(minimal("corp sso")));
    assert_eq!((status, text(&clash["message"])), (409, "provider name already exists".to_owned()));
    assert_eq!(clash["existing_id"], made["id"]);
    assert_eq!(send!(edge, GET & format!("{PROVIDERS}/op-none"), Some(&admin)).0, 404);
}

#[tokio::test]
async fn changes_keep_what_they_leave_out_as_put_and_patch_promise() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let full = json!({
        "groups_claim_path": "/roles", "groups_claim_format": "json-path", "fetch_userinfo": true,
        "scopes": ["openid", "groups"], "allowed_email_domains": [" corp.example "], "iat_window_seconds": 60,
        "jwks_cache_ttl_seconds": 120, "at_hash_policy": "require", "enabled": false, "groups_overage": "graph",
    });
    let mut body = minimal("corp");
    for (member, value) in full.as_object().expect("members") {
        body[member] = value.clone();
    }
    let path = format!("{PROVIDERS}/{}?skip_check=true", provider!(edge, admin, body));
    provider!(edge, admin, minimal("other"));
    // PUT: these stay when left out, blank or 0 …
    let put = with(with(minimal("corp"), "client_secret", json!("")), "iat_window_seconds", json!(0));
    let (status, put) = send!(edge, PUT & path, Some(&admin), Some(put));
    assert_eq!(status, 200, "{put}");
    for (member, kept) in [
        ("groups_claim_path", json!("/roles")),
        ("groups_claim_format", json!("json-path")),
        ("iat_window_seconds", json!(60)),
        ("jwks_cache_ttl_seconds", json!(120)),
        ("at_hash_policy", json!("require")),
        ("groups_overage", json!("graph")),
        ("enabled", json!(false)),
    ] {
        assert_eq!(put[member], kept, "{member}");
    }
    // … and these go back to their defaults.
    assert_eq!(put["fetch_userinfo"], json!(false));
    assert_eq!(put["scopes"], json!(["openid", "profile", "email"]));
    assert_eq!(put["allowed_email_domains"], json!([]));
    let (status, on) = send!(edge, PATCH & path, Some(&admin), Some(json!({"enabled": true, "at_hash_policy": null})));
    assert_eq!((status, &on["enabled"], &on["at_hash_policy"]), (200, &json!(true), &json!("if_present")));
    assert_eq!((&on["groups_claim_path"], &on["name"]), (&json!("/roles"), &json!("corp")));
    let (status, refused) = send!(edge, PATCH & path, Some(&admin), Some(json!({"enabled": null})));
    assert_eq!((status, text(&refused["errors"][0]["field"])), (400, "enabled".to_owned()));
    let (status, clash) = send!(edge, PATCH & path, Some(&admin), Some(json!({"name": "OTHER"})));
    assert_eq!((status, text(&clash["message"])), (409, "provider name already exists".to_owned()));

    let etag = {
        let request = crate::edge::request(
            actix_web::http::Method::GET,
            &path.replace("?skip_check=true", ""),
            Some(&admin),
            None,
        );
        let response = actix_web::test::call_service(&edge, request.to_request()).await;
        response.headers().get("etag").expect("a validator").to_str().expect("text").to_owned()
    };
    let (status, newer) = send_if!(edge, PATCH & path, Some(&admin), etag.clone(), Some(json!({"client_id": "c2"})));
    assert_eq!(status, 200);
    assert!(newer.is_some_and(|newer| newer != etag));
    assert_eq!(send_if!(edge, PUT & path, Some(&admin), etag.clone(), Some(minimal("corp"))).0, 412);
    assert_eq!(send_if!(edge, DELETE & path.replace("?skip_check=true", ""), Some(&admin), etag, None).0, 412);
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.oidc_provider_updated", Some(&admin));
    assert_eq!(trail["data"][0]["details"]["changes"], json!({"client_id": ["certctl", "c2"]}));
    assert_eq!(trail["data"][1]["details"]["changes"]["enabled"], json!([false, true]));
}

#[tokio::test]
async fn broken_providers_are_refused_by_the_first_rule_in_order() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let long = "x".repeat(256);
    let cases = [
        ("name", json!(""), "name"),
        ("name", json!(long), "name"),
        ("issuer_url", json!("http://idp.corp.example"), "issuer_url"),
        ("issuer_url", json!("https://"), "issuer_url"),
        ("issuer_url", json!("https://user:pw@idp.corp.example"), "issuer_url"),
        ("issuer_url", json!("https://idp.corp.example/?a=b"), "issuer_url"),
        ("client_id", json!(" "), "client_id"),
        ("client_secret", json!(""), "client_secret"),
        ("redirect_uri", json!("http://localhost/auth/oidc/callback"), "redirect_uri"),
        ("redirect_uri", json!("https://pki.example/cb#x"), "redirect_uri"),
        ("groups_claim_format", json!("xpath"), "groups_claim_format"),
        ("groups_claim_path", json!("/a/b"), "groups_claim_path"),
        ("more_groups_claim_paths", json!([""]), "more_groups_claim_paths"),
        ("scopes", json!(["profile"]), "scopes"),
        ("scopes", json!(["openid", "a b"]), "scopes"),
        ("iat_window_seconds", json!(601), "iat_window_seconds"),
        ("iat_window_seconds", json!(-1), "iat_window_seconds"),
        ("jwks_cache_ttl_seconds", json!(59), "jwks_cache_ttl_seconds"),
        ("allowed_email_domains", json!(["@corp.example"]), "allowed_email_domains"),
        ("at_hash_policy", json!("never"), "at_hash_policy"),
        ("groups_overage", json!("ignore"), "groups_overage"),
        ("hosted_domain", json!("corp"), "hosted_domain"),
        ("default_role_id", json!("r-viewer"), "default_role_id"),
        ("ca_bundle_pem", json!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "ca_bundle_pem"),
        ("scopes", json!("openid"), "scopes"),
        ("colour", json!("red"), "colour"),
    ];
    for (member, value, field) in cases {
        let (status, refused) = send!(edge, POST PROVIDERS, Some(&admin), Some(with(minimal("corp"), member, value)));
        assert_eq!((status, text(&refused["errors"][0]["field"]).as_str()), (400, field), "{refused}");
    }
    // Several broken members: the first in order is told.
    let (_, refused) = send!(edge, POST PROVIDERS, Some(&admin), Some(json!({"scopes": []})));
    assert_eq!(text(&refused["errors"][0]["field"]), "name");
    let (_, list) = send!(edge, GET PROVIDERS, Some(&admin));
    assert_eq!(list["total"], json!(0), "nothing was kept");
}

#[tokio::test]
async fn ob_01_an_issuer_at_a_reserved_address_is_refused_at_save() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let path = format!("{PROVIDERS}?skip_check=true");
    let stored = format!("{PROVIDERS}/{}?skip_check=true", provider!(edge, admin, minimal("corp")));
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
        "localhost",
    ] {
        let issuer = json!(format!("https://{host}/realms/x"));
        let body = with(minimal("bad"), "issuer_url", issuer.clone());
        let (status, refused) = send!(edge, POST & path, Some(&admin), Some(body));
        assert_eq!(status, 400, "{host}");
        assert!(text(&refused["message"]).contains("issuer_url failed SSRF policy"), "{refused}");
        let (status, _) = send!(edge, PATCH & stored, Some(&admin), Some(json!({"issuer_url": issuer})));
        assert_eq!(status, 400, "{host}");
    }
}

/// Every text in which a client's secret could be told.
fn spellings() -> [String; 2] {
    [SECRET.to_owned(), BASE64.encode(SECRET.as_bytes())]
}

#[tokio::test]
async fn tl_04_a_client_secret_is_in_no_answer_and_no_event() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let path = format!("{PROVIDERS}/{}?skip_check=true", provider!(edge, admin, minimal("corp")));
    let one = path.replace("?skip_check=true", "");
    let answers = [
        send!(edge, GET & one, Some(&admin)).1,
        send!(edge, GET PROVIDERS, Some(&admin)).1,
        send!(edge, PUT & path, Some(&admin), Some(minimal("corp"))).1,
        send!(edge, PATCH & path, Some(&admin), Some(json!({"client_secret": format!("{SECRET}2")}))).1,
        send!(edge, PATCH & path, Some(&admin), Some(json!({"client_secret": SECRET, "iat_window_seconds": 9000}))).1,
        send!(edge, POST PROVIDERS, Some(&admin), Some(with(minimal("x"), "issuer_url", json!("http://x")))).1,
        send!(edge, GET "/api/v1/audit?per_page=500", Some(&admin)).1,
    ];
    for answer in answers {
        let text = answer.to_string();
        assert!(!spellings().iter().any(|secret| text.contains(secret)), "{text}");
    }
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.oidc_provider_updated", Some(&admin));
    assert_eq!(trail["data"][0]["details"]["changes"], json!({"has_new_client_credential": true}), "{trail}");
}

#[tokio::test]
async fn tl_10_no_form_of_a_provider_shows_its_secret() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let stored = db.read().await.provider(&id).await.expect("read").expect("a provider");
    let settings = certctl_oidc::ProviderSettings {
        client_secret: Some(certctl_kernel::Secret::new(SECRET.to_owned())),
        ..certctl_oidc::ProviderSettings::default()
    };
    for text in [format!("{stored:?}"), format!("{settings:?}")] {
        assert!(!spellings().iter().any(|secret| text.contains(secret)), "{text}");
    }
    let document = certctl_http::openapi::document(&certctl_http::routes::all());
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let shown = document["components"]["schemas"]["OIDCProvider"]["properties"].as_object().expect("members");
    assert!(!shown.keys().any(|member| member.contains("secret")), "{shown:?}");
}

#[tokio::test]
async fn tl_11_a_stored_secret_opens_under_its_key_and_in_its_own_row_only() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let (first, second) = (provider!(edge, admin, minimal("one")), provider!(edge, admin, minimal("two")));
    let mut unit = db.read().await;
    let sealed = unit.provider(&first).await.expect("read").expect("a provider").sealed_client_secret;
    assert!(!sealed.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()));
    let sealer = ring(&[("k1", OLD)]);
    let column = SealedColumn::OIDC_CLIENT_SECRET;
    assert_eq!(sealer.open(&sealed, column.cell(&first)).expect("opens").as_slice(), SECRET.as_bytes());
    sealer.open(&sealed, column.cell(&second)).expect_err("not in another row");
    sealer.open(&sealed, SealedColumn::SESSION_KEY.cell(&first)).expect_err("not in another column");
    let other = ring(&[("k1", NEW)]);
    other.open(&sealed, column.cell(&first)).expect_err("not under another passphrase");
    // A blank secret in a change keeps the stored one, as it is.
    let path = format!("{PROVIDERS}/{first}?skip_check=true");
    let put = with(minimal("one"), "client_secret", json!("  "));
    assert_eq!(send!(edge, PUT & path, Some(&admin), Some(put)).0, 200);
    let again = unit.provider(&first).await.expect("read").expect("a provider").sealed_client_secret;
    assert_eq!(sealed, again);
}

#[tokio::test]
async fn ic_05_the_issuer_stays_once_somebody_signed_in() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let path = format!("{PROVIDERS}/{id}?skip_check=true");
    let other = json!({"issuer_url": "https://other.example"});
    assert_eq!(send!(edge, PATCH & path, Some(&admin), Some(other)).0, 200, "nobody signed in yet");
    signed_in(&db, told(&id, "s-1")).await.expect("let in");
    let again = json!({"issuer_url": "https://third.example"});
    let (status, refused) = send!(edge, PATCH & path, Some(&admin), Some(again));
    assert_eq!((status, text(&refused["code"])), (409, "issuer_in_use".to_owned()));
    let (status, refused) = send!(edge, PUT & path, Some(&admin), Some(minimal("corp")));
    assert_eq!((status, text(&refused["code"])), (409, "issuer_in_use".to_owned()));
    assert_eq!(send!(edge, PATCH & path, Some(&admin), Some(json!({"name": "Corp"}))).0, 200);
}

async fn session(db: &TestDatabase, id: &str, provider: &str, user: &str) {
    let sql = "WITH key AS (INSERT INTO iam.session_signing_keys (id, key_material_encrypted, created_at) \
                 VALUES ('sk-it', '\\x00', $4) ON CONFLICT DO NOTHING) \
               INSERT INTO iam.sessions (id, actor_type, actor_id, signing_key_id, way, provider_id, ip_address, \
                 user_agent, created_at, last_seen_at, absolute_expires_at) \
               VALUES ($1, 'User', $3, 'sk-it', 'oidc', $2, '192.0.2.9', 'Firefox', $4, $4, $5)";
    let end = START + Duration::hours(8);
    db.session().await.execute(sql, &[&id, &provider, &user, &START, &end]).await.expect("a session");
}

async fn live(db: &TestDatabase) -> Vec<String> {
    let sql = "SELECT id FROM iam.sessions WHERE revoked_at IS NULL ORDER BY id";
    db.session().await.query(sql, &[]).await.expect("sessions").iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn ic_06_a_provider_with_people_is_not_deleted_and_the_way_out_of_use_works() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let user = signed_in(&db, told(&id, "s-1")).await.expect("let in").user.id;
    session(&db, "ses-1", &id, &user).await;
    let mapping = json!({"provider_id": id, "group_name": "eng", "role_id": "r-viewer"});
    assert_eq!(send!(edge, POST MAPPINGS, Some(&admin), Some(mapping)).0, 201);
    let one = format!("{PROVIDERS}/{id}");
    let (status, refused) = send!(edge, DELETE & one, Some(&admin));
    assert_eq!((status, text(&refused["code"])), (409, "provider_in_use".to_owned()));
    let archive = format!("{one}/archive");
    // Each refusal names what is left to do; doing it leads on.
    let (status, refused) = send!(edge, POST & archive, Some(&admin));
    assert_eq!((status, text(&refused["code"])), (409, "decommission_incomplete".to_owned()));
    let all =
        "before it can be archived: disable it, then end its 1 live sessions, then deactivate and purge its 1 people";
    assert_eq!(text(&refused["message"]), all);
    assert_eq!(send!(edge, PATCH & one, Some(&admin), Some(json!({"enabled": false}))).0, 200);
    assert_eq!(send!(edge, DELETE & format!("{one}/sessions"), Some(&admin)), (200, json!({"revoked_count": 1})));
    let users = format!("/api/v1/auth/users/{user}");
    assert_eq!(send!(edge, DELETE & users, Some(&admin)).0, 204);
    assert_eq!(send!(edge, POST & archive, Some(&admin)).0, 409);
    assert_eq!(send!(edge, POST & format!("{users}/purge"), Some(&admin)).0, 204);
    let (status, gone) = send!(edge, POST & archive, Some(&admin));
    assert_eq!(status, 200, "{gone}");
    assert_eq!((gone["archived_at"].is_string(), &gone["enabled"]), (true, &json!(false)));
    let (_, list) = send!(edge, GET PROVIDERS, Some(&admin));
    assert_eq!(list["total"], json!(0));
    let (_, list) = send!(edge, GET & format!("{PROVIDERS}?archived=true"), Some(&admin));
    assert_eq!(list["providers"][0]["id"], json!(id));
    let (_, mappings) = send!(edge, GET & format!("{MAPPINGS}?provider_id={id}"), Some(&admin));
    assert_eq!(mappings["mappings"], json!([]));
    let (status, refused) = send!(edge, PATCH & one, Some(&admin), Some(json!({"enabled": true})));
    assert_eq!((status, text(&refused["code"])), (409, "archived".to_owned()));
    let stored = db.read().await.provider(&id).await.expect("read").expect("its row stays");
    let secret = ring(&[("k1", OLD)]).open(&stored.sealed_client_secret, SealedColumn::OIDC_CLIENT_SECRET.cell(&id));
    assert!(secret.expect("opens").is_empty(), "the secret is gone");
    provider!(edge, admin, minimal("corp"));
    // One without people goes at once.
    let free = provider!(edge, admin, minimal("free"));
    assert_eq!(send!(edge, DELETE & format!("{PROVIDERS}/{free}"), Some(&admin)).0, 204);
    assert_eq!(send!(edge, DELETE & format!("{PROVIDERS}/{free}"), Some(&admin)).0, 404);
}

#[tokio::test]
async fn ic_08_all_sessions_of_a_provider_and_no_others_end() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let (here, there) = (provider!(edge, admin, minimal("here")), provider!(edge, admin, minimal("there")));
    for (provider, subject, sessions) in
        [(&here, "a", ["ses-1", "ses-2"]), (&here, "b", ["ses-3", "ses-4"]), (&there, "a", ["ses-5", "ses-6"])]
    {
        let user = signed_in(&db, told(provider, subject)).await.expect("let in").user.id;
        for id in sessions {
            session(&db, id, provider, &user).await;
        }
    }
    let path = format!("{PROVIDERS}/{here}/sessions");
    let viewer = holder!(edge, admin, "looker", ["auth.oidc.list", "auth.oidc.edit", "auth.session.list.all"]);
    assert_eq!(send!(edge, DELETE & path, Some(&viewer)).0, 403);
    assert_eq!(send!(edge, DELETE & path, Some(&admin)), (200, json!({"revoked_count": 4})));
    assert_eq!(live(&db).await, ["ses-5", "ses-6"]);
    assert_eq!(send!(edge, DELETE & path, Some(&admin)), (200, json!({"revoked_count": 0})));
    assert_eq!(send!(edge, DELETE & format!("{PROVIDERS}/op-none/sessions"), Some(&admin)).0, 404);
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.sessions_revoked_for_provider", Some(&admin));
    assert_eq!((&trail["total"], &trail["data"][1]["details"]["count"]), (&json!(2), &json!(4)));
}

#[tokio::test]
async fn gm_08_only_who_may_assign_a_role_and_holds_it_says_what_a_group_is_worth() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let editor = holder!(edge, admin, "editor", ["auth.oidc.edit", "auth.oidc.list"]);
    let both = holder!(edge, admin, "both", ["auth.oidc.edit", "auth.role.assign", "team.read"]);
    let (status, small) = send!(edge, POST "/api/v1/auth/roles", Some(&admin), Some(json!({"name": "small"})));
    assert_eq!(status, 201);
    let small = text(&small["id"]);
    let permissions = format!("/api/v1/auth/roles/{small}/permissions");
    assert_eq!(send!(edge, POST & permissions, Some(&admin), Some(json!({"permission": "team.read"}))).0, 204);
    let wanted = |role: &str| json!({"provider_id": id, "group_name": "eng", "role_id": role});
    let many = |role: &str| json!({"provider_id": id, "mappings": [{"group_name": "eng", "role_id": role}]});
    for (key, role, status) in
        [(&editor, "r-admin", 403), (&editor, small.as_str(), 403), (&both, "r-admin", 403), (&both, "r-viewer", 403)]
    {
        assert_eq!(send!(edge, POST MAPPINGS, Some(key), Some(wanted(role))).0, status, "{role}");
        assert_eq!(send!(edge, POST & format!("{MAPPINGS}/import"), Some(key), Some(many(role))).0, status, "{role}");
    }
    let (status, made) = send!(edge, POST MAPPINGS, Some(&both), Some(wanted(&small)));
    assert_eq!(status, 201, "{made}");
    let one = format!("{MAPPINGS}/{}", text(&made["id"]));
    assert_eq!(send!(edge, PATCH & one, Some(&both), Some(json!({"role_id": "r-admin"}))).0, 403);
    assert_eq!(send!(edge, PATCH & one, Some(&editor), Some(json!({"description": "x"}))).0, 403);
    // The default role of a hosted domain is the same thing by another name.
    let path = format!("{PROVIDERS}/{id}");
    let default = json!({"hosted_domain": "corp.example", "default_role_id": "r-admin"});
    for key in [&editor, &both] {
        assert_eq!(send!(edge, PATCH & path, Some(key), Some(default.clone())).0, 403);
    }
    let (_, list) = send!(edge, GET & format!("{MAPPINGS}?provider_id={id}"), Some(&admin));
    assert_eq!(list["mappings"], json!([made]));
}

#[tokio::test]
async fn gm_09_mappings_to_what_does_not_exist_are_refused() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let base = json!({"provider_id": id, "group_name": "eng", "role_id": "r-viewer"});
    for (member, value, status) in [
        ("provider_id", json!("op-none"), 404),
        ("provider_id", json!("corp"), 400),
        ("role_id", json!("r-none"), 404),
        ("role_id", json!("viewer"), 400),
        ("group_name", json!(""), 400),
        ("group_name", json!("  "), 400),
        ("group_name", json!("a\u{7}b"), 400),
        ("scope_type", json!("profile"), 400),
        ("scope_type", json!("galaxy"), 400),
    ] {
        let (got, refused) = send!(edge, POST MAPPINGS, Some(&admin), Some(with(base.clone(), member, value.clone())));
        assert_eq!(got, status, "{member} {value} {refused}");
    }
    let scoped = with(with(base.clone(), "scope_type", json!("issuer")), "scope_id", json!("none"));
    assert_eq!(send!(edge, POST MAPPINGS, Some(&admin), Some(scoped)).0, 404);
    assert_eq!(send!(edge, GET MAPPINGS, Some(&admin)).0, 400, "whose mappings?");
    assert_eq!(send!(edge, POST MAPPINGS, Some(&admin), Some(base.clone())).0, 201);
    let (status, clash) = send!(edge, POST MAPPINGS, Some(&admin), Some(base));
    assert_eq!((status, text(&clash["message"])), (409, "mapping already exists".to_owned()));
    for method in ["GET", "DELETE"] {
        let method = actix_web::http::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = crate::edge::request(method, &format!("{MAPPINGS}/grm-none"), Some(&admin), None);
        assert_eq!(actix_web::test::call_service(&edge, request.to_request()).await.status(), 404);
    }
    let broken = json!({"provider_id": id, "mappings": [
        {"group_name": "a", "role_id": "r-viewer"}, {"group_name": "", "role_id": "r-viewer"}, {"group_name": "c", "role_id": "x"},
    ]});
    let (status, refused) = send!(edge, POST & format!("{MAPPINGS}/import"), Some(&admin), Some(broken));
    let fields: Vec<_> = refused["errors"].as_array().expect("errors").iter().map(|e| text(&e["field"])).collect();
    assert_eq!((status, fields), (400, vec!["mappings[1].group_name".to_owned(), "mappings[2].role_id".to_owned()]));
}

#[tokio::test]
async fn gm_10_the_trail_tells_group_and_role_of_each_mapping_that_comes_changes_or_goes() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let many = json!({"provider_id": id, "mappings": [
        {"group_name": "eng", "role_id": "r-operator", "description": "engineers"},
        {"group_name": "audit", "role_id": "r-auditor"}, {"group_name": "eng", "role_id": "r-operator"},
    ]});
    let import = format!("{MAPPINGS}/import");
    let (status, made) = send!(edge, POST & import, Some(&admin), Some(many.clone()));
    assert_eq!((status, made["mappings"].as_array().map(Vec::len), &made["skipped"]), (200, Some(2), &json!(1)));
    let (_, again) = send!(edge, POST & import, Some(&admin), Some(many));
    assert_eq!(again, json!({"mappings": [], "skipped": 3}), "idempotent");
    let one = format!("{MAPPINGS}/{}", text(&made["mappings"][0]["id"]));
    let change = json!({"group_name": "eng", "role_id": "r-viewer", "description": "engineers"});
    let (status, changed) = send!(edge, PUT & one, Some(&admin), Some(change));
    assert_eq!((status, &changed["role_id"]), (200, &json!("r-viewer")));
    assert_eq!(send!(edge, GET & one, Some(&admin)), (200, changed));
    assert_eq!(send!(edge, DELETE & one, Some(&admin)).0, 204);
    let (_, trail) = send!(edge, GET "/api/v1/audit?resource_type=group_role_mapping", Some(&admin));
    let told: Vec<_> = trail["data"]
        .as_array()
        .expect("events")
        .iter()
        .rev()
        .map(|event| json!([event["action"], event["details"]["group_name"], event["details"]["role_id"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["auth.group_mapping_added", "eng", "r-operator"]),
            json!(["auth.group_mapping_added", "audit", "r-auditor"]),
            json!(["auth.group_mapping_added", null, null]),
            json!(["auth.group_mapping_updated", "eng", "r-viewer"]),
            json!(["auth.group_mapping_removed", "eng", "r-viewer"]),
        ]
    );
    assert_eq!(trail["data"][1]["details"]["before"]["role_id"], json!("r-operator"));
}

#[tokio::test]
async fn a_role_that_nothing_gives_any_more_ends_with_its_mapping() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let many = json!({"provider_id": id, "mappings": [
        {"group_name": "eng", "role_id": "r-operator"}, {"group_name": "ops", "role_id": "r-operator"},
        {"group_name": "eng", "role_id": "r-viewer"},
    ]});
    let (_, made) = send!(edge, POST & format!("{MAPPINGS}/import"), Some(&admin), Some(many));
    let ids: Vec<_> = made["mappings"].as_array().expect("a list").iter().map(|m| text(&m["id"])).collect();
    let eng = ["eng".to_owned()];
    let all = ["eng".to_owned(), "ops".to_owned()];
    let mut people = Vec::new();
    for (subject, groups) in [("a", eng.as_slice()), ("b", all.as_slice())] {
        let command = certctl_user::SignIn { groups, ..told(&id, subject) };
        people.push(signed_in(&db, command).await.expect("let in").user.id);
    }
    let source = format!("oidc:{id}");
    let sql = "INSERT INTO iam.grants (id, actor_type, actor_id, role_id, source, granted_by) \
               SELECT 'gra-' || u.id || r.role || s.source, 'User', u.id, r.role, s.source, 'it' FROM iam.users u, \
                 unnest($1::text[]) AS r (role), unnest($2::text[]) AS s (source)";
    // Ids of grants have no colon.
    let sql = sql.replace("|| s.source,", "|| left(s.source, 4),");
    let session = db.session().await;
    let roles = ["r-operator", "r-viewer"];
    session.execute(&sql, &[&roles.as_slice(), &[source.as_str(), "manual"].as_slice()]).await.expect("grants");
    let held = async || {
        let sql = "SELECT actor_id || ' ' || role_id FROM iam.grants WHERE source = $1 ORDER BY actor_id, role_id";
        let rows = session.query(sql, &[&source]).await.expect("grants");
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    assert_eq!(held().await.len(), 4);
    assert_eq!(send!(edge, DELETE & format!("{MAPPINGS}/{}", ids[0]), Some(&admin)).0, 204);
    let mut expected =
        [(0, "r-viewer"), (1, "r-operator"), (1, "r-viewer")].map(|(n, role)| format!("{} {role}", people[n]));
    expected.sort();
    assert_eq!(held().await, expected, "who is in both groups keeps it through the other");
    let change = json!({"group_name": "staff"});
    assert_eq!(send!(edge, PATCH & format!("{MAPPINGS}/{}", ids[2]), Some(&admin), Some(change)).0, 200);
    assert_eq!(held().await, [format!("{} r-operator", people[1])]);
    let manual = "SELECT count(*) FROM iam.grants WHERE source = 'manual' AND actor_type = 'User'";
    assert_eq!(session.query_one(manual, &[]).await.expect("a count").get::<_, i64>(0), 4, "others stay");
    let (_, trail) = send!(edge, GET "/api/v1/audit?resource_type=group_role_mapping", Some(&admin));
    assert_eq!(trail["data"][0]["details"]["ended_grants"], json!(2));
}

#[tokio::test]
async fn a_provider_is_asked_before_it_is_kept_unless_told_otherwise() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    assert_eq!(send!(edge, POST PROVIDERS, Some(&admin), Some(minimal("corp"))).0, 201);
    let down = |name: &str| with(minimal(name), "issuer_url", json!("https://down.corp.example"));
    let (status, refused) = send!(edge, POST PROVIDERS, Some(&admin), Some(down("down")));
    assert_eq!((status, text(&refused["code"])), (400, "provider_check_failed".to_owned()));
    assert_eq!(refused["checks"], json!(["the discovery document can't be fetched"]));
    let inside = with(minimal("inside"), "issuer_url", json!("https://inside.corp.example"));
    let skip = format!("{PROVIDERS}?skip_check=true");
    let (status, refused) = send!(edge, POST & skip, Some(&admin), Some(inside));
    assert_eq!(status, 400, "an address is looked at in any case");
    assert!(text(&refused["message"]).contains("issuer_url failed SSRF policy"), "{refused}");
    let (_, list) = send!(edge, GET PROVIDERS, Some(&admin));
    assert_eq!(list["total"], json!(1), "nothing else was kept");
    let id = provider!(edge, admin, down("down"));
    let one = format!("{PROVIDERS}/{id}");
    // Only another issuer, or other certificates, are a reason to ask again.
    assert_eq!(send!(edge, PATCH & one, Some(&admin), Some(json!({"fetch_userinfo": true}))).0, 200);
    let other = json!({"issuer_url": "https://down.other.example"});
    assert_eq!(send!(edge, PATCH & one, Some(&admin), Some(other.clone())).0, 400);
    assert_eq!(send!(edge, PATCH & format!("{one}?skip_check=true"), Some(&admin), Some(other)).0, 200);
    assert_eq!(send!(edge, POST & format!("{PROVIDERS}?skip=1"), Some(&admin), Some(minimal("x"))).0, 400);
}

#[tokio::test]
async fn ob_01_the_test_tells_of_a_reserved_address_and_asks_nobody() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    for host in ["127.0.0.1", "[::1]", "169.254.169.254", "[::ffff:169.254.169.254]"] {
        let body = json!({"issuer_url": format!("https://{host}/x")});
        let (status, told) = send!(edge, POST "/api/v1/auth/oidc/test", Some(&admin), Some(body));
        assert_eq!((status, &told["discovery_succeeded"]), (200, &json!(false)), "{told}");
        assert!(text(&told["errors"][0]).contains("issuer_url failed SSRF policy"), "{told}");
    }
}

#[tokio::test]
async fn gm_13_where_groups_are_looked_for_is_shown_by_the_provider_and_by_its_test() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let url = "https://corp.example/groups";
    let body =
        with(with(minimal("corp"), "groups_claim_path", json!(url)), "more_groups_claim_paths", json!(["roles"]));
    let id = provider!(edge, admin, body);
    let (_, shown) = send!(edge, GET & format!("{PROVIDERS}/{id}"), Some(&admin));
    assert_eq!((&shown["groups_claim_path"], &shown["more_groups_claim_paths"]), (&json!(url), &json!(["roles"])));
    let body = json!({"provider_id": id});
    let (status, told) = send!(edge, POST "/api/v1/auth/oidc/test", Some(&admin), Some(body));
    assert_eq!((status, &told["groups_claim_paths"]), (200, &json!([url, "roles"])), "{told}");
}

#[tokio::test]
async fn a_test_tells_each_check_and_keeps_nothing() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let path = "/api/v1/auth/oidc/test";
    let body = json!({
        "issuer_url": "https://idp.corp.example", "client_id": "c", "client_secret": SECRET, "scopes": ["openid"],
    });
    let (status, told) = send!(edge, POST path, Some(&admin), Some(body));
    assert_eq!((status, &told["discovery_succeeded"], &told["jwks_reachable"]), (200, &json!(true), &json!(true)));
    assert_eq!(told["supported_alg_values"], json!(["RS256", "HS256"]));
    assert!(text(&told["errors"][0]).starts_with("note:"));
    let down = json!({"issuer_url": "https://down.corp.example"});
    let (status, told) = send!(edge, POST path, Some(&admin), Some(down));
    assert_eq!((status, &told["errors"]), (200, &json!(["the discovery document can't be fetched"])));
    for (body, field) in [
        (json!({}), "issuer_url"),
        (json!({"issuer_url": " "}), "issuer_url"),
        (json!({"issuer_url": "https://idp.example", "ca_bundle_pem": "x"}), "ca_bundle_pem"),
    ] {
        let (status, refused) = send!(edge, POST path, Some(&admin), Some(body));
        assert_eq!((status, text(&refused["errors"][0]["field"])), (400, field.to_owned()), "{refused}");
    }
    assert_eq!(send!(edge, POST path, Some(&admin), Some(json!({"provider_id": "op-none"}))).0, 404);
    let (_, list) = send!(edge, GET PROVIDERS, Some(&admin));
    assert_eq!(list["total"], json!(0));
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.oidc_provider_tested", Some(&admin));
    assert_eq!((&trail["total"], &trail["data"][1]["details"]["discovery_succeeded"]), (&json!(2), &json!(true)));
    assert!(!trail.to_string().contains(SECRET));
}

#[tokio::test]
async fn keys_are_fetched_when_nobody_did_and_when_told_and_a_failure_is_shown() {
    let db = with_catalogue().await;
    let edge = sealing_edge!(&db);
    let admin = admin!(edge);
    let id = provider!(edge, admin, minimal("corp"));
    let status_of = |id: &str| format!("{PROVIDERS}/{id}/jwks-status");
    let (status, cold) = send!(edge, GET & status_of(&id), Some(&admin));
    assert_eq!((status, &cold["current_kids"], &cold["refresh_count"]), (200, &json!(["key-1"]), &json!(1)), "{cold}");
    assert_eq!(cold["keys"], json!([{"kid": "key-1", "kty": "RSA", "alg": "RS256"}]));
    let refresh = format!("{PROVIDERS}/{id}/refresh");
    assert_eq!(send!(edge, POST & refresh, Some(&admin)), (200, json!({"refreshed": true})));
    let (_, warm) = send!(edge, GET & status_of(&id), Some(&admin));
    assert_eq!((&warm["refresh_count"], warm.get("last_error")), (&json!(2), None));
    let down = provider!(edge, admin, with(minimal("down"), "issuer_url", json!("https://down.corp.example")));
    let (status, refused) = send!(edge, POST & format!("{PROVIDERS}/{down}/refresh"), Some(&admin));
    assert_eq!(
        (status, text(&refused["message"])),
        (400, "refresh failed: the discovery document can't be fetched".to_owned())
    );
    let (_, told) = send!(edge, GET & status_of(&down), Some(&admin));
    assert_eq!(text(&told["last_error"]), "the discovery document can't be fetched");
    assert_eq!(told["current_kids"], json!(["key-1"]), "what was known stays");
    for path in [status_of("op-none"), format!("{PROVIDERS}/op-none/refresh")] {
        let method =
            if path.ends_with("refresh") { actix_web::http::Method::POST } else { actix_web::http::Method::GET };
        let request = crate::edge::request(method, &path, Some(&admin), None);
        assert_eq!(actix_web::test::call_service(&edge, request.to_request()).await.status(), 404);
    }
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.oidc_provider_refreshed", Some(&admin));
    let told: Vec<_> =
        trail["data"].as_array().expect("events").iter().map(|e| e["details"]["refreshed"].clone()).collect();
    assert_eq!(told, [json!(false), json!(true)]);
}
