//! The inventory as clients see it.

use crate::edge::{TOKEN, edge, request, send};
use crate::support::TestDatabase;
use actix_web::http::Method;
use certctl_http::{AppConfig, AppState, Backends, Bootstrap};
use certctl_inventory::CertificateVersion;
use certctl_kernel::Secret;
use serde_json::{Value, json};
use std::sync::Arc;

const CHAIN: &str = include_str!("fixtures/chain.pem");

async fn with_catalogue() -> TestDatabase {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    db
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// What a refusal says: status, code, and the member it names.
fn refusal(status: u16, body: &Value) -> (u16, String, String) {
    (status, text(&body["code"]), body["errors"][0]["field"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.to_owned(), field.to_owned())
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

/// A key with one role.
macro_rules! key {
    ($edge:expr, $admin:expr, $name:expr, $role:expr) => {{
        let body = json!({"name": $name, "roles": [$role]});
        let (status, made) = send!($edge, POST "/api/v1/auth/api-keys", Some($admin), Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

/// Creates an object and gives it back.
macro_rules! made {
    ($edge:expr, $key:expr, $path:expr, $body:expr) => {{
        let (status, made) = send!($edge, POST $path, Some($key), Some($body));
        assert_eq!(status, 201, "{made}");
        made
    }};
}

/// Team, owner, issuer and certificate `web`.
macro_rules! furnished {
    ($edge:expr, $key:expr) => {{
        made!($edge, $key, "/api/v1/teams", json!({"id": "t-web", "name": "Web"}));
        made!($edge, $key, "/api/v1/owners", json!({"id": "o-ada", "name": "Ada", "team_id": "t-web"}));
        made!($edge, $key, "/api/v1/issuers", json!({"id": "iss-1", "name": "Local", "type": "local"}));
        made!($edge, $key, "/api/v1/certificates", certificate("web"))
    }};
}

fn certificate(name: &str) -> Value {
    json!({
        "id": format!("mc-{name}"), "name": name, "common_name": format!("{name}.example.com"),
        "sans": [format!("{name}.example.com")], "environment": "production", "owner_id": "o-ada", "team_id": "t-web",
        "issuer_id": "iss-1", "renewal_policy_id": "rp-default", "tags": {"tier": "1"},
    })
}

#[tokio::test]
async fn teams_live_their_life_over_http() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let team = made!(edge, &admin, "/api/v1/teams", json!({"name": " Web ", "description": "the edge"}));
    assert_eq!((&team["name"], &team["description"]), (&json!("Web"), &json!("the edge")));
    assert_eq!(team["created_at"], json!("2026-03-01T12:00:00Z"));
    let path = format!("/api/v1/teams/{}", text(&team["id"]));

    let (status, clash) = send!(edge, POST "/api/v1/teams", Some(&admin), Some(json!({"name": "WEB"})));
    assert_eq!((status, text(&clash["code"])), (409, "conflict".to_owned()));
    assert_eq!((&clash["field"], &clash["existing_id"]), (&json!("name"), &team["id"]));
    let (status, blank) = send!(edge, POST "/api/v1/teams", Some(&admin), Some(json!({"name": " ", "id": "../x"})));
    assert_eq!(refusal(status, &blank), refused(400, "validation_failed", "id"));

    // Absent stays, null clears, an empty name means unchanged, and read-only members are passed over.
    let change = json!({"id": "other", "name": "", "description": null, "created_at": "2000-01-01T00:00:00Z"});
    let (status, changed) = send!(edge, PUT & path, Some(&admin), Some(change));
    assert_eq!((status, &changed["name"], &changed["description"]), (200, &json!("Web"), &json!("")));
    assert_eq!((&changed["id"], &changed["created_at"]), (&team["id"], &team["created_at"]));

    let (status, null) = send!(edge, PUT & path, Some(&admin), Some(json!({"name": null})));
    assert_eq!(refusal(status, &null), refused(400, "validation_failed", "name"));

    let stale = request(Method::PUT, &path, Some(&admin), Some(json!({"name": "Edge"})))
        .insert_header(("If-Match", "\"1700000000000000-1\""))
        .to_request();
    assert_eq!(actix_web::test::call_service(&edge, stale).await.status(), 412);

    made!(edge, &admin, "/api/v1/owners", json!({"id": "o-1", "name": "Ada", "team_id": team["id"]}));
    let (status, held) = send!(edge, DELETE & path, Some(&admin));
    assert_eq!((status, text(&held["code"])), (409, "dependency_blocked".to_owned()));
    assert_eq!(send!(edge, DELETE "/api/v1/owners/o-1", Some(&admin)), (204, Value::Null));
    assert_eq!(send!(edge, DELETE & path, Some(&admin)), (204, Value::Null));
    let (status, gone) = send!(edge, GET & path, Some(&admin));
    assert_eq!((status, text(&gone["code"])), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn wrong_members_are_refused_by_name() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    furnished!(edge, &admin);
    let with = |member: &str, value: Value| {
        let mut body = certificate("new");
        body[member] = value;
        body
    };
    let post = [
        ("/api/v1/owners", json!({"name": "A", "team_id": "t-web", "email": "no address"}), "email"),
        ("/api/v1/owners", json!({"name": "A", "team_id": "t-none"}), "team_id"),
        ("/api/v1/profiles", json!({"name": "p", "required_san_patterns": ["("]}), "required_san_patterns[0]"),
        ("/api/v1/profiles", json!({"name": "p", "allowed_ekus": ["tls"]}), "allowed_ekus[0]"),
        ("/api/v1/profiles", json!({"name": "p", "acme_auth_mode": "trust"}), "acme_auth_mode"),
        ("/api/v1/profiles", json!({"name": "p", "default_owner_id": "nobody"}), "default_owner_id"),
        ("/api/v1/renewal-policies", json!({"name": "r", "renewal_window_days": 0}), "renewal_window_days"),
        ("/api/v1/renewal-policies", json!({"name": "r", "alert_channels": {"red": []}}), "alert_channels.red"),
        ("/api/v1/issuers", json!({"name": "i", "type": "vaultpki"}), "type"),
        ("/api/v1/issuers", json!({"name": "i", "type": "local", "config": {"x": 1}}), "config.x"),
        ("/api/v1/issuers", json!({"name": "i", "type": "local", "hierarchy_mode": "tree"}), "hierarchy_mode"),
        ("/api/v1/certificates", with("common_name", json!("a b")), "common_name"),
        ("/api/v1/certificates", with("sans", json!(["*"])), "sans"),
        ("/api/v1/certificates", with("issuer_id", json!("iss-none")), "issuer_id"),
        ("/api/v1/certificates", with("target_ids", json!(["tgt-none"])), "target_ids"),
        ("/api/v1/certificates", with("pem_chain", json!(CHAIN)), "pem_chain"),
        ("/api/v1/certificates", with("colour", json!("red")), "colour"),
    ];
    for (path, body, field) in post {
        let (status, answer) = send!(edge, POST path, Some(&admin), Some(body));
        assert_eq!(refusal(status, &answer), refused(400, "validation_failed", field), "{path} {answer}");
    }
    let (status, list) = send!(edge, GET "/api/v1/certificates", Some(&admin));
    assert_eq!((status, &list["total"]), (200, &json!(1)), "nothing was kept of what was refused");
}

#[tokio::test]
async fn profiles_take_their_defaults_and_answer_in_full() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let made = made!(edge, &admin, "/api/v1/profiles", json!({"id": "prof-1", "name": "web", "allowed_ekus": []}));
    assert_eq!(
        made,
        json!({
            "id": "prof-1", "name": "web", "description": "",
            "allowed_key_algorithms": [
                {"algorithm": "ECDSA", "min_size": 256}, {"algorithm": "RSA", "min_size": 2048}],
            "max_ttl_seconds": 0, "allowed_ekus": ["serverAuth"], "required_san_patterns": [],
            "spiffe_uri_pattern": "", "allow_short_lived": false, "must_staple": false,
            "acme_auth_mode": "trust_authenticated", "requires_approval": false, "allow_wildcards": true,
            "enabled": true, "created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:00:00Z",
        })
    );
    let change = json!({"max_ttl_seconds": 86400});
    let (status, changed) = send!(edge, PUT "/api/v1/profiles/prof-1", Some(&admin), Some(change));
    assert_eq!((status, &changed["max_ttl_seconds"], &changed["name"]), (200, &json!(86400), &json!("web")));
    let (status, asked) =
        send!(edge, PUT "/api/v1/profiles/prof-1", Some(&admin), Some(json!({"requires_approval": true})));
    assert_eq!((status, text(&asked["status"])), (202, "pending_approval".to_owned()));
    let (status, stored) = send!(edge, GET "/api/v1/profiles/prof-1", Some(&admin));
    assert_eq!((status, &stored["requires_approval"]), (200, &json!(false)), "nothing is changed yet");
}

#[tokio::test]
async fn a_certificate_is_declared_changed_and_archived() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let mut wanted = certificate("shop");
    let made = furnished!(edge, &admin);
    assert_eq!(made["expires_at"], json!("0001-01-01T00:00:00Z"));
    assert_eq!((&made["status"], &made["source"], &made["target_ids"]), (&json!("Pending"), &json!("API"), &json!([])));
    assert_eq!(made.get("certificate_profile_id"), None, "absent, not null");

    // What only the server writes is passed over, on creation and in a change.
    wanted["status"] = json!("Active");
    wanted["expires_at"] = json!("2030-01-01T00:00:00Z");
    let shop = made!(edge, &admin, "/api/v1/certificates", wanted);
    assert_eq!((&shop["status"], &shop["expires_at"]), (&json!("Pending"), &json!("0001-01-01T00:00:00Z")));
    let mut whole = shop.clone();
    whole["common_name"] = json!("Store.example.com");
    whole["status"] = json!("Revoked");
    let (status, changed) = send!(edge, PUT "/api/v1/certificates/mc-shop", Some(&admin), Some(whole));
    assert_eq!((status, &changed["common_name"]), (200, &json!("store.example.com")), "{changed}");
    assert_eq!(changed["status"], json!("Pending"));
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=certificate_updated", Some(&admin));
    let changes = &trail["data"][0]["details"]["changes"];
    assert_eq!(changes, &json!({"common_name": ["shop.example.com", "store.example.com"]}));

    assert_eq!(send!(edge, DELETE "/api/v1/certificates/mc-shop", Some(&admin)), (204, Value::Null));
    let (status, archived) = send!(edge, GET "/api/v1/certificates/mc-shop", Some(&admin));
    assert_eq!((status, &archived["status"]), (200, &json!("Archived")));
    let (status, again) = send!(edge, DELETE "/api/v1/certificates/mc-shop", Some(&admin));
    assert_eq!((status, text(&again["code"])), (409, "archived".to_owned()));
    let (_, all) = send!(edge, GET "/api/v1/certificates", Some(&admin));
    let (_, live) = send!(edge, GET "/api/v1/certificates?include_archived=false", Some(&admin));
    assert_eq!((&all["total"], &live["total"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn lists_sort_project_and_refuse_what_they_do_not_know() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    furnished!(edge, &admin);
    for name in ["api", "shop"] {
        made!(edge, &admin, "/api/v1/certificates", certificate(name));
    }
    let (_, list) = send!(edge, GET "/api/v1/certificates?sort=-name&fields=name,status,shoe&per_page=2", Some(&admin));
    assert_eq!(list["data"], json!([{"name": "web", "status": "Pending"}, {"name": "shop", "status": "Pending"}]));
    assert_eq!((&list["total"], &list["page"], &list["per_page"]), (&json!(3), &json!(1), &json!(2)));
    let path = format!("/api/v1/certificates?sort=-name&cursor={}", text(&list["next_cursor"]));
    let (_, rest) = send!(edge, GET & path, Some(&admin));
    assert_eq!((&rest["data"][0]["name"], &rest["total"]), (&json!("api"), &json!(3)));
    assert_eq!((rest.get("next_cursor"), rest.get("page")), (None, None));
    let foreign = path.replace("sort=-name", "sort=name");
    let (status, body) = send!(edge, GET & foreign, Some(&admin));
    assert_eq!(refusal(status, &body), refused(400, "validation_failed", "cursor"));
    for (query, field) in [
        ("sort=size", "sort"),
        ("status=Alive", "status"),
        ("expires_before=soon", "expires_before"),
        ("q=x", "q"),
        ("colour=red", "colour"),
    ] {
        let path = format!("/api/v1/certificates?{query}");
        let (status, body) = send!(edge, GET & path, Some(&admin));
        assert_eq!(refusal(status, &body), refused(400, "validation_failed", field), "{query}");
    }
    let (_, found) =
        send!(edge, GET "/api/v1/certificates?q=SHOP.ex&status=pending&expires_before=2030-01-01", Some(&admin));
    assert_eq!(found["total"], json!(0), "what was never issued does not end before a date");
    let (_, found) = send!(edge, GET "/api/v1/certificates?q=SHOP.ex&status=pending", Some(&admin));
    assert_eq!(found["total"], json!(1));
    let (_, issuers) = send!(edge, GET "/api/v1/issuers?type=local&enabled=true", Some(&admin));
    assert_eq!((&issuers["total"], &issuers["data"][0]["type"]), (&json!(1), &json!("GenericCA")));
}

#[tokio::test]
async fn a_viewer_reads_and_neither_writes_nor_exports() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    furnished!(edge, &admin);
    let viewer = key!(edge, &admin, "looker", "viewer");
    assert_eq!(send!(edge, GET "/api/v1/certificates/mc-web", Some(&viewer)).0, 200);
    assert_eq!(send!(edge, POST "/api/v1/certificates", Some(&viewer), Some(certificate("x"))).0, 403);
    assert_eq!(send!(edge, DELETE "/api/v1/certificates/mc-web", Some(&viewer)).0, 403);
    assert_eq!(send!(edge, GET "/api/v1/certificates/mc-web/export/pem", Some(&viewer)).0, 403);
    assert_eq!(send!(edge, POST "/api/v1/teams", Some(&viewer), Some(json!({"name": "x"}))).0, 403);
    assert_eq!(send!(edge, GET "/api/v1/certificates", None).0, 401);
}

#[tokio::test]
async fn a_caller_of_one_issuer_sees_and_moves_only_its_certificates() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    furnished!(edge, &admin);
    made!(edge, &admin, "/api/v1/issuers", json!({"id": "iss-2", "name": "Other", "type": "local"}));
    let mut elsewhere = certificate("far");
    elsewhere["issuer_id"] = json!("iss-2");
    made!(edge, &admin, "/api/v1/certificates", elsewhere);
    let scoped = key!(edge, &admin, "scoped", "operator");
    db.session()
        .await
        .execute("UPDATE iam.grants SET scope_type = 'issuer', scope_id = 'iss-1' WHERE actor_id = 'scoped'", &[])
        .await
        .expect("a narrower grant");
    let (status, list) = send!(edge, GET "/api/v1/certificates", Some(&scoped));
    assert_eq!((status, &list["total"], &list["data"][0]["id"]), (200, &json!(1), &json!("mc-web")), "{list}");
    assert_eq!(send!(edge, GET "/api/v1/certificates/mc-far", Some(&scoped)).0, 403);
    let away = json!({"issuer_id": "iss-2"});
    assert_eq!(send!(edge, PUT "/api/v1/certificates/mc-web", Some(&scoped), Some(away)).0, 403);
    assert_eq!(send!(edge, PUT "/api/v1/certificates/mc-web", Some(&scoped), Some(json!({"tags": {}}))).0, 200);
}

#[tokio::test]
async fn an_issued_certificate_is_exported_and_each_export_leaves_its_event() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    furnished!(edge, &admin);
    let (status, none) = send!(edge, GET "/api/v1/certificates/mc-web/export/pem", Some(&admin));
    assert_eq!((status, text(&none["code"])), (404, "no_version".to_owned()));

    let leaf = certctl_x509::certificate::inspect_pem(CHAIN).expect("the fixture");
    let mut tx = db.begin().await;
    tx.record_version(
        &CertificateVersion {
            id: "cv-1".to_owned(),
            certificate_id: "mc-web".to_owned(),
            issuer_id: "iss-1".to_owned(),
            ca_id: None,
            seq: 0,
            serial_number: leaf.serial.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            fingerprint_sha256: leaf.fingerprint_sha256.clone(),
            pem_chain: CHAIN.to_owned(),
            csr_pem: String::new(),
            key_algorithm: "ECDSA".to_owned(),
            key_size: 256,
            profile_id: None,
            source: "API".to_owned(),
            job_id: None,
            requested_by: "admin".to_owned(),
            spki_sha256: leaf.spki_sha256.clone(),
            subject_dn: leaf.subject_dn.clone(),
            issuer_dn: leaf.issuer_dn.clone(),
            sans: leaf.sans.clone(),
            revocation_exempt: false,
            created_at: db.ambient.now(),
        },
        None,
    )
    .await
    .expect("recorded");
    tx.save_unaudited("a test").await.expect("saved");

    let (status, versions) = send!(edge, GET "/api/v1/certificates/mc-web/versions", Some(&admin));
    assert_eq!((status, &versions["data"][0]["serial_number"]), (200, &json!(leaf.serial)));
    let (status, pem) = send!(edge, GET "/api/v1/certificates/mc-web/export/pem", Some(&admin));
    assert_eq!(status, 200, "{pem}");
    let whole = text(&pem["cert_pem"]) + &text(&pem["chain_pem"]);
    assert_eq!((whole.as_str(), text(&pem["full_pem"]).as_str()), (CHAIN, CHAIN));

    let download = request(Method::GET, "/api/v1/certificates/mc-web/export/pem?download=true", Some(&admin), None);
    let response = actix_web::test::call_service(&edge, download.to_request()).await;
    let header = |name: &str| response.headers().get(name).expect(name).to_str().expect("text").to_owned();
    assert_eq!(header("content-type"), "application/x-pem-file");
    assert_eq!(header("content-disposition"), "attachment; filename=\"web.example.com.pem\"");
    assert_eq!(actix_web::test::read_body(response).await, CHAIN.as_bytes());

    let body = Some(json!({"password": ""}));
    let pack = request(Method::POST, "/api/v1/certificates/mc-web/export/pkcs12", Some(&admin), body);
    let response = actix_web::test::call_service(&edge, pack.to_request()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers().get("content-type").expect("a type"), "application/x-pkcs12");
    let der = actix_web::test::read_body(response).await;
    assert!(der.starts_with(&[0x30, 0x82]), "a DER sequence");

    let (_, trail) = send!(edge, GET "/api/v1/audit?resource_id=mc-web&category=cert_lifecycle", Some(&admin));
    let actions: Vec<_> = trail["data"].as_array().expect("events").iter().map(|e| text(&e["action"])).collect();
    assert_eq!(
        actions,
        ["cert_export_pkcs12", "cert_export_pem", "cert_export_pem", "cert_export_failed", "certificate_created"]
    );
    assert_eq!(trail["data"][0]["details"]["empty_password"], json!(true));
    assert_eq!(trail["data"][1]["details"]["serial"], json!(leaf.serial));
    assert_eq!(trail["data"][0]["actor"], json!("admin"));
}

#[tokio::test]
async fn a_repeated_creation_with_one_key_makes_one_object() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let create = || {
        request(Method::POST, "/api/v1/teams", Some(&admin), Some(json!({"name": "Web"})))
            .insert_header(("Idempotency-Key", "once"))
            .to_request()
    };
    let first = actix_web::test::call_service(&edge, create()).await;
    let second = actix_web::test::call_service(&edge, create()).await;
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (201, 201));
    assert_eq!(actix_web::test::read_body(first).await, actix_web::test::read_body(second).await);
    let (_, list) = send!(edge, GET "/api/v1/teams", Some(&admin));
    assert_eq!(list["total"], json!(1));
}

/// The edge with local CAs behind it.
fn with_authorities(db: &TestDatabase) -> AppConfig {
    let state: Arc<AppState> = crate::edge::config(db).state.into_inner();
    let state = Arc::try_unwrap(state).unwrap_or_else(|_| panic!("nobody else has the state yet"));
    let sealer = crate::ca::sealer();
    let state = state.with(Backends {
        issuers: Arc::new(crate::ca::registry(&db.ambient, &sealer)),
        sealer,
        keys: Arc::new(certctl_signers::RingKeys::new()),
        targets: Arc::new(certctl_targets::Catalogue),
        status: certctl_revocation::StatusSettings::default(),
        enrolment: certctl_agents::EnrolmentToken::new(None),
    });
    AppConfig::new(state, Bootstrap::new(Some(Secret::new(TOKEN.to_owned()))))
}

#[tokio::test]
async fn an_issuer_comes_with_its_root_or_not_at_all() {
    let db = with_catalogue().await;
    let edge = actix_web::test::init_service(certctl_http::application!(&with_authorities(&db))).await;
    let admin = admin!(edge);
    let missing = json!({
        "id": "iss-file", "name": "File", "type": "local",
        "config": {"ca_cert_path": "/nonexistent/ca.pem", "ca_key_path": "/nonexistent/ca.key"},
    });
    let (status, body) = send!(edge, POST "/api/v1/issuers", Some(&admin), Some(missing));
    assert_eq!(refusal(status, &body), refused(400, "validation_failed", "config"), "{body}");
    assert_eq!(send!(edge, GET "/api/v1/issuers/iss-file", Some(&admin)).0, 404, "nothing was kept");

    made!(edge, &admin, "/api/v1/issuers", json!({"id": "iss-1", "name": "Local", "type": "local"}));
    let session = db.session().await;
    let root = session
        .query_one(
            "SELECT i.issuing_ca_id = c.id, c.kind, c.state, c.sealed_key IS NOT NULL FROM ca.issuers i \
             JOIN ca.ca_certificates c ON c.issuer_id = i.id",
            &[],
        )
        .await
        .expect("one issuer with one root");
    assert_eq!(
        (root.get(0), root.get(1), root.get(2), root.get(3)),
        (Some(true), "root".to_owned(), "active".to_owned(), true)
    );
    assert_eq!(send!(edge, DELETE "/api/v1/issuers/iss-1", Some(&admin)), (204, Value::Null));
}
