//! Certificates as `openssl` and our own reader see them.

mod support;

use certctl_ports::{KeyAlgorithm, SigningKey};
use certctl_x509::ca::{self, RootTemplate, SubordinateTemplate};
use certctl_x509::constraints::NameRules;
use certctl_x509::leaf::{self, ExtendedUsage};
use certctl_x509::{San, Subject, certificate, chain, pem, pkcs12, signature, tls};
use support::{ATTIME, TestKey, Work, leaf_template, now, root, serial};
use time::Duration;

fn keys(work: &Work) -> Vec<TestKey> {
    let mut keys: Vec<_> =
        [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519].map(TestKey::new).into();
    keys.push(TestKey::rsa(2048, work));
    keys
}

#[test]
fn c09_a_leaf_of_every_key_type_verifies_under_a_root_of_every_key_type() {
    let work = Work::new();
    for ca_key in keys(&work) {
        let ca = root(&ca_key);
        let anchor = work.write("root.pem", &ca.chain_pem);
        for key in keys(&work) {
            let der = leaf::build(&leaf_template(key.public_key_spki()), &ca.issuer(), &ca_key).expect("builds");
            let path = work.write("leaf.pem", pem::encode(pem::CERTIFICATE, &der));
            let text = work.ok(&[
                "verify",
                "-x509_strict",
                "-attime",
                ATTIME,
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "a.example.com",
                "-verify_ip",
                "2001:db8::7",
                "-CAfile",
                &anchor,
                &path,
            ]);
            assert!(text.contains("leaf.pem: OK"), "{text}");
            chain::check(&der, std::slice::from_ref(&ca.cert_der)).expect("our check agrees");

            let shown = work.ok(&["x509", "-noout", "-text", "-in", &path]);
            let encipherment = matches!(key.key_algorithm(), KeyAlgorithm::Rsa(_));
            assert_eq!(shown.contains("Key Encipherment"), encipherment, "{shown}");
        }
    }
}

#[test]
fn the_extensions_stand_in_their_fixed_order_with_their_criticality() {
    let work = Work::new();
    let (ca_key, key) = (TestKey::new(KeyAlgorithm::EcdsaP384), TestKey::new(KeyAlgorithm::EcdsaP256));
    let ca = root(&ca_key);
    let template = leaf::LeafTemplate { must_staple: true, ..leaf_template(key.public_key_spki()) };
    let der = leaf::build(&template, &ca.issuer(), &ca_key).expect("builds");
    let path = work.write("leaf.der", &der);
    let shown = work.ok(&["x509", "-inform", "DER", "-noout", "-text", "-in", &path]);
    let order = [
        "X509v3 Key Usage: critical",
        "X509v3 Extended Key Usage: \n",
        "X509v3 Basic Constraints: critical",
        "X509v3 Subject Key Identifier: \n",
        "X509v3 Authority Key Identifier: \n",
        "Authority Information Access: \n",
        "OCSP - URI:http://ca.example.com/ocsp",
        "CA Issuers - URI:http://ca.example.com/ca.cer",
        "X509v3 Subject Alternative Name: \n",
        "X509v3 CRL Distribution Points: \n",
        "URI:http://ca.example.com/a.crl",
        "URI:https://ca.example.com/b.crl",
        "TLS Feature: \n",
        "status_request",
    ];
    let places: Vec<_> =
        order.iter().map(|text| shown.find(text).unwrap_or_else(|| panic!("{text}: {shown}"))).collect();
    assert!(places.is_sorted(), "{places:?} {shown}");
    // The must-staple value and the empty basicConstraints, byte for byte.
    for bytes in [&[0x04, 0x05, 0x30, 0x03, 0x02, 0x01, 0x05][..], &[0x01, 0x01, 0xFF, 0x04, 0x02, 0x30, 0x00]] {
        assert!(der.windows(bytes.len()).any(|window| window == bytes));
    }
    assert!(der.windows(ca.subject_der.len()).any(|window| window == ca.subject_der), "issuer is the CA's own bytes");
}

#[test]
fn the_same_inputs_give_the_same_bytes_to_sign() {
    let (ca_key, key) = (TestKey::new(KeyAlgorithm::EcdsaP256), TestKey::new(KeyAlgorithm::EcdsaP256));
    let (ca, template) = (root(&ca_key).issuer(), leaf_template(key.public_key_spki()));
    let tbs = || leaf::tbs(&template, &ca, ca_key.signature_algorithm()).expect("builds");
    assert_eq!(tbs(), tbs());
}

#[test]
fn an_empty_subject_makes_the_names_critical() {
    let work = Work::new();
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = root(&key);
    let template = leaf::LeafTemplate { subject: Subject::default(), ..leaf_template(key.public_key_spki()) };
    let der = leaf::build(&template, &ca.issuer(), &key).expect("builds");
    let path = work.write("leaf.der", der);
    assert!(
        work.ok(&["x509", "-inform", "DER", "-noout", "-text", "-in", &path]).contains("Alternative Name: critical")
    );
}

#[test]
fn c05_times_switch_form_at_2050() {
    let work = Work::new();
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    for (year, form) in [(2049, "UTCTIME"), (2050, "GENERALIZEDTIME")] {
        let end = time::Date::from_calendar_date(year, time::Month::December, 31).unwrap().midnight().assume_utc();
        let template = RootTemplate {
            serial: serial(9),
            subject: Subject::common_name("R"),
            not_before: now(),
            not_after: end + Duration::nanoseconds(5),
            path_len: None,
        };
        let der = ca::build_self_signed_root(&template, &key).expect("builds");
        assert_eq!(certificate::inspect(&der).expect("readable").not_after, end, "cut to seconds");
        let path = work.write("root.der", der);
        let shown = work.ok(&["asn1parse", "-inform", "DER", "-in", &path]);
        assert!(shown.lines().any(|line| line.contains(form) && line.contains("1231000000Z")), "{shown}");
    }
}

type Change = fn(&mut leaf::LeafTemplate);

#[test]
fn templates_that_break_a_rule_are_refused_by_name() {
    let (ca_key, key) = (TestKey::new(KeyAlgorithm::EcdsaP256), TestKey::new(KeyAlgorithm::EcdsaP256));
    let ca = root(&ca_key).issuer();
    let good = leaf_template(key.public_key_spki());
    let changes: [(&str, Change); 11] = [
        ("eku_missing", |t| t.usages.clear()),
        ("eku_not_alone", |t| t.usages.push(ExtendedUsage::TimeStamping)),
        ("validity", |t| t.not_after = t.not_before),
        ("validity", |t| t.not_after = now() + Duration::days(4000)),
        ("validity", |t| t.not_before = now() - Duration::days(1)),
        ("cn_not_in_san", |t| t.subject = Subject::common_name("other.example.com")),
        ("must_staple", |t| {
            t.must_staple = true;
            t.ocsp_urls.clear();
        }),
        ("no_rev_avail", |t| t.no_rev_avail = true),
        ("url_invalid", |t| t.crl_urls = vec!["not a url".into()]),
        ("san_invalid", |t| t.sans.push(t.sans[0].clone())),
        ("san_invalid", |t| {
            t.sans =
                (0..90).map(|n| San::parse(&format!("{n}.{}", "abcdefgh.".repeat(15) + "example")).unwrap()).collect();
            t.subject = Subject::default();
        }),
    ];
    for (code, change) in changes {
        let mut template = good.clone();
        change(&mut template);
        assert_eq!(leaf::build(&template, &ca, &ca_key).expect_err(code).code(), code);
    }
    assert_eq!(leaf::build(&good, &ca, &key).expect_err("other key").code(), "ca_key_mismatch");
}

#[test]
fn inspection_tells_what_the_certificate_says() {
    let (ca_key, key) = (TestKey::new(KeyAlgorithm::EcdsaP384), TestKey::new(KeyAlgorithm::EcdsaP256));
    let ca = root(&ca_key);
    let der = leaf::build(&leaf_template(key.public_key_spki()), &ca.issuer(), &ca_key).expect("builds");
    let facts = certificate::inspect_pem(&pem::encode(pem::CERTIFICATE, &der)).expect("readable");
    assert_eq!(facts.serial, "02".repeat(20));
    assert_eq!((facts.not_before, facts.not_after), (now() - Duration::minutes(5), now() + Duration::days(90)));
    assert_eq!(facts.subject_dn, "CN=www.example.com");
    assert_eq!(facts.issuer_dn, "CN=Test Root,O=Prüfstelle");
    assert_eq!(
        facts.sans,
        ["www.example.com", "*.example.com", "192.0.2.7", "2001:db8::7", "spiffe://example.com/web"]
    );
    assert_eq!((facts.key_algorithm.as_str(), facts.key_size, facts.is_ca), ("ECDSA", 256, false));
    assert_eq!(facts.spki_der, key.public_key_spki());
    assert_eq!(facts.aki, certificate::inspect(&ca.cert_der).expect("readable").ski);
    assert!(signature::verify_object(&der, &ca.spki_der).is_ok());
    let mut tampered = der;
    *tampered.last_mut().unwrap() ^= 1;
    assert!(signature::verify_object(&tampered, &ca.spki_der).is_err());
}

#[test]
fn a_ca_file_that_breaks_a_rule_is_refused_by_name() {
    let work = Work::new();
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = root(&key);
    let code = |text: &str| ca::load(text, now()).expect_err("refused").code();
    assert_eq!(code("nothing"), "ca_not_certificate");
    assert_eq!(code(&key.pem()), "ca_not_certificate");
    assert_eq!(code(&pem::encode(pem::CERTIFICATE, b"junk")), "ca_malformed");
    let leaf = leaf::build(&leaf_template(key.public_key_spki()), &ca.issuer(), &key).expect("builds");
    assert_eq!(code(&pem::encode(pem::CERTIFICATE, &leaf)), "ca_not_ca");
    assert_eq!(code(&format!("{}{}", ca.chain_pem, ca.chain_pem)), "ca_chain");
    assert_eq!(ca::load(&ca.chain_pem, now() + Duration::days(3651)).expect_err("late").code(), "ca_expired");
    assert_eq!(ca::load(&ca.chain_pem, now() - Duration::days(1)).expect_err("early").code(), "ca_not_yet_valid");
    assert_eq!(ca.check_key(&TestKey::new(KeyAlgorithm::EcdsaP256)).expect_err("other").code(), "ca_key_mismatch");

    let made = |name: &str, newkey: &[&str], extensions: &str, digest: &str| {
        let config = work.write("ca.cnf", format!("[req]\ndistinguished_name=dn\n[dn]\n[v3]\n{extensions}\n"));
        let out = work.path(name);
        let mut arguments =
            vec!["req", "-x509", "-nodes", "-keyout", "throwaway.key", "-subj", "/CN=Other", "-days", "36500", digest];
        arguments.extend(["-config", &config, "-extensions", "v3", "-out", &out]);
        arguments.extend(newkey);
        work.ok(&arguments);
        let made_at = certificate::inspect_pem(&work.read(name)).expect("readable").not_before;
        ca::load(&work.read(name), made_at).map_err(|error| error.code())
    };
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let p521 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let full = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash";
    assert!(made("good.pem", &p256, full, "-sha256").is_ok());
    assert_eq!(made("a.pem", &p521, full, "-sha256"), Err("ca_key_size"));
    assert_eq!(made("b.pem", &["-newkey", "rsa:2560"], full, "-sha256"), Err("ca_key_size"));
    assert_eq!(made("c.pem", &["-newkey", "rsa:2048"], full, "-sha1"), Err("ca_weak_signature"));
    assert_eq!(made("d.pem", &p256, &full.replace(",cRLSign", ""), "-sha256"), Err("ca_no_crl_sign"));
    assert_eq!(made("e.pem", &p256, &full.replace("keyCertSign,", ""), "-sha256"), Err("ca_no_cert_sign"));
    assert_eq!(made("f.pem", &p256, &full.replace("=hash", "=none"), "-sha256"), Err("ca_no_ski"));
}

#[test]
fn c07_subordinates_obey_the_path_length_and_chains_their_order() {
    let work = Work::new();
    let [root_key, sub_key, key] =
        [KeyAlgorithm::EcdsaP384, KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256].map(TestKey::new);
    let root = root(&root_key);
    let template = SubordinateTemplate {
        serial: serial(3),
        subject: Subject::common_name("Sub"),
        not_before: now() - Duration::hours(1),
        not_after: now() + Duration::days(1000),
        spki_der: sub_key.public_key_spki().to_vec(),
        path_len: Some(0),
        names: NameRules::default(),
        ocsp_urls: vec![],
        ca_issuer_urls: vec![],
        crl_urls: vec![],
    };
    let sub_der = ca::build_subordinate(&template, &root.issuer(), &root_key).expect("builds");
    let file = format!("{}{}", pem::encode(pem::CERTIFICATE, &sub_der), root.chain_pem);
    let sub = ca::load(&file, now()).expect("loads");
    assert_eq!((sub.path_len, sub.self_signed, root.self_signed), (Some(0), false, true));
    assert_eq!(sub.chain_pem, file);
    let refused = ca::build_subordinate(&SubordinateTemplate { path_len: None, ..template }, &sub.issuer(), &sub_key);
    assert_eq!(refused.expect_err("path length 0").code(), "path_len");

    let leaf = leaf::build(&leaf_template(key.public_key_spki()), &sub.issuer(), &sub_key).expect("builds");
    let code = |chain: &[&Vec<u8>]| {
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| (*der).clone()).collect();
        chain::check(&leaf, &chain).map_err(|error| error.code())
    };
    assert_eq!(code(&[&sub.cert_der, &root.cert_der]), Ok(()));
    assert_eq!(code(&[&root.cert_der, &sub.cert_der]), Err("chain_order"));
    assert_eq!(code(&[&sub.cert_der, &sub.cert_der]), Err("chain_duplicate"));
    assert_eq!(code(&[&leaf.clone()]), Err("chain_duplicate"));
    let impostor = ca::build_self_signed_root(
        &RootTemplate {
            serial: serial(4),
            subject: Subject::common_name("Sub"),
            not_before: now(),
            not_after: now() + Duration::days(1),
            path_len: None,
        },
        &key,
    )
    .expect("builds");
    assert_eq!(code(&[&impostor]), Err("chain_signature"));

    let leaf_path = work.write("leaf.pem", pem::encode(pem::CERTIFICATE, &leaf));
    let (anchor, middle) =
        (work.write("root.pem", &root.chain_pem), work.write("sub.pem", pem::encode(pem::CERTIFICATE, &sub_der)));
    work.ok(&["verify", "-x509_strict", "-attime", ATTIME, "-CAfile", &anchor, "-untrusted", &middle, &leaf_path]);
}

#[test]
fn the_control_plane_gets_its_own_https_certificate() {
    let work = Work::new();
    let [ca_key, key] = [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP256].map(TestKey::new);
    let ca_der = tls::bootstrap_ca("certctl bootstrap CA", serial(5), now(), &ca_key).expect("builds");
    let ca = ca::load(&pem::encode(pem::CERTIFICATE, &ca_der), now()).expect("loads");
    let sans = San::parse_list(&["localhost", "127.0.0.1", "::1"]).expect("valid");
    let der =
        tls::bootstrap_leaf(&sans, key.public_key_spki(), serial(6), now(), &ca.issuer(), &ca_key).expect("builds");
    let (anchor, path) =
        (work.write("ca.pem", &ca.chain_pem), work.write("leaf.pem", pem::encode(pem::CERTIFICATE, &der)));
    for check in [["-verify_hostname", "localhost"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]] {
        let mut arguments =
            vec!["verify", "-x509_strict", "-attime", ATTIME, "-purpose", "sslserver", "-CAfile", &anchor];
        arguments.extend(check);
        arguments.push(&path);
        work.ok(&arguments);
    }
    assert_eq!(ca.path_len, Some(0));
    // A leaf made near the CA's end ends with it.
    let late = ca.not_after - Duration::days(3);
    let der =
        tls::bootstrap_leaf(&sans, key.public_key_spki(), serial(7), late, &ca.issuer(), &ca_key).expect("builds");
    assert_eq!(certificate::inspect(&der).expect("readable").not_after, ca.not_after);
}

#[test]
fn a_trust_store_opens_in_openssl_with_the_leaf_first() {
    let work = Work::new();
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = root(&key);
    let leaf = leaf::build(&leaf_template(key.public_key_spki()), &ca.issuer(), &key).expect("builds");
    let store = pkcs12::trust_store(&leaf, std::slice::from_ref(&ca.cert_der), "pässword").expect("packs");
    let path = work.write("store.p12", store);
    let text = work.ok(&["pkcs12", "-in", &path, "-passin", "pass:pässword", "-nokeys", "-info"]);
    for detail in ["MAC: sha256", "PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256"] {
        assert!(text.contains(detail), "{detail}: {text}");
    }
    let inside = pem::certificates(&text).expect("certificates come out");
    assert_eq!(inside, [leaf, ca.cert_der]);
    assert!(!work.run(&["pkcs12", "-in", &path, "-passin", "pass:wrong", "-nokeys"]).0);
}
