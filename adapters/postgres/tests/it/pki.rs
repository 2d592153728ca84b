//! Issuing, status and revocation through the HTTP edge, judged by openssl where it can judge.

use crate::edge::{TOKEN, request, send};
use crate::support::TestDatabase;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, read_body};
use certctl_http::{AppConfig, AppState, Backends, Bootstrap};
use certctl_kernel::Secret;
use certctl_port_issuer::IssuerRegistry;
use certctl_revocation::StatusSettings;
use certctl_signers::RingKeys;
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// openssl judges by the machine's clock, so the test's stands where that one does.
#[expect(clippy::disallowed_methods, reason = "the judge's clock can't be set")]
pub async fn prepared() -> TestDatabase {
    let db = TestDatabase::new().await;
    let now = time::OffsetDateTime::now_utc();
    db.clock.set(now.replace_nanosecond(0).expect("zero is in range"));
    let mut unit = db.begin().await;
    unit.sync_catalogue().await.expect("a catalogue");
    unit.save_unaudited("the catalogue is the code's").await.expect("saved");
    db
}

/// The edge with a local CA behind it, hearing every change.
pub fn config(db: &TestDatabase) -> AppConfig {
    let state: Arc<AppState> = crate::edge::config(db).state.into_inner();
    let state = Arc::try_unwrap(state).unwrap_or_else(|_| panic!("nobody else has the state yet"));
    let sealer = crate::ca::sealer();
    let issuers: Arc<dyn IssuerRegistry> = Arc::new(crate::ca::registry(&db.ambient, &sealer));
    let state = state.with(Backends {
        sealer,
        keys: Arc::new(RingKeys::new()),
        issuers,
        targets: Arc::new(certctl_targets::Catalogue),
        status: StatusSettings::default(),
        enrolment: certctl_agents::EnrolmentToken::new(None),
    });
    state.status().expect("backends").on_connect();
    AppConfig::new(state, Bootstrap::new(Some(Secret::new(TOKEN.to_owned()))))
}

macro_rules! service {
    ($config:expr) => {
        actix_web::test::init_service(certctl_http::application!($config)).await
    };
}

macro_rules! administrator {
    ($edge:expr) => {{
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (status, made) = send!($edge, POST "/api/v1/auth/bootstrap", None, Some(body));
        assert_eq!(status, 201, "{made}");
        made["key_value"].as_str().expect("text").to_owned()
    }};
}

/// Status, content type, Cache-Control, ETag and octets.
macro_rules! fetch {
    ($edge:expr, $request:expr) => {{
        let response = call_service(&$edge, $request.to_request()).await;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let facts = (response.status().as_u16(), header("content-type"), header("cache-control"), header("etag"));
        (facts, read_body(response).await)
    }};
}

pub(crate) use {administrator, service};

pub fn get(path: &str) -> TestRequest {
    TestRequest::with_uri(path)
}

pub fn openssl(folder: &Path, arguments: &str) -> (bool, String) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("the tests need the openssl command");
    let text = [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat();
    (output.status.success(), text)
}

pub fn put(folder: &Path, name: &str, octets: &[u8]) {
    fs::write(folder.join(name), octets).expect("a file");
}

#[actix_web::test]
async fn o01_o06_r11_openssl_agrees_on_chain_list_and_status_before_and_after_a_revocation() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let issuer = &certificate.issuer_id;

    let path = format!("/api/v1/certificates/{}/versions", certificate.id);
    let body = json!({"csr_pem": crate::status::request(&certificate.sans)});
    let (status, version) = send!(edge, POST & path, Some(&admin), Some(body));
    assert_eq!((status, &version["version"]), (201, &json!(1)), "{version}");
    put(folder, "leaf.pem", version["pem_chain"].as_str().expect("text").as_bytes());

    let (facts, ca_der) = fetch!(edge, get(&format!("/.well-known/pki/ca/{issuer}.cer")));
    assert_eq!((facts.0, facts.1.as_str()), (200, "application/pkix-cert"));
    put(folder, "ca.der", &ca_der);
    assert!(openssl(folder, "x509 -inform DER -in ca.der -out ca.pem").0);

    let list = format!("/.well-known/pki/crl/{issuer}");
    let (facts, crl) = fetch!(edge, get(&list));
    assert_eq!((facts.0, facts.1.as_str()), (200, "application/pkix-crl"));
    assert_eq!(facts.2, "max-age=3600, public, no-transform, must-revalidate");
    let etag = facts.3;
    let (facts, _) = fetch!(edge, get(&list).insert_header(("If-None-Match", etag.as_str())));
    assert_eq!((facts.0, &facts.3), (304, &etag));
    let check = |crl: &[u8]| {
        put(folder, "crl.der", crl);
        let (read, text) = openssl(folder, "crl -inform DER -in crl.der -out crl.pem -CAfile ca.pem");
        assert!(read && text.contains("verify OK"), "{text}");
        openssl(folder, "verify -crl_check -CAfile ca.pem -CRLfile crl.pem leaf.pem")
    };
    assert!(check(&crl).0, "in force before");

    let respond = format!("/.well-known/pki/ocsp/{issuer}");
    let judge = |answer: &[u8]| {
        put(folder, "answer.der", answer);
        let (fine, text) =
            openssl(folder, "ocsp -no_nonce -respin answer.der -issuer ca.pem -cert leaf.pem -CAfile ca.pem");
        assert!(fine && text.contains("Response verify OK"), "{text}");
        text
    };
    for form in ["", "-sha256 ", "-no_nonce ", "-sha256 -no_nonce "] {
        // openssl takes the hash for the certificates named after it.
        let (hash, nonce) = (form.contains("sha256"), form.contains("no_nonce"));
        let arguments = format!(
            "ocsp {}-issuer ca.pem {}-cert leaf.pem -reqout request.der",
            if nonce { "-no_nonce " } else { "" },
            if hash { "-sha256 " } else { "" }
        );
        assert!(openssl(folder, &arguments).0, "{arguments}");
        let der = fs::read(folder.join("request.der")).expect("a request");
        let post = TestRequest::with_uri(&respond)
            .method(Method::POST)
            .insert_header(("Content-Type", "application/ocsp-request"))
            .set_payload(der.clone());
        let (facts, answer) = fetch!(edge, post);
        assert_eq!((facts.0, facts.1.as_str(), facts.2.as_str()), (200, "application/ocsp-response", "no-store"));
        // Named beside a certificate, openssl asks for it with SHA-1 whatever the request said.
        if !hash {
            assert!(judge(&answer).contains("leaf.pem: good"));
        }
        put(folder, "answer.der", &answer);
        let (fine, text) = openssl(folder, "ocsp -reqin request.der -respin answer.der -issuer ca.pem -CAfile ca.pem");
        assert!(fine && text.contains("Response verify OK") && !text.contains("WARNING"), "{form}: {text}");
        let escaped = BASE64.encode(&der).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        let (facts, by_get) = fetch!(edge, get(&format!("{respond}/{escaped}")));
        assert_eq!((facts.0, facts.1.as_str()), (200, "application/ocsp-response"));
        assert_eq!(facts.2.starts_with("max-age="), nonce, "{form}: {}", facts.2);
        assert_eq!(by_get == answer, nonce, "an answer without nonce is kept: {form}");
    }

    let revoke = format!("/api/v1/certificates/{}/revoke", certificate.id);
    let (status, revoked) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "key_compromise"})));
    assert_eq!((status, &revoked["status"]), (200, &json!("revoked")), "{revoked}");
    assert_eq!(revoked["serials"], json!([version["serial_number"]]));
    let (status, again) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "keyCompromise"})));
    assert_eq!((status, &again["already"]), (200, &json!(true)));
    let (status, refused) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "superseded"})));
    assert_eq!((status, &refused["code"]), (409, &json!("already_revoked")));
    let (status, unknown) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "bored"})));
    assert_eq!((status, &unknown["errors"][0]["field"]), (400, &json!("reason")));

    let serial = version["serial_number"].as_str().expect("text");
    let (facts, answer) = fetch!(edge, get(&format!("{respond}/{serial}")));
    assert_eq!(facts.0, 200);
    let text = judge(&answer);
    assert!(text.contains("leaf.pem: revoked") && text.contains("Reason: keyCompromise"), "{text}");
    let (_, crl) = fetch!(edge, get(&format!("{list}.crl")));
    let (valid, text) = check(&crl);
    assert!(!valid && text.contains("certificate revoked"), "{text}");
    let (status, rows) = send!(edge, GET "/api/v1/admin/crl/cache", Some(&admin));
    assert_eq!((status, &rows["row_count"]), (200, &json!(1)));
    let row = &rows["cache_rows"][0];
    assert_eq!((&row["revoked_count"], &row["is_stale"]), (&json!(1), &json!(false)), "{rows}");
}

#[actix_web::test]
async fn a_cached_answer_needs_no_database_and_without_one_nothing_else_is_claimed() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let path = format!("/api/v1/certificates/{}/versions", certificate.id);
    let mut serials = Vec::new();
    for _ in 0..2 {
        let body = json!({"csr_pem": crate::status::request(&certificate.sans)});
        let (status, version) = send!(edge, POST & path, Some(&admin), Some(body));
        assert_eq!(status, 201, "{version}");
        serials.push(version["serial_number"].as_str().expect("text").to_owned());
    }
    let respond = format!("/.well-known/pki/ocsp/{}", certificate.issuer_id);
    let (_, first) = fetch!(edge, get(&format!("{respond}/{}", serials[0])));
    db.postgres.close();
    let (facts, second) = fetch!(edge, get(&format!("{respond}/{}", serials[0])));
    assert_eq!((facts.0, second), (200, first));
    let try_later = actix_web::web::Bytes::from_static(&[0x30, 0x03, 0x0A, 0x01, 0x03]);
    let (facts, other) = fetch!(edge, get(&format!("{respond}/{}", serials[1])));
    assert_eq!((facts.0, facts.2.as_str(), other), (200, "no-store", try_later.clone()));
    // Once changes may go unheard, not even the answer at hand is given.
    config.state.status().expect("backends").on_disconnect();
    let (_, distrusted) = fetch!(edge, get(&format!("{respond}/{}", serials[0])));
    assert_eq!(distrusted, try_later);
}

#[actix_web::test]
async fn o11_refusals_speak_ocsp_and_unknown_issuers_and_bodies_are_told_apart() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let status_of = |octets: &[u8]| octets.get(4).copied();
    let (facts, answer) = fetch!(edge, get("/.well-known/pki/ocsp/nobody/00ff"));
    assert_eq!((facts.0, facts.1.as_str(), status_of(&answer)), (404, "application/ocsp-response", Some(6)));
    let (facts, _) = fetch!(edge, get("/.well-known/pki/crl/nobody"));
    assert_eq!(facts.0, 404);

    // The issuer has no root before its first use; its test makes one.
    let test = format!("/api/v1/issuers/{}/test", certificate.issuer_id);
    let (status, tested) = send!(edge, POST & test, Some(&admin), Some(json!({})));
    assert_eq!((status, tested), (200, json!({"status": "connection_successful"})));
    let respond = format!("/.well-known/pki/ocsp/{}", certificate.issuer_id);
    let post = |media: &'static str, body: Vec<u8>| {
        TestRequest::with_uri(&respond).method(Method::POST).insert_header(("Content-Type", media)).set_payload(body)
    };
    let (facts, answer) = fetch!(edge, post("application/ocsp-request", b"garbage".to_vec()));
    assert_eq!((facts.0, status_of(&answer)), (200, Some(1)));
    let (facts, answer) = fetch!(edge, post("application/ocsp-request", vec![0x30; 5000]));
    assert_eq!((facts.0, status_of(&answer)), (200, Some(1)));
    let (facts, _) = fetch!(edge, post("application/json", b"{}".to_vec()));
    assert_eq!(facts.0, 415);
    let (facts, answer) = fetch!(edge, get(&format!("{respond}/{}", "7b".repeat(20))));
    assert_eq!((facts.0, facts.2.as_str()), (200, "no-store"), "a serial never issued is not to be kept");
    assert!(answer.len() > 100);

    let path = format!("/api/v1/certificates/{}/versions", certificate.id);
    let body = json!({"csr_pem": crate::status::request(&["evil.example".to_owned()])});
    let (status, refused) = send!(edge, POST & path, Some(&admin), Some(body));
    assert_eq!(
        (status, &refused["code"], &refused["errors"][0]["field"]),
        (422, &json!("san_not_authorised"), &json!("csr_pem"))
    );
    let (status, events) = send!(edge, GET "/api/v1/audit?action=certificate_issuance_refused", Some(&admin));
    assert_eq!((status, &events["total"]), (200, &json!(1)), "{events}");
    let body: Value = json!({"csr_pem": "x"});
    let refused = call_service(&edge, request(Method::POST, &path, Some(&admin), Some(body)).to_request()).await;
    assert_eq!(refused.status().as_u16(), 400);
}
