//! Certification requests: what `openssl` makes we read, what we make `openssl` reads, and what is wrong is refused.

mod support;

use certctl_ports::{KeyAlgorithm, SigningKey};
use certctl_x509::csr::{self, CsrError};
use certctl_x509::{San, certificate, pem, sha256_hex};
use proptest::prelude::*;
use support::{TestKey, Work};

fn codes(errors: Vec<CsrError>) -> Vec<&'static str> {
    errors.into_iter().map(|error| error.code).collect()
}

fn refused(text: &str) -> Vec<&'static str> {
    codes(csr::parse(text).expect_err("refused"))
}

/// Makes a request with `openssl req`; `extensions` fills the requested-extensions section.
fn request(work: &Work, newkey: &[&str], digest: &str, extensions: &str) -> String {
    let wanted = if extensions.is_empty() { "" } else { "req_extensions=ext\n" };
    let config = work.write(
        "req.cnf",
        format!("[req]\nprompt=no\ndistinguished_name=dn\n{wanted}[dn]\nCN=www.example.com\n[ext]\n{extensions}\n"),
    );
    let mut arguments = vec!["req", "-new", "-nodes", "-keyout", "key.pem", "-config", &config, "-out", "req.pem"];
    if !digest.is_empty() {
        arguments.push(digest);
    }
    arguments.extend(newkey);
    work.ok(&arguments);
    work.read("req.pem")
}

const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn requests_made_by_openssl_are_read() {
    let work = Work::new();
    let names = "subjectAltName=DNS:WWW.example.com,DNS:*.example.com,IP:192.0.2.1,IP:2001:db8::1,email:ops@example.com,URI:spiffe://example.com/a,DNS:www.example.com\nkeyUsage=keyEncipherment";
    for (newkey, digest, algorithm, size) in [
        (&P256[..], "-sha256", "ECDSA", 256),
        (&P256[..], "-sha384", "ECDSA", 256),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "-sha384", "ECDSA", 384),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "-sha256", "ECDSA", 384),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"], "-sha512", "ECDSA", 521),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"], "-sha384", "ECDSA", 521),
        (&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"], "-sha256", "ECDSA", 521),
        (&["-newkey", "ed25519"], "", "Ed25519", 256),
        (&["-newkey", "rsa:2048"], "-sha256", "RSA", 2048),
        (&["-newkey", "rsa:3072"], "-sha384", "RSA", 3072),
        (&["-newkey", "rsa:2048"], "-sha512", "RSA", 2048),
    ] {
        let text = request(&work, newkey, digest, names);
        let parsed = csr::parse(&text).unwrap_or_else(|errors| panic!("{newkey:?} {digest}: {errors:?}"));
        assert_eq!((parsed.key.algorithm(), parsed.key.size), (algorithm, size));
        assert_eq!(parsed.common_name.as_deref(), Some("www.example.com"));
        let expected = [
            "www.example.com",
            "*.example.com",
            "192.0.2.1",
            "2001:db8::1",
            "ops@example.com",
            "spiffe://example.com/a",
        ];
        assert_eq!(parsed.sans.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        assert_eq!(parsed.requested_extensions, ["2.5.29.17", "2.5.29.15"]);
        assert_eq!(parsed.spki_sha256, sha256_hex(&parsed.spki_der));
        assert_eq!(csr::parse(&parsed.pem).expect("its own form"), parsed);
    }
}

#[test]
fn a_request_without_extensions_and_the_old_label_are_read() {
    let work = Work::new();
    let text = request(&work, &P256, "-sha256", "");
    let old = text.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
    let parsed = csr::parse(&old).expect("valid");
    assert!(parsed.sans.is_empty());
    assert_eq!(parsed.pem, text, "normalised");
}

#[test]
fn weak_hashes_and_altered_requests_have_no_valid_signature() {
    let work = Work::new();
    let rsa = ["-newkey", "rsa:2048"];
    assert_eq!(refused(&request(&work, &rsa, "-sha1", "")), ["csr_signature"]);
    assert_eq!(refused(&request(&work, &P256, "-sha1", "")), ["csr_signature"]);
    assert_eq!(refused(&request(&work, &rsa, "-md5", "")), ["csr_signature"]);
    for newkey in [P256, ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"]] {
        let mut der = csr::parse(&request(&work, &newkey, "-sha256", "")).expect("valid").der;
        let place = der.windows(3).position(|window| window == b"www").expect("the name is there");
        der[place] = b'v';
        assert_eq!(refused(&pem::encode(pem::CERTIFICATE_REQUEST, &der)), ["csr_signature"]);
    }
}

#[test]
fn weak_and_unsupported_keys_are_refused() {
    let work = Work::new();
    for newkey in [
        &["-newkey", "rsa:1024"][..],
        &["-newkey", "rsa:2047"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
        &["-newkey", "ed448"],
        &["-newkey", "rsa:2048", "-pkeyopt", "rsa_keygen_pubexp:3"],
        &["-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"],
    ] {
        let digest = if newkey.contains(&"ed448") { "" } else { "-sha256" };
        assert_eq!(refused(&request(&work, newkey, digest, "")), ["key_weak"], "{newkey:?}");
    }
}

#[test]
fn c19_everything_wrong_with_a_request_is_told_at_once() {
    let work = Work::new();
    let extensions =
        "basicConstraints=CA:TRUE\nsubjectAltName=DNS:a..b,DNS:xn--a.example,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:x";
    let found = refused(&request(&work, &["-newkey", "rsa:1024"], "-sha256", extensions));
    assert_eq!(found, ["key_weak", "csr_ca_requested", "san_invalid", "idn_invalid", "san_invalid"]);
    assert_eq!(refused(&request(&work, &P256, "-sha256", "basicConstraints=CA:TRUE")), ["csr_ca_requested"]);
}

#[test]
fn more_names_than_a_certificate_carries_are_refused() {
    let work = Work::new();
    let names: Vec<String> = (0..101).map(|n| format!("DNS:h{n}.example")).collect();
    assert_eq!(
        refused(&request(&work, &P256, "-sha256", &format!("subjectAltName={}", names.join(",")))),
        ["san_invalid"]
    );
}

#[test]
fn text_that_is_not_one_request_is_malformed() {
    let work = Work::new();
    let good = request(&work, &P256, "-sha256", "");
    let der = csr::parse(&good).expect("valid").der;
    let with = |der: &[u8]| pem::encode(pem::CERTIFICATE_REQUEST, der);
    let mut indefinite = der.clone();
    indefinite[1] = 0x80;
    for bad in [
        String::new(),
        format!("{good}{good}"),
        good.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
        with(&[&der[..], &[0]].concat()),
        with(&der[..der.len() - 1]),
        with(&indefinite),
        format!("{good}{}", " ".repeat(64 * 1024)),
    ] {
        assert_eq!(refused(&bad), ["csr_malformed"], "{bad}");
    }
}

#[test]
fn requests_we_build_verify_in_openssl_and_here() {
    let work = Work::new();
    let sans =
        San::parse_list(&["www.example.com", "192.0.2.1", "ops@example.com", "spiffe://example.com/a"]).expect("valid");
    let mut keys: Vec<_> =
        [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519].map(TestKey::new).into();
    keys.push(TestKey::rsa(2048, &work));
    for key in keys {
        for (common_name, sans) in [(Some("www.example.com"), &sans[..]), (None, &sans[..]), (Some("x"), &[])] {
            let text = csr::build(&key, common_name, sans).expect("builds");
            let path = work.write("built.pem", &text);
            let shown = work.ok(&["req", "-in", &path, "-verify", "-noout", "-text"]);
            assert!(shown.contains("self-signature verify OK"), "{shown}");
            let parsed = csr::parse(&text).expect("valid");
            assert_eq!((parsed.common_name.as_deref(), parsed.sans.as_slice()), (common_name, sans));
            assert_eq!(parsed.spki_der, key.public_key_spki());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_and_damaged_input_never_panics(
        noise in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let _ = csr::parse(&pem::encode(pem::CERTIFICATE_REQUEST, &noise));
        let _ = certificate::inspect(&noise);
        let _ = pem::decode_all(&String::from_utf8_lossy(&noise));
        let mut damaged = sample();
        let position = at.index(damaged.len());
        damaged[position] = value;
        let _ = csr::parse(&pem::encode(pem::CERTIFICATE_REQUEST, &damaged));
    }
}

fn sample() -> Vec<u8> {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SAMPLE
        .get_or_init(|| {
            let sans = San::parse_list(&["www.example.com", "192.0.2.1"]).unwrap();
            let text = csr::build(&TestKey::new(KeyAlgorithm::EcdsaP256), Some("www.example.com"), &sans).unwrap();
            csr::parse(&text).unwrap().der
        })
        .clone()
}
