//! Revocation lists and status answers as `openssl` sees them.

mod support;

use certctl_kernel::Timestamp;
use certctl_ports::{KeyAlgorithm, SigningKey};
use certctl_x509::ca::{self, CaFacts, ResponderTemplate};
use certctl_x509::crl::{self, CrlEntry, CrlTemplate};
use certctl_x509::ocsp::{self, ResponseTemplate, SingleAnswer, Status};
use certctl_x509::{HashAlgorithm, Serial, leaf, pem};
use support::{ATTIME, TestKey, Work, leaf_template, now, root, serial};
use time::Duration;

fn list(entries: Vec<CrlEntry>) -> CrlTemplate {
    CrlTemplate {
        number: 0x1234,
        this_update: now() - Duration::minutes(1),
        next_update: now() + Duration::hours(24),
        entries,
    }
}

fn entry(serial: Serial, reason: u8) -> CrlEntry {
    CrlEntry { serial, revoked_at: now() - Duration::hours(2), reason, invalidity_date: None }
}

#[test]
fn a_listed_certificate_fails_verification_and_others_pass() {
    let work = Work::new();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
        let (ca_key, key) = (TestKey::new(algorithm), TestKey::new(KeyAlgorithm::EcdsaP256));
        let ca = root(&ca_key);
        let der = leaf::build(&leaf_template(key.public_key_spki()), &ca.issuer(), &ca_key).expect("builds");
        let (anchor, path) =
            (work.write("root.pem", &ca.chain_pem), work.write("leaf.pem", pem::encode(pem::CERTIFICATE, &der)));
        let verify = |entries: Vec<CrlEntry>| {
            let crl = crl::build(&list(entries), &ca.issuer(), &ca_key).expect("builds");
            let crl_path = work.write("crl.pem", pem::encode("X509 CRL", &crl));
            work.ok(&["crl", "-in", &crl_path, "-CAfile", &anchor, "-noout", "-verify"]);
            work.run(&[
                "verify",
                "-x509_strict",
                "-attime",
                ATTIME,
                "-crl_check",
                "-CAfile",
                &anchor,
                "-CRLfile",
                &crl_path,
                &path,
            ])
        };
        assert!(verify(vec![]).0);
        assert!(verify(vec![entry(serial(7), 1)]).0);
        let (passed, text) = verify(vec![entry(serial(7), 1), entry(leaf_template(&[]).serial, 4)]);
        assert!(!passed && text.contains("certificate revoked"), "{text}");
    }
}

#[test]
fn r01_r03_r04_lists_leave_out_what_must_be_absent() {
    let work = Work::new();
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = root(&key);
    let shown = |entries: Vec<CrlEntry>| {
        let crl = crl::build(&list(entries), &ca.issuer(), &key).expect("builds");
        let path = work.write("crl.der", crl);
        work.ok(&["crl", "-inform", "DER", "-in", &path, "-noout", "-text"])
    };
    let empty = shown(vec![]);
    assert!(empty.contains("No Revoked Certificates") && empty.contains("Version 2"), "{empty}");
    assert!(empty.contains("X509v3 CRL Number: \n                4660"), "{empty}");
    assert!(empty.contains("X509v3 Authority Key Identifier"), "{empty}");
    assert!(!shown(vec![entry(serial(7), 0)]).contains("Reason Code"), "unspecified is not written");
    let dated = CrlEntry { invalidity_date: Some(now() - Duration::days(1)), ..entry(serial(7), 1) };
    let full = shown(vec![dated]);
    assert!(full.contains("Key Compromise") && full.contains("Invalidity Date"), "{full}");
    // A foreign serial that uses all 160 bits stays positive.
    let wide = shown(vec![entry(Serial::parse(&"ff".repeat(20)).unwrap(), 0)]);
    assert!(wide.contains(&format!("Serial Number: {}", "FF".repeat(20))), "{wide}");
}

#[test]
fn lists_that_break_a_rule_are_refused_by_name() {
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = root(&key).issuer();
    let code = |template: &CrlTemplate| crl::build(template, &ca, &key).expect_err("refused").code();
    assert_eq!(code(&list(vec![entry(serial(7), 1), entry(serial(7), 4)])), "crl_duplicate");
    for reason in [7, 8, 11] {
        assert_eq!(code(&list(vec![entry(serial(7), reason)])), "reason_code");
    }
    assert_eq!(code(&CrlTemplate { next_update: list(vec![]).this_update, ..list(vec![]) }), "crl_window");
    assert_eq!(code(&CrlTemplate { next_update: ca.not_after + Duration::seconds(1), ..list(vec![]) }), "crl_window");
    let other = TestKey::new(KeyAlgorithm::EcdsaP256);
    assert_eq!(crl::build(&list(vec![]), &ca, &other).expect_err("refused").code(), "ca_key_mismatch");
}

#[test]
fn a_list_of_a_hundred_thousand_reads_back_and_belongs_to_its_ca() {
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = root(&key).issuer();
    let entries: Vec<_> = (1..=100_000u32)
        .map(|n| {
            let mut octets = [0x55; 20];
            octets[16..].copy_from_slice(&n.to_be_bytes());
            entry(Serial::from_random(octets).unwrap(), u8::try_from(n % 6).unwrap())
        })
        .collect();
    let expected: Vec<_> = entries.iter().map(|entry| (entry.serial.hex(), entry.reason)).collect();
    let crl = crl::build(&list(entries), &ca, &key).expect("builds");
    let facts = crl::inspect(&crl, &ca).expect("readable");
    assert_eq!(facts.entries, expected);
    assert_eq!(facts.number.as_deref(), Some(format!("{:0>40}", "1234").as_str()));
    assert_eq!(facts.next_update, Some(now() + Duration::hours(24)));
    let mut damaged = crl.clone();
    damaged[5000] ^= 1;
    assert!(crl::inspect(&damaged, &ca).is_err());
    assert!(crl::inspect(&crl, &root(&TestKey::new(KeyAlgorithm::EcdsaP256)).issuer()).is_err());
}

struct Responder {
    work: Work,
    ca: CaFacts,
    ca_key: TestKey,
    key: TestKey,
    cert: Vec<u8>,
}

impl Responder {
    fn new(algorithm: KeyAlgorithm) -> Self {
        let work = Work::new();
        let (ca_key, key) = (TestKey::new(algorithm), TestKey::new(KeyAlgorithm::EcdsaP256));
        let ca = root(&ca_key);
        let template = ResponderTemplate {
            serial: serial(8),
            subject: ca::responder_subject(&ca),
            not_before: now() - Duration::minutes(5),
            not_after: now() + Duration::days(30),
            spki_der: key.public_key_spki().to_vec(),
        };
        let cert = ca::build_ocsp_responder(&template, &ca.issuer(), &ca_key).expect("builds");
        let leaf = leaf::build(&leaf_template(key.public_key_spki()), &ca.issuer(), &ca_key).expect("builds");
        work.write("root.pem", &ca.chain_pem);
        work.write("leaf.pem", pem::encode(pem::CERTIFICATE, &leaf));
        Self { work, ca, ca_key, key, cert }
    }

    fn request(&self, hash: &str, nonce: &str) -> ocsp::OcspRequest {
        self.work.ok(&["ocsp", hash, "-issuer", "root.pem", "-cert", "leaf.pem", nonce, "-reqout", "request.der"]);
        ocsp::parse_request(&std::fs::read(self.work.path("request.der")).unwrap()).expect("valid")
    }

    fn template(&self, request: &ocsp::OcspRequest, status: Status) -> ResponseTemplate {
        let answers = request
            .entries
            .iter()
            .map(|entry| SingleAnswer {
                cert_id: entry.raw.clone(),
                status,
                this_update: now() - Duration::minutes(1),
                next_update: now() + Duration::hours(12),
            })
            .collect();
        ResponseTemplate {
            answers,
            produced_at: now(),
            responder_cert: Some(self.cert.clone()),
            nonce: request.nonce.clone(),
        }
    }

    /// `openssl` checks the answer against the request it made: signature, delegation, certificate id and nonce.
    fn verify(&self, hash: &str, response: &[u8]) -> String {
        self.work.write("response.der", response);
        self.work.ok(&[
            "ocsp",
            hash,
            "-issuer",
            "root.pem",
            "-cert",
            "leaf.pem",
            "-reqin",
            "request.der",
            "-respin",
            "response.der",
            "-CAfile",
            "root.pem",
            "-attime",
            ATTIME,
            "-validity_period",
            "4000000000",
            "-no_nonce",
        ])
    }
}

#[test]
fn o02_o06_answers_verify_in_openssl_for_each_status_hash_and_nonce() {
    let revoked = Status::Revoked { at: now() - Duration::hours(3), reason: 1 };
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
        let responder = Responder::new(algorithm);
        for (hash, kind) in [("-sha1", HashAlgorithm::Sha1), ("-sha256", HashAlgorithm::Sha256)] {
            for nonce in ["-nonce", "-no_nonce"] {
                let request = responder.request(hash, nonce);
                let id = &request.entries[0];
                assert_eq!((id.hash, id.serial.as_str()), (kind, leaf_template(&[]).serial.hex().as_str()));
                assert!(responder.ca.hashes.matches(id.hash, &id.name_hash, &id.key_hash));
                assert!(!responder.ca.hashes.matches(id.hash, &id.key_hash, &id.name_hash));
                assert_eq!(request.nonce.is_some(), nonce == "-nonce");
                for (status, text) in [(Status::Good, "good"), (revoked, "revoked"), (Status::Unknown, "unknown")] {
                    let response =
                        ocsp::build_response(&responder.template(&request, status), &responder.key).expect("builds");
                    let shown = responder.verify(hash, &response);
                    assert!(shown.contains("Response verify OK"), "{shown}");
                    assert!(shown.contains(&format!("leaf.pem: {text}")), "{shown}");
                    assert!(
                        !shown.contains("no nonce in response") && !shown.contains("Nonce Verify error"),
                        "{shown}"
                    );
                    assert_eq!(shown.contains("keyCompromise"), status == revoked, "{shown}");
                }
            }
        }
    }
}

#[test]
fn the_ca_may_sign_answers_itself() {
    let responder = Responder::new(KeyAlgorithm::EcdsaP256);
    let request = responder.request("-sha1", "-no_nonce");
    let template = ResponseTemplate { responder_cert: None, ..responder.template(&request, Status::Good) };
    let response = ocsp::build_response(&template, &responder.ca_key).expect("builds");
    assert!(responder.verify("-sha1", &response).contains("Response verify OK"));
}

#[test]
fn o07_the_nonce_is_echoed_among_the_response_extensions_only() {
    let responder = Responder::new(KeyAlgorithm::EcdsaP256);
    for (option, expected) in [("-nonce", 1), ("-no_nonce", 0)] {
        let request = responder.request("-sha1", option);
        let response =
            ocsp::build_response(&responder.template(&request, Status::Good), &responder.key).expect("builds");
        responder.work.write("response.der", &response);
        let text = responder.work.ok(&["ocsp", "-respin", "response.der", "-resp_text", "-noverify"]);
        let extensions = text.split_once("Response Extensions:").map_or("", |(_, rest)| rest);
        assert_eq!(
            (text.matches("OCSP Nonce").count(), extensions.matches("OCSP Nonce").count()),
            (expected, expected),
            "{text}"
        );
        if let Some(nonce) = request.nonce {
            assert!(extensions.contains(&data_encoding::HEXUPPER.encode(&nonce)), "{text}");
        }
    }
}

#[test]
fn o05_the_responder_certificate_is_for_signing_answers_only() {
    let responder = Responder::new(KeyAlgorithm::EcdsaP384);
    let path = responder.work.write("responder.der", &responder.cert);
    let shown = responder.work.ok(&["x509", "-inform", "DER", "-noout", "-text", "-in", &path]);
    for present in
        ["OCSP Signing", "OCSP No Check", "Digital Signature", "CA:FALSE", "CN = OCSP Responder for Test Root"]
    {
        assert!(shown.contains(present), "{present}: {shown}");
    }
    for absent in ["Authority Information Access", "CRL Distribution", "TLS Web"] {
        assert!(!shown.contains(absent), "{absent}: {shown}");
    }
}

#[test]
fn answers_that_break_a_rule_are_refused_by_name() {
    let responder = Responder::new(KeyAlgorithm::EcdsaP256);
    let request = responder.request("-sha1", "-no_nonce");
    let good = responder.template(&request, Status::Good);
    let code =
        |template: &ResponseTemplate| ocsp::build_response(template, &responder.key).expect_err("refused").code();
    assert_eq!(code(&ResponseTemplate { answers: vec![], ..good.clone() }), "ocsp_empty");
    let mut backwards = good.clone();
    backwards.answers[0].next_update = Timestamp::UNIX_EPOCH;
    assert_eq!(code(&backwards), "ocsp_window");
    let bad_reason = responder.template(&request, Status::Revoked { at: now(), reason: 7 });
    assert_eq!(code(&bad_reason), "reason_code");
}

#[test]
fn a_list_of_a_hundred_thousand_is_read_in_full_by_openssl() {
    let work = Work::new();
    let key = TestKey::new(KeyAlgorithm::EcdsaP384);
    let ca = root(&key);
    let entries = (1..=100_000u32).map(|n| {
        let mut octets = [0x11; 20];
        octets[16..].copy_from_slice(&n.to_be_bytes());
        entry(Serial::from_random(octets).unwrap(), [0, 1, 4, 5][(n % 4) as usize])
    });
    let der = crl::build(&list(entries.collect()), &ca.issuer(), &key).expect("builds");
    assert!(der.len() < 6_000_000, "{} octets", der.len());
    let (anchor, path) = (work.write("root.pem", &ca.chain_pem), work.write("crl.der", &der));
    let text = work.ok(&["crl", "-inform", "DER", "-in", &path, "-CAfile", &anchor, "-noout", "-text", "-verify"]);
    assert_eq!(text.matches("Serial Number: ").count(), 100_000);
    assert!(text.contains("verify OK"));
}
