//! Keys over `ring` for the tests, and the `openssl` command as an independent judge.

#![allow(dead_code, reason = "each test binary uses its own part")]

use certctl_kernel::Timestamp;
use certctl_ports::{KeyAlgorithm, KeyError, SignatureAlgorithm, SigningKey};
use certctl_x509::ca::{self, CaFacts, RootTemplate};
use certctl_x509::leaf::{ExtendedUsage, LeafTemplate};
use certctl_x509::{San, Serial, Subject, encode_spki, pem};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use time::Duration;

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

pub struct TestKey {
    pair: Pair,
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    pub pkcs8: Vec<u8>,
}

#[expect(clippy::disallowed_methods, reason = "tests need real signatures")]
fn random() -> SystemRandom {
    SystemRandom::new()
}

impl TestKey {
    pub fn new(algorithm: KeyAlgorithm) -> Self {
        let rng = random();
        let pkcs8 = match algorithm {
            KeyAlgorithm::EcdsaP256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &rng).unwrap(),
            KeyAlgorithm::EcdsaP384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &rng).unwrap(),
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&rng).unwrap(),
            KeyAlgorithm::Rsa(_) => panic!("use TestKey::rsa"),
        };
        let pkcs8 = pkcs8.as_ref().to_vec();
        let (pair, public) = if algorithm == KeyAlgorithm::Ed25519 {
            let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap();
            let public = pair.public_key().as_ref().to_vec();
            (Pair::Ed(pair), public)
        } else {
            let p256 = algorithm == KeyAlgorithm::EcdsaP256;
            let kind = if p256 { &ECDSA_P256_SHA256_ASN1_SIGNING } else { &ECDSA_P384_SHA384_ASN1_SIGNING };
            let pair = EcdsaKeyPair::from_pkcs8(kind, &pkcs8, &rng).unwrap();
            let public = pair.public_key().as_ref().to_vec();
            (Pair::Ec(pair), public)
        };
        Self { pair, algorithm, spki: encode_spki(algorithm, &public).unwrap(), pkcs8 }
    }

    /// An RSA key made by `openssl`: ring makes none.
    pub fn rsa(bits: u16, work: &Work) -> Self {
        let path = work.path("rsa.pem");
        work.ok(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}"), "-out", &path]);
        let pkcs8 = pem::decode_all(&work.read("rsa.pem")).unwrap().remove(0).der;
        let pair = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
        let algorithm = KeyAlgorithm::Rsa(bits);
        let spki = encode_spki(algorithm, pair.public().as_ref()).unwrap();
        Self { pair: Pair::Rsa(pair), algorithm, spki, pkcs8 }
    }

    pub fn pem(&self) -> String {
        pem::encode(pem::PRIVATE_KEY, &self.pkcs8)
    }
}

impl SigningKey for TestKey {
    fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self.algorithm {
            KeyAlgorithm::Rsa(_) => SignatureAlgorithm::RsaPkcs1Sha256,
            KeyAlgorithm::EcdsaP256 => SignatureAlgorithm::EcdsaP256Sha256,
            KeyAlgorithm::EcdsaP384 => SignatureAlgorithm::EcdsaP384Sha384,
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }

    fn key_algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(match &self.pair {
            Pair::Ec(pair) => pair.sign(&random(), message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random(), message, &mut signature).unwrap();
                signature
            }
        })
    }
}

/// A folder that ends with the test, and `openssl` in it.
pub struct Work(tempfile::TempDir);

impl Work {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// Runs `openssl`; (succeeded, output of both streams).
    pub fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("openssl").args(arguments).current_dir(self.root()).output().expect("openssl runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs `openssl`, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let (success, text) = self.run(arguments);
        assert!(success, "openssl {arguments:?}: {text}");
        text
    }
}

/// DER `SubjectPublicKeyInfo` of every kind of key that is certified, made by `openssl`, with its name.
pub fn public_keys(work: &Work) -> Vec<(&'static str, Vec<u8>)> {
    let kinds: [(&str, &[&str]); 5] = [
        ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
        ("ed25519", &["-algorithm", "ED25519"]),
    ];
    kinds
        .map(|(name, kind)| {
            let (private, public) = (work.path("any.key"), work.path("any.pub"));
            work.ok(&[&["genpkey"], kind, &["-out", &private]].concat());
            work.ok(&["pkey", "-in", &private, "-pubout", "-outform", "DER", "-out", &public]);
            (name, std::fs::read(&public).unwrap())
        })
        .into()
}

/// A fixed instant for builders; `openssl` is told to judge at the same instant where it judges time.
pub fn now() -> Timestamp {
    Timestamp::from_unix_timestamp(1_800_000_000).unwrap()
}

pub const ATTIME: &str = "1800000000";

pub fn serial(n: u8) -> Serial {
    Serial::from_random([n; 20]).unwrap()
}

pub fn root(key: &TestKey) -> CaFacts {
    let template = RootTemplate {
        serial: serial(1),
        subject: Subject { organization: Some("Prüfstelle".into()), ..Subject::common_name("Test Root") },
        not_before: now() - Duration::hours(1),
        not_after: now() + Duration::days(3650),
        path_len: None,
    };
    let der = ca::build_self_signed_root(&template, key).unwrap();
    ca::load(&pem::encode(pem::CERTIFICATE, &der), now()).unwrap()
}

pub fn leaf_template(spki: &[u8]) -> LeafTemplate {
    LeafTemplate {
        serial: serial(2),
        subject: Subject::common_name("www.example.com"),
        not_before: now() - Duration::minutes(5),
        not_after: now() + Duration::days(90),
        spki_der: spki.to_vec(),
        sans: San::parse_list(&[
            "www.example.com",
            "*.example.com",
            "192.0.2.7",
            "2001:db8::7",
            "spiffe://example.com/web",
        ])
        .unwrap(),
        usages: vec![ExtendedUsage::ServerAuth],
        content_commitment: false,
        ocsp_urls: vec!["http://ca.example.com/ocsp".into()],
        ca_issuer_urls: vec!["http://ca.example.com/ca.cer".into()],
        crl_urls: vec!["https://ca.example.com/b.crl".into(), "http://ca.example.com/a.crl".into()],
        must_staple: false,
        no_rev_avail: false,
    }
}
