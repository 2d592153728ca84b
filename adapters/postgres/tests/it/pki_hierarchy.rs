//! CAs below CAs, through the edge, judged by openssl.

use crate::edge::{TOKEN, send};
use crate::pki::{administrator, config, get, openssl, prepared, put, service};
use actix_web::test::{call_service, read_body};
use serde_json::{Value, json};

macro_rules! octets {
    ($edge:expr, $path:expr) => {{
        let response = call_service(&$edge, get(&$path).to_request()).await;
        assert_eq!(response.status().as_u16(), 200, "{}", $path);
        read_body(response).await
    }};
}

macro_rules! leaf {
    ($edge:expr, $admin:expr, $certificate:expr) => {{
        let path = format!("/api/v1/certificates/{}/versions", $certificate.id);
        let body = json!({"csr_pem": crate::status::request(&$certificate.sans)});
        send!($edge, POST & path, Some(&$admin), Some(body))
    }};
}

/// Root of the issuer, made by its first use.
macro_rules! rooted {
    ($edge:expr, $admin:expr, $certificate:expr) => {{
        let (status, version) = leaf!($edge, $admin, $certificate);
        assert_eq!(status, 201, "{version}");
        let all = format!("/api/v1/issuers/{}/intermediates", $certificate.issuer_id);
        let (status, list) = send!($edge, GET & all, Some(&$admin));
        assert_eq!((status, list["data"].as_array().map(Vec::len)), (200, Some(1)), "{list}");
        (all, list["data"][0]["id"].as_str().expect("text").to_owned(), version)
    }};
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[actix_web::test]
async fn p01_a_tree_signs_and_each_ca_keeps_its_list_and_its_answers() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuer = &certificate.issuer_id;
    let (all, root, old) = rooted!(edge, admin, certificate);
    let policy = json!({"name": "policy", "parent_ca_id": root, "path_len_constraint": 1, "ttl_days": 900,
        "subject": {"common_name": "Policy", "organization": ["Acme"], "country": ["DE"]},
        "name_constraints": [{"permitted": ["example.com", "192.0.2.0/24"], "excluded": ["secret.example.com"]}]});
    let (status, policy) = send!(edge, POST & all, Some(&admin), Some(policy));
    assert_eq!(
        (status, &policy["state"], &policy["subject"]),
        (201, &json!("active"), &json!("CN=Policy,O=Acme,C=DE")),
        "{policy}"
    );
    let issuing = json!({"name": "issuing", "parent_ca_id": policy["id"], "algorithm": "ECDSA-P384",
        "subject": {"common_name": "Issuing"}, "metadata": {"room": "7"}});
    let (status, issuing) = send!(edge, POST & all, Some(&admin), Some(issuing));
    assert_eq!((status, &issuing["path_len_constraint"]), (201, &json!(0)), "{issuing}");
    assert_eq!(issuing["name_constraints"], policy["name_constraints"], "inherited, written out");
    assert_eq!(issuing["metadata"], json!({"room": "7"}));
    assert!(text(&issuing["not_after"]) <= text(&policy["not_after"]), "no CA outlives its parent");

    let (_, still) = leaf!(edge, admin, certificate);
    assert_eq!(still["ca_id"], json!(root), "a new CA signs nothing before it is activated");
    let activate = format!("/api/v1/intermediates/{}/activate", text(&issuing["id"]));
    let (status, active) = send!(edge, POST & activate, Some(&admin), Some(json!({})));
    assert_eq!(status, 200, "{active}");
    let (status, version) = leaf!(edge, admin, certificate);
    assert_eq!((status, &version["ca_id"]), (201, &issuing["id"]), "{version}");

    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    put(folder, "leaf.pem", text(&version["pem_chain"]).as_bytes());
    let file = |ca: &str| format!("/.well-known/pki/ca/{issuer}/{ca}.cer");
    put(folder, "root.der", &octets!(edge, file(&root)));
    put(folder, "issuing.der", &octets!(edge, file(text(&issuing["id"]))));
    for name in ["root", "issuing"] {
        assert!(openssl(folder, &format!("x509 -inform DER -in {name}.der -out {name}.pem")).0);
    }
    let (fine, said) =
        openssl(folder, "verify -x509_strict -purpose sslserver -CAfile root.pem -untrusted leaf.pem leaf.pem");
    assert!(fine, "{said}");

    // R12: the older CA's certificate is revoked and listed by the CA that signed it, not by the one that signs now.
    let revoke = format!("/api/v1/certificates/{}/revoke", certificate.id);
    let body = json!({"reason": "superseded", "serial": old["serial_number"]});
    let (status, done) = send!(edge, POST & revoke, Some(&admin), Some(body));
    assert_eq!(status, 200, "{done}");
    for (ca, name, listed) in [(root.as_str(), "root", true), (text(&issuing["id"]), "issuing", false)] {
        put(folder, "crl.der", &octets!(edge, format!("/.well-known/pki/crl/{issuer}/{ca}")));
        let (_, said) =
            openssl(folder, &format!("crl -inform DER -in crl.der -CAfile {name}.pem -noout -text -verify"));
        assert!(said.contains("verify OK"), "{said}");
        assert_eq!(said.to_lowercase().contains(text(&old["serial_number"]).trim_start_matches('0')), listed, "{said}");
    }
    let ask = |issuer_file: &str, leaf: &str, out: &str| {
        openssl(folder, &format!("ocsp -no_nonce -issuer {issuer_file} -cert {leaf} -reqout {out}"))
    };
    put(folder, "old.pem", text(&old["pem_chain"]).as_bytes());
    for (ca, leaf, said) in [("root.pem", "old.pem", "old.pem: revoked"), ("issuing.pem", "leaf.pem", "leaf.pem: good")]
    {
        assert!(ask(ca, leaf, "request.der").0);
        let request =
            data_encoding::BASE64URL_NOPAD.encode(&std::fs::read(folder.join("request.der")).expect("a request"));
        let standard = request.replace('-', "%2B").replace('_', "%2F");
        put(folder, "answer.der", &octets!(edge, format!("/.well-known/pki/ocsp/{issuer}/{standard}")));
        let (fine, answer) = openssl(
            folder,
            &format!(
                "ocsp -no_nonce -respin answer.der -issuer {ca} -cert {leaf} -CAfile root.pem -verify_other leaf.pem"
            ),
        );
        assert!(fine && answer.contains("Response verify OK") && answer.contains(said), "{answer}");
    }
    let (status, _) = send!(edge, GET & format!("/.well-known/pki/crl/{issuer}/ica-none"), None);
    assert_eq!(status, 404);
}

#[actix_web::test]
async fn p04_a_leaf_that_its_ca_may_not_name_is_refused_before_it_is_signed() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let (all, root, _) = rooted!(edge, admin, certificate);
    let body = json!({"name": "narrow", "parent_ca_id": root, "subject": {"common_name": "Narrow"},
        "name_constraints": [{"permitted": ["other.example"], "excluded": ["192.0.2.0/24"]}]});
    let (status, narrow) = send!(edge, POST & all, Some(&admin), Some(body));
    assert_eq!(status, 201, "{narrow}");
    let activate = format!("/api/v1/intermediates/{}/activate", text(&narrow["id"]));
    assert_eq!(send!(edge, POST & activate, Some(&admin), Some(json!({}))).0, 200);
    let (status, refused) = leaf!(edge, admin, certificate);
    let rules: Vec<&str> =
        refused["errors"].as_array().expect("a list").iter().map(|rule| text(&rule["code"])).collect();
    assert_eq!((status, rules), (422, vec!["name_constraint"; 2]), "both names: {refused}");
}

#[actix_web::test]
async fn what_a_parent_does_not_allow_is_refused_and_changes_nothing() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let (all, root, _) = rooted!(edge, admin, certificate);
    let child = |name: &str, parent: &Value, more: Value| {
        let mut body = json!({"name": name, "parent_ca_id": parent, "subject": {"common_name": name}});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Some(body)
    };
    let narrow = json!({"path_len_constraint": 0, "name_constraints": [{"permitted": ["a.example"]}]});
    let (status, last) = send!(edge, POST & all, Some(&admin), child("last", &json!(root), narrow));
    assert_eq!(status, 201, "{last}");
    let wide = json!({"name_constraints": [{"permitted": ["a.example"]}]});
    let (status, middle) = send!(edge, POST & all, Some(&admin), child("middle", &json!(root), wide));
    assert_eq!(status, 201, "{middle}");
    for (name, parent, more, status, field) in [
        ("p02", &last["id"], json!({}), 400, "path_len_constraint"),
        (
            "outside",
            &middle["id"],
            json!({"name_constraints": [{"permitted": ["b.example"]}]}),
            400,
            "name_constraints",
        ),
        (
            "garbled",
            &middle["id"],
            json!({"name_constraints": [{"excluded": ["*.a.example"]}]}),
            400,
            "name_constraints",
        ),
        ("negative", &middle["id"], json!({"path_len_constraint": -1}), 400, "path_len_constraint"),
        ("bare", &middle["id"], json!({"subject": {}}), 400, "subject.common_name"),
        ("land", &middle["id"], json!({"subject": {"common_name": "x", "country": ["de"]}}), 400, "subject"),
        ("rsa", &middle["id"], json!({"algorithm": "RSA-2048"}), 400, "algorithm"),
        ("lost", &json!("ica-none"), json!({}), 404, ""),
        ("none", &json!(""), json!({}), 400, "parent_ca_id"),
        ("middle", &json!(root), json!({}), 409, ""),
    ] {
        let (got, answer) = send!(edge, POST & all, Some(&admin), child(name, parent, more));
        assert_eq!(got, status, "{name}: {answer}");
        assert_eq!(answer["errors"][0]["field"].as_str().unwrap_or_default(), field, "{name}: {answer}");
    }
    let (_, list) = send!(edge, GET & all, Some(&admin));
    assert_eq!(list["data"].as_array().map(Vec::len), Some(3));
}

#[actix_web::test]
async fn p08_p10_cas_retire_drained_and_in_order_and_sign_no_more() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = administrator!(edge);
    let certificate = crate::certificates::declared(&db, "web").await;
    let (all, root, _) = rooted!(edge, admin, certificate);
    let body = |name: &str, parent: &Value| {
        Some(json!({"name": name, "parent_ca_id": parent, "subject": {"common_name": name}}))
    };
    let (_, policy) = send!(edge, POST & all, Some(&admin), body("policy", &json!(root)));
    let (_, issuing) = send!(edge, POST & all, Some(&admin), body("issuing", &policy["id"]));
    let order = |ca: &Value, verb: &str| format!("/api/v1/intermediates/{}/{verb}", text(ca));
    macro_rules! step {
        ($ca:expr, $body:expr) => {{
            let (status, answer) = send!(edge, POST & order($ca, "retire"), Some(&admin), Some($body));
            (status, answer["code"].as_str().or(answer["state"].as_str()).unwrap_or_default().to_owned())
        }};
    }
    let confirm = json!({"confirm": true});
    assert_eq!(step!(&json!(root), json!({})), (409, "issuing_ca".to_owned()), "it signs the issuer's leaves");
    assert_eq!(send!(edge, POST & order(&issuing["id"], "activate"), Some(&admin), Some(json!({}))).0, 200);
    let (status, version) = leaf!(edge, admin, certificate);
    assert_eq!(status, 201, "{version}");

    assert_eq!(step!(&policy["id"], json!({})), (200, "retiring".to_owned()));
    assert_eq!(step!(&policy["id"], json!({})), (409, "confirm_required".to_owned()));
    assert_eq!(step!(&policy["id"], confirm.clone()), (409, "active_children".to_owned()));
    let (status, refused) = send!(edge, POST & all, Some(&admin), body("late", &policy["id"]));
    assert_eq!((status, &refused["code"]), (409, &json!("parent_not_active")), "{refused}");
    assert_eq!(leaf!(edge, admin, certificate).0, 201, "what stands below goes on");

    assert_eq!(send!(edge, POST & order(&json!(root), "activate"), Some(&admin), Some(json!({}))).0, 200);
    assert_eq!(step!(&issuing["id"], confirm.clone()), (200, "retiring".to_owned()), "two steps, even with confirm");
    assert_eq!(step!(&issuing["id"], confirm.clone()), (409, "live_certificates".to_owned()));
    assert_eq!(step!(&issuing["id"], json!({"confirm": true, "force": true})).0, 400, "force needs a note");
    let forced = json!({"confirm": true, "force": true, "note": "replaced by hand"});
    assert_eq!(step!(&issuing["id"], forced), (200, "retired".to_owned()));
    assert_eq!(step!(&issuing["id"], confirm.clone()), (409, "already_retired".to_owned()));
    assert_eq!(step!(&policy["id"], confirm.clone()), (200, "retired".to_owned()));
    let (status, refused) = send!(edge, POST & order(&issuing["id"], "activate"), Some(&admin), Some(json!({})));
    assert_eq!((status, &refused["code"]), (409, &json!("not_active")), "{refused}");
    // What it signed keeps its list.
    let list = format!("/.well-known/pki/crl/{}/{}", certificate.issuer_id, text(&issuing["id"]));
    assert!(octets!(edge, list).len() > 100);
    let (status, version) = leaf!(edge, admin, certificate);
    assert_eq!((status, &version["ca_id"]), (201, &json!(root)));
}
