//! Revoking one, many and for a while, through the edge; what OCSP and CRL say of it.

use crate::edge::{TOKEN, send};
use crate::pki::{administrator, config, get, openssl, prepared, put, service};
use crate::support::TestDatabase;
use actix_web::test::{call_service, read_body};
use certctl_inventory::Certificate;
use certctl_x509::{crl, ocsp};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BULK: &str = "/api/v1/certificates/bulk-revoke";

macro_rules! issued {
    ($edge:expr, $admin:expr, $certificate:expr) => {{
        let path = format!("/api/v1/certificates/{}/versions", $certificate.id);
        let body = json!({"csr_pem": crate::status::request(&$certificate.sans)});
        let (status, version) = send!($edge, POST & path, Some(&$admin), Some(body));
        assert_eq!(status, 201, "{version}");
        version["serial_number"].as_str().expect("text").to_owned()
    }};
}

macro_rules! octets {
    ($edge:expr, $path:expr) => {{
        let response = call_service(&$edge, get(&$path).to_request()).await;
        assert_eq!(response.status().as_u16(), 200, "{}", $path);
        read_body(response).await
    }};
}

/// The certificate's row and version copied `count` times, as if each had been issued.
async fn copies(db: &TestDatabase, certificate: &Certificate, count: i32) {
    let session = db.session().await;
    session
        .execute(
            "INSERT INTO inventory.certificates (id, tenant_id, name, common_name, sans, owner_id, team_id, issuer_id, \
               renewal_policy_id, status, state_entered_at, source, created_at, updated_at) \
             SELECT 'bulk-' || lpad(n::text, 5, '0'), tenant_id, 'bulk-' || n, n || '.bulk.example', sans, owner_id, \
               team_id, issuer_id, renewal_policy_id, 'RenewalInProgress', created_at, \
               CASE n % 2 WHEN 0 THEN 'EST' ELSE 'API' END, created_at, updated_at \
             FROM generate_series(1, $2) n, inventory.certificates c WHERE c.id = $1",
            &[&certificate.id, &count],
        )
        .await
        .expect("certificates");
    session
        .execute(
            "INSERT INTO inventory.certificate_versions (id, certificate_id, issuer_id, ca_id, seq, serial_number, \
               not_before, not_after, fingerprint_sha256, pem_chain, key_algorithm, key_size, source, requested_by, \
               spki_sha256, subject_dn, issuer_dn, sans, revocation_exempt, created_at) \
             SELECT 'bulkv-' || n, 'bulk-' || lpad(n::text, 5, '0'), issuer_id, ca_id, 1, lpad(to_hex(n), 40, '0'), \
               not_before, not_after, lpad(to_hex(n), 64, '0'), pem_chain, key_algorithm, key_size, source, \
               requested_by, lpad(to_hex(n), 64, '0'), subject_dn, issuer_dn, sans, false, created_at \
             FROM generate_series(1, $2) n, inventory.certificate_versions v WHERE v.certificate_id = $1",
            &[&certificate.id, &count],
        )
        .await
        .expect("versions");
    session
        .execute(
            "UPDATE inventory.certificates c SET current_version_id = v.id, status = 'Active' \
             FROM inventory.certificate_versions v WHERE v.certificate_id = c.id AND v.id LIKE 'bulkv-%'",
            &[],
        )
        .await
        .expect("current versions");
}

async fn count(db: &TestDatabase, sql: &str) -> i64 {
    db.session().await.query_one(sql, &[]).await.expect("a count").get(0)
}

fn totals(answer: &Value) -> [u64; 4] {
    ["total_matched", "total_revoked", "total_skipped", "total_failed"].map(|name| answer[name].as_u64().expect(name))
}

#[actix_web::test]
async fn w04_bulk_revocation_reaches_every_row_with_exact_counts_and_each_is_shown_and_audited() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let _serial = issued!(edge, admin, certificate);
    copies(&db, &certificate, 1203).await;
    let order = |more: Value| {
        let mut body = json!({"reason": "cessation_of_operation", "common_name_suffix": ".BULK.example"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Some(body)
    };
    let (status, plan) = send!(edge, POST BULK, Some(&admin), order(json!({"dry_run": true})));
    assert_eq!((status, totals(&plan)), (200, [1203, 1203, 0, 0]), "{plan}");
    assert_eq!(count(&db, "SELECT count(*) FROM status.revocations").await, 0, "a dry run revokes nothing");

    for guard in [json!({"expected_count": 1202}), json!({"max_count": 1202}), json!({"plan_hash": "00"})] {
        let (status, refused) = send!(edge, POST BULK, Some(&admin), order(guard));
        assert_eq!(status, 409, "{refused}");
    }
    assert_eq!(count(&db, "SELECT count(*) FROM status.revocations").await, 0);

    let guards = json!({"expected_count": 1203, "plan_hash": plan["plan_hash"]});
    let (status, done) = send!(edge, POST BULK, Some(&admin), order(guards));
    assert_eq!((status, totals(&done)), (200, [1203, 1203, 0, 0]), "{done}");
    assert_eq!(done.get("errors"), None);
    assert_eq!(count(&db, "SELECT count(*) FROM status.revocations WHERE removed_at IS NULL").await, 1203);
    assert_eq!(count(&db, "SELECT count(*) FROM inventory.certificates WHERE status = 'Revoked'").await, 1203);
    let audited = "SELECT count(*) FROM audit.events WHERE action = 'certificate_revoked'";
    assert_eq!(count(&db, audited).await, 1203);
    let whole = "SELECT count(*) FROM audit.events WHERE action = 'bulk_revocation_initiated' \
         AND details ->> 'total_revoked' = '1203' AND details ->> 'common_name_suffix' = '.bulk.example'";
    assert_eq!(count(&db, whole).await, 1);
    let der = octets!(edge, format!("/.well-known/pki/crl/{}", certificate.issuer_id));
    let ca = octets!(edge, format!("/.well-known/pki/ca/{}", certificate.issuer_id));
    let ca = certctl_x509::ca::load(&certctl_x509::pem::encode("CERTIFICATE", &ca), db.ambient.now()).expect("a CA");
    let list = crl::inspect(&der, &ca.issuer()).expect("a list");
    let serials: BTreeSet<&str> = list.entries.iter().map(|(serial, _)| serial.as_str()).collect();
    assert_eq!(serials.len(), 1203);
    assert!(list.entries.iter().all(|(_, reason)| *reason == 5));

    let (status, again) = send!(edge, POST BULK, Some(&admin), order(json!({})));
    assert_eq!((status, totals(&again)), (200, [1203, 0, 1203, 0]), "{again}");
}

#[actix_web::test]
async fn bulk_criteria_hold_together_and_unknown_ids_are_told() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let _serial = issued!(edge, admin, certificate);
    copies(&db, &certificate, 6).await;
    let team = &certificate.team_id;
    for (criteria, matched) in [
        (json!({"team_id": team}), 7),
        (json!({"team_id": team, "source": "EST"}), 3),
        (json!({"team_id": team, "common_name_suffix": ".bulk.example"}), 6),
        (json!({"team_id": "t-other"}), 0),
        (json!({"certificate_ids": ["bulk-00001", "bulk-00002"], "issuer_id": certificate.issuer_id}), 2),
        (json!({"serials": ["0x01", "2"]}), 2),
        (json!({"spki_sha256": format!("{:0>64}", "3")}), 1),
    ] {
        let mut body = criteria.clone();
        body["reason"] = json!("superseded");
        body["dry_run"] = json!(true);
        let (status, plan) = send!(edge, POST BULK, Some(&admin), Some(body));
        assert_eq!((status, &plan["total_matched"]), (200, &json!(matched)), "{criteria}: {plan}");
    }
    for (body, field) in [
        (json!({"reason": "superseded"}), "criteria"),
        (json!({"reason": "superseded", "source": "EST"}), "criteria"),
        (json!({"reason": "bored", "team_id": team}), "reason"),
        (json!({"reason": "superseded", "team_id": team, "serials": ["zz"]}), "serials"),
        (json!({"reason": "superseded", "spki_sha256": "00"}), "spki_sha256"),
    ] {
        let (status, refused) = send!(edge, POST BULK, Some(&admin), Some(body));
        assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!(field)), "{refused}");
    }
    let est = "/api/v1/est/certificates/bulk-revoke";
    let ids = json!(["bulk-00001", "bulk-00002", "bulk-nobody"]);
    let body = json!({"reason": "keyCompromise", "certificate_ids": ids});
    let (status, done) = send!(edge, POST est, Some(&admin), Some(body));
    assert_eq!((status, totals(&done)), (200, [1, 1, 0, 2]), "only those that came by EST: {done}");
    assert_eq!(done["errors"].as_array().map(Vec::len), Some(2));
    assert_eq!(count(&db, "SELECT count(*) FROM audit.events WHERE action = 'est_bulk_revoke'").await, 1);
    assert_eq!(count(&db, "SELECT count(*) FROM ca.blocked_keys").await, 1, "the compromised key is barred");
}

#[actix_web::test]
async fn r08_a_hold_is_listed_lifted_and_may_come_again_or_become_final() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let serial = issued!(edge, admin, certificate);
    let (revoke, lift) =
        ["revoke", "unrevoke"].map(|verb| format!("/api/v1/certificates/{}/{verb}", certificate.id)).into();
    let (status, early) = send!(edge, POST & lift, Some(&admin), Some(json!({})));
    assert_eq!((status, &early["code"]), (409, &json!("not_on_hold")));
    let ask = format!("/.well-known/pki/ocsp/{}/{serial}", certificate.issuer_id);
    let list = format!("/.well-known/pki/crl/{}", certificate.issuer_id);
    let revoked = |answer: &[u8]| answer.windows(3).any(|octets| octets == [0xA0, 0x03, 0x0A]);
    let mut numbers = Vec::new();
    for round in 0..2 {
        let (status, held) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "certificateHold"})));
        assert_eq!(status, 200, "{held}");
        assert!(revoked(&octets!(edge, ask)), "on hold");
        numbers.push(octets!(edge, list));
        let lifted = if round == 0 {
            send!(edge, POST & lift, Some(&admin), Some(json!({})))
        } else {
            send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "removeFromCRL"})))
        };
        assert_eq!((lifted.0, &lifted.1["certificate_status"]), (200, &json!("Active")), "{}", lifted.1);
        assert!(!revoked(&octets!(edge, ask)), "good again at once");
        numbers.push(octets!(edge, list));
    }
    let ca = octets!(edge, format!("/.well-known/pki/ca/{}", certificate.issuer_id));
    let ca = certctl_x509::ca::load(&certctl_x509::pem::encode("CERTIFICATE", &ca), db.ambient.now()).expect("a CA");
    let lists: Vec<_> = numbers.iter().map(|der| crl::inspect(der, &ca.issuer()).expect("a list")).collect();
    assert_eq!(lists.iter().map(|list| list.entries.len()).collect::<Vec<_>>(), [1, 0, 1, 0]);
    assert!(lists.is_sorted_by(|one, next| one.number < next.number), "numbers rise");
    let (status, held) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "certificateHold"})));
    assert_eq!(status, 200, "{held}");
    let (status, done) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "superseded"})));
    assert_eq!(status, 200, "a hold may become final: {done}");
    let (status, late) = send!(edge, POST & lift, Some(&admin), Some(json!({})));
    assert_eq!((status, &late["code"]), (409, &json!("not_on_hold")));
    let stays = count(&db, "SELECT count(*) FROM status.revocations").await;
    assert_eq!(stays, 3, "what was lifted stays on record");
}

/// The status octet in an answer: 0x80 good, 0xA1 revoked, 0x82 unknown, right behind the echoed identifier.
fn status_tag(answer: &[u8], identifier: &[u8]) -> u8 {
    let place = answer.windows(identifier.len()).position(|octets| octets == identifier).expect("the identifier");
    answer[place + identifier.len()]
}

#[actix_web::test]
async fn o09_no_good_is_given_after_a_revocation_was_answered() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let _serial = issued!(edge, admin, certificate);
    copies(&db, &certificate, 400).await;
    let ca = octets!(edge, format!("/.well-known/pki/ca/{}", certificate.issuer_id));
    let ca = certctl_x509::ca::load(&certctl_x509::pem::encode("CERTIFICATE", &ca), db.ambient.now()).expect("a CA");
    let asked = |serial: &str| {
        let serial = certctl_x509::Serial::parse(serial).expect("a serial");
        ocsp::CertId::of(&ca.hashes, certctl_x509::HashAlgorithm::Sha1, &serial).expect("an identifier").raw
    };
    let mut judged = 0;
    for n in 1..=400 {
        let serial = format!("{n:040x}");
        let path = format!("/.well-known/pki/ocsp/{}/{serial}", certificate.issuer_id);
        let revoke = format!("/api/v1/certificates/bulk-{n:05}/revoke");
        // Several ask while the revocation is on its way; whoever asks after it was answered is told of it.
        let ask = || async {
            let answer = octets!(edge, path);
            status_tag(&answer, &asked(&serial))
        };
        let revoking = async {
            let (status, answer) = send!(edge, POST & revoke, Some(&admin), Some(json!({"reason": "superseded"})));
            assert_eq!(status, 200, "{answer}");
            let mut after = Vec::new();
            for _ in 0..12 {
                after.push(ask().await);
            }
            after
        };
        let asking = async {
            let mut seen = Vec::new();
            for _ in 0..13 {
                seen.push(ask().await);
            }
            seen
        };
        let (after, seen) = futures_util::future::join(revoking, asking).await;
        assert!(after.iter().all(|tag| *tag == 0xA1), "{serial}: {after:x?}");
        assert!(seen.is_sorted(), "once revoked, never good again: {serial}: {seen:x?}");
        judged += after.len() + seen.len();
    }
    assert_eq!(judged, 10_000);
}

#[actix_web::test]
async fn o02_o03_o04_o08_o12_every_form_of_serial_is_answered_by_its_own_ca_alone() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let _serial = issued!(edge, admin, certificate);
    let issuer = &certificate.issuer_id;
    copies(&db, &certificate, 4).await;
    // One octet, a leading zero digit, the high bit of the first octet, and twenty octets.
    let forms = ["7f", "0123456789abcdef", "ff00000000000001", "7fffffffffffffffffffffffffffffffffffffff"];
    let session = db.session().await;
    for (at, form) in forms.iter().enumerate() {
        let sql = "UPDATE inventory.certificate_versions SET serial_number = lpad($2, 40, '0') WHERE id = $1";
        session.execute(sql, &[&format!("bulkv-{}", at + 1), form]).await.expect("a serial");
    }
    let revoke = "/api/v1/certificates/bulk-00003/revoke";
    let (status, answer) = send!(edge, POST revoke, Some(&admin), Some(json!({"reason": "superseded"})));
    assert_eq!(status, 200, "{answer}");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    put(folder, "ca.der", &octets!(edge, format!("/.well-known/pki/ca/{issuer}")));
    assert!(openssl(folder, "x509 -inform DER -in ca.der -out ca.pem").0);
    macro_rules! ask {
        ($digest:expr, $ca:expr, $serials:expr) => {{
            let serials: String = $serials.iter().map(|serial| format!(" -serial 0x{serial}")).collect();
            let asked = format!("ocsp -no_nonce -issuer {}{}{serials} -reqout request.der", $ca, $digest);
            let (made, text) = openssl(folder, &asked);
            assert!(made, "{text}");
            let request = actix_web::test::TestRequest::post()
                .uri(&format!("/.well-known/pki/ocsp/{issuer}"))
                .insert_header(("Content-Type", "application/ocsp-request"))
                .set_payload(std::fs::read(folder.join("request.der")).expect("a request"));
            let response = call_service(&edge, request.to_request()).await;
            assert_eq!(response.status().as_u16(), 200);
            read_body(response).await
        }};
    }
    let mut all: Vec<&str> = forms.to_vec();
    all.push("0badcafe");
    for digest in ["", " -sha1", " -sha256", " -sha384"] {
        let answer = ask!(digest, "ca.pem", all);
        put(folder, "answer.der", &answer);
        let (fine, text) =
            openssl(folder, "ocsp -respin answer.der -reqin request.der -CAfile ca.pem -issuer ca.pem -resp_text");
        assert!(fine && text.contains("Response verify OK"), "{digest}: {text}");
        let statuses: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("Cert Status: ")).collect();
        assert_eq!(statuses, ["good", "good", "revoked", "good", "unknown"], "{digest}: {text}");
    }
    let sixteen: Vec<String> = (0..16).map(|n| format!("{:02x}", n + 1)).collect();
    put(folder, "answer.der", &ask!("", "ca.pem", sixteen));
    let (_, text) = openssl(folder, "ocsp -respin answer.der -CAfile ca.pem -issuer ca.pem -resp_text");
    assert_eq!(text.matches("Cert Status: ").count(), 16);
    let seventeen: Vec<String> = (0..17).map(|n| format!("{:02x}", n + 1)).collect();
    assert_eq!(ask!("", "ca.pem", seventeen)[4], 1, "more than sixteen are malformed");
    // Another CA of the same name: its key differs, and so it is not asked here.
    let make =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout other.key -subj /CN=Other -out other.pem";
    assert!(openssl(folder, make).0);
    assert_eq!(ask!("", "other.pem", forms)[4], 6, "another CA's certificates: unauthorized");
}
