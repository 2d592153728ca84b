//! What is told before anything is issued, and what refusals say, through the edge.

use crate::edge::{TOKEN, send};
use crate::pki::{administrator, config, openssl, prepared, put, service};
use serde_json::{Value, json};
use std::path::Path;

fn codes(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|rule| rule["code"].as_str().expect("text")).collect()
}

/// A request by openssl with this key and these names.
fn request(folder: &Path, key: &str, names: &str) -> String {
    let (made, text) = openssl(
        folder,
        &format!(
            "req -new -nodes -newkey {key} -keyout key.pem -subj /CN=web.example.com -addext subjectAltName={names} -out req.pem"
        ),
    );
    assert!(made, "{text}");
    std::fs::read_to_string(folder.join("req.pem")).expect("a request")
}

#[actix_web::test]
async fn a_preview_shows_what_is_then_issued_and_leaves_nothing_behind() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let csr = crate::status::request(&certificate.sans);
    let ask = json!({"certificate_id": certificate.id, "csr_pem": csr});
    let (status, preview) = send!(edge, POST "/api/v1/certificates/preview", Some(&admin), Some(ask));
    assert_eq!((status, &preview["would_issue"], &preview["refusals"]), (200, &json!(true), &json!([])), "{preview}");
    let (status, authorities) = send!(edge, GET "/api/v1/admin/crl/cache", Some(&admin));
    assert_eq!(
        (status, &authorities["row_count"]),
        (200, &json!(0)),
        "the CA made for the answer is gone: {authorities}"
    );
    let stored = db.read().await.latest_version(&certificate.id).await;
    assert_eq!(stored, Ok(None));

    let body = json!({"csr_pem": csr});
    let path = format!("/api/v1/certificates/{}/versions", certificate.id);
    let (status, version) = send!(edge, POST & path, Some(&admin), Some(body));
    assert_eq!(status, 201, "{version}");
    for member in ["not_before", "not_after", "sans"] {
        assert_eq!(preview["certificate"][member], version[member], "{member}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "sample.pem", preview["certificate"]["sample_pem"].as_str().expect("text").as_bytes());
    put(folder.path(), "leaf.pem", version["pem_chain"].as_str().expect("text").as_bytes());
    let extensions = |name: &str| {
        openssl(
            folder.path(),
            &format!("x509 -in {name} -noout -subject -ext keyUsage,extendedKeyUsage,subjectAltName"),
        )
        .1
    };
    assert_eq!(extensions("sample.pem"), extensions("leaf.pem"));
    let (_, ca) = send!(edge, GET "/api/v1/admin/crl/cache", Some(&admin));
    assert_eq!(ca["row_count"], json!(1));
    put(folder.path(), "ca.pem", chain_above(version["pem_chain"].as_str().expect("text")).as_bytes());
    let (trusted, text) = openssl(folder.path(), "verify -CAfile ca.pem sample.pem");
    assert!(!trusted, "nobody trusts a sample: {text}");
}

fn chain_above(chain: &str) -> String {
    chain.split_inclusive("-----END CERTIFICATE-----\n").skip(1).collect()
}

#[actix_web::test]
async fn everything_that_speaks_against_an_issuance_is_told_at_once() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let folder = tempfile::tempdir().expect("a folder");
    let profile = json!({
        "id": "prof-strict", "name": "strict", "enabled": false, "requires_approval": true,
        "required_san_patterns": ["[a-z]+\\.corp\\.example"],
        "allowed_key_algorithms": [{"algorithm": "ECDSA", "min_size": 384}],
    });
    let (status, made) = send!(edge, POST "/api/v1/profiles", Some(&admin), Some(profile));
    assert_eq!(status, 201, "{made}");
    let csr = request(folder.path(), "rsa:1024", "DNS:evil.example,DNS:a..b");
    let ask = json!({"common_name": "web.example.com", "issuer_id": certificate.issuer_id, "csr_pem": csr,
        "certificate_profile_id": "prof-strict"});
    let (status, preview) = send!(edge, POST "/api/v1/certificates/preview", Some(&admin), Some(ask));
    assert_eq!((status, &preview["would_issue"]), (200, &json!(false)));
    assert_eq!(preview["needs_approval"], json!(true));
    assert_eq!(
        codes(&preview["refusals"]),
        [
            "key_weak",
            "san_invalid",
            "profile_disabled",
            "key_not_allowed",
            "san_policy",
            "san_policy",
            "san_not_authorised"
        ]
    );
    // Without a request, what is wrong with the names and the profile remains.
    let ask = json!({"common_name": "web.example.com", "issuer_id": certificate.issuer_id,
        "certificate_profile_id": "prof-strict"});
    let (_, preview) = send!(edge, POST "/api/v1/certificates/preview", Some(&admin), Some(ask));
    assert_eq!(codes(&preview["refusals"]), ["profile_disabled", "san_policy", "san_policy"]);
    // The operation that issues tells the same of its request.
    let path = format!("/api/v1/certificates/{}/versions", certificate.id);
    let body = json!({"csr_pem": csr});
    let (status, refused) = send!(edge, POST & path, Some(&admin), Some(body));
    assert_eq!(status, 422, "{refused}");
    assert_eq!(codes(&refused["errors"]), ["key_weak", "san_invalid", "key_not_allowed", "san_not_authorised"]);
}

#[actix_web::test]
async fn a_preview_needs_a_subject_and_tells_what_it_does_not_find() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let preview = "/api/v1/certificates/preview";
    for (ask, wanted, field) in [
        (json!({}), 400, "issuer_id"),
        (json!({"certificate_id": "mc-1", "common_name": "a.example"}), 400, "certificate_id"),
        (json!({"issuer_id": "iss-1", "lifetime_seconds": 0}), 400, "lifetime_seconds"),
        (json!({"certificate_id": "mc-none"}), 404, ""),
        (json!({"common_name": "a.example", "issuer_id": "iss-none"}), 404, ""),
    ] {
        let (status, answer) = send!(edge, POST preview, Some(&admin), Some(ask));
        assert_eq!(status, wanted, "{answer}");
        assert_eq!(answer["errors"][0]["field"].as_str().unwrap_or_default(), field, "{answer}");
    }
}

#[actix_web::test]
async fn a_p521_key_and_every_kind_of_name_are_certified_as_asked() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let folder = tempfile::tempdir().expect("a folder");
    let csr = request(folder.path(), "ec -pkeyopt ec_paramgen_curve:P-521", "DNS:web.example.com,IP:192.0.2.1");
    let path = format!("/api/v1/certificates/{}/versions", certificate.id);
    let (status, version) = send!(edge, POST & path, Some(&admin), Some(json!({"csr_pem": csr})));
    assert_eq!((status, &version["key_size"]), (201, &json!(521)), "{version}");
}

#[actix_web::test]
async fn patch_changes_the_members_given_and_minds_the_version() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let profile = json!({"id": "prof-web", "name": "web", "max_ttl_seconds": 86400, "allow_wildcards": false});
    let (status, made) = send!(edge, POST "/api/v1/profiles", Some(&admin), Some(profile));
    assert_eq!(status, 201, "{made}");
    let (status, changed) =
        send!(edge, PATCH "/api/v1/profiles/prof-web", Some(&admin), Some(json!({"max_ttl_seconds": 3600})));
    assert_eq!(status, 200, "{changed}");
    assert_eq!(
        (&changed["max_ttl_seconds"], &changed["allow_wildcards"], &changed["name"]),
        (&json!(3600), &json!(false), &json!("web"))
    );
    let (status, refused) =
        send!(edge, PATCH "/api/v1/profiles/prof-web", Some(&admin), Some(json!({"allowed_ekus": ["dance"]})));
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("allowed_ekus[0]")));
}
