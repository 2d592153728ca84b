//! Writes one of everything that this crate builds into a folder, for linters and relying parties to judge
//! (`scripts/lint-check`): `lint_samples FOLDER UNIX-TIME`.
//!
//! Every CA key signs leaves of every key type and kind, a CA below itself, a responder, CRLs and OCSP answers. Files are
//! named `<ca>.<kind>.<key>.<type>`, where the type is `crt`, `crl` or `ocsp`, all in DER.

#[path = "../tests/support/mod.rs"]
mod support;

use certctl_kernel::Timestamp;
use certctl_ports::{KeyAlgorithm, SigningKey};
use certctl_x509::ca::{self, CaFacts, ResponderTemplate, RootTemplate, SubordinateTemplate};
use certctl_x509::constraints::{NameRules, Subtree};
use certctl_x509::crl::{self, CrlEntry, CrlTemplate};
use certctl_x509::leaf::{self, ExtendedUsage, LeafTemplate};
use certctl_x509::ocsp::{self, CertId, ResponseTemplate, SingleAnswer, Status};
use certctl_x509::{HashAlgorithm, San, Serial, Subject, pem};
use std::path::{Path, PathBuf};
use support::{TestKey, Work};
use time::Duration;

struct Samples {
    folder: PathBuf,
    at: Timestamp,
    drawn: u32,
}

impl Samples {
    fn write(&self, name: &str, der: &[u8]) {
        std::fs::write(self.folder.join(name), der).unwrap();
    }

    /// Serials of full length, no two alike.
    fn serial(&mut self) -> Serial {
        self.drawn += 1;
        let digest = HashAlgorithm::Sha256.digest(&self.drawn.to_be_bytes());
        Serial::from_random(digest[..20].try_into().unwrap()).unwrap()
    }

    fn root(&mut self, name: &str, key: &TestKey) -> CaFacts {
        let subject =
            Subject { organization: Some("Prüfstelle".into()), ..Subject::common_name(format!("Lint Root {name}")) };
        let template = RootTemplate {
            serial: self.serial(),
            subject,
            not_before: self.at - Duration::hours(1),
            not_after: self.at + Duration::days(3650),
            path_len: None,
        };
        let der = ca::build_self_signed_root(&template, key).unwrap();
        self.write(&format!("{name}.root.{name}.crt"), &der);
        ca::load(&pem::encode(pem::CERTIFICATE, &der), self.at).unwrap()
    }

    fn subordinate(&mut self, name: &str, root: &CaFacts, root_key: &TestKey, key: &TestKey) -> CaFacts {
        let template = SubordinateTemplate {
            serial: self.serial(),
            subject: Subject::common_name(format!("Lint Issuing {name}")),
            not_before: self.at - Duration::hours(1),
            not_after: self.at + Duration::days(1825),
            spki_der: key.public_key_spki().to_vec(),
            path_len: Some(0),
            names: NameRules {
                permitted: ["example.com", "192.0.2.0/24", "email:example.com"]
                    .map(|t| Subtree::parse(t).unwrap())
                    .into(),
                excluded: vec![Subtree::parse("secret.example.com").unwrap()],
            },
            ocsp_urls: vec!["http://pki.example.com/ocsp/root".into()],
            ca_issuer_urls: vec!["http://pki.example.com/root.cer".into()],
            crl_urls: vec!["http://pki.example.com/root.crl".into()],
        };
        let der = ca::build_subordinate(&template, &root.issuer(), root_key).unwrap();
        self.write(&format!("{name}.sub.p256.crt"), &der);
        let chain = [&der, &root.cert_der].map(|der| pem::encode(pem::CERTIFICATE, der)).concat();
        ca::load(&chain, self.at).unwrap()
    }

    fn template(&mut self, spki_der: &[u8], names: &[&str], usage: ExtendedUsage) -> LeafTemplate {
        LeafTemplate {
            serial: self.serial(),
            subject: names
                .first()
                .filter(|name| !name.contains(':'))
                .map_or_else(Subject::default, |name| Subject::common_name(*name)),
            not_before: self.at - Duration::minutes(1),
            not_after: self.at - Duration::minutes(1) + Duration::days(90) - Duration::SECOND,
            spki_der: spki_der.to_vec(),
            sans: San::parse_list(names).unwrap(),
            usages: vec![usage],
            content_commitment: false,
            ocsp_urls: vec!["http://pki.example.com/ocsp/iss".into()],
            ca_issuer_urls: vec!["http://pki.example.com/iss.cer".into()],
            crl_urls: vec!["http://pki.example.com/iss.crl".into()],
            must_staple: false,
            no_rev_avail: false,
        }
    }

    fn kinds(&mut self, spki: &[u8]) -> Vec<(&'static str, LeafTemplate)> {
        let tls = ["www.example.com", "example.com"];
        let every = [
            "www.example.com",
            "192.0.2.7",
            "2001:db8::7",
            "xn--bcher-kva.example",
            "https://www.example.com/a",
            "ops@example.com",
        ];
        let server = ExtendedUsage::ServerAuth;
        let mut stapled = self.template(spki, &tls, server);
        stapled.must_staple = true;
        let mut short = self.template(spki, &tls, server);
        short.no_rev_avail = true;
        (short.ocsp_urls, short.crl_urls) = (vec![], vec![]);
        short.not_after = self.at + Duration::minutes(30);
        let mut nameless = self.template(spki, &tls, server);
        nameless.subject = Subject::default();
        let mut both = self.template(spki, &tls, server);
        both.usages.push(ExtendedUsage::ClientAuth);
        vec![
            ("tls", self.template(spki, &tls, server)),
            ("names", self.template(spki, &every, server)),
            ("mutual", both),
            ("staple", stapled),
            ("short", short),
            ("nameless", nameless),
            ("client", self.template(spki, &["device-7.example.com"], ExtendedUsage::ClientAuth)),
            ("wildcard", self.template(spki, &["example.com", "*.example.com"], server)),
            ("urn", self.template(spki, &["urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"], ExtendedUsage::ClientAuth)),
            ("spiffe", self.template(spki, &["spiffe://example.com/ns/a/sa/b"], ExtendedUsage::ClientAuth)),
            ("smime", self.template(spki, &["ops@example.com"], ExtendedUsage::EmailProtection)),
            ("code", self.template(spki, &["code.example.com"], ExtendedUsage::CodeSigning)),
            ("tsa", self.template(spki, &["tsa.example.com"], ExtendedUsage::TimeStamping)),
        ]
    }

    fn crls(&mut self, name: &str, ca: &CaFacts, key: &TestKey, revoked: Serial) {
        let this_update = self.at - Duration::minutes(1);
        let build = |kind: &str, number: u64, entries: Vec<CrlEntry>| {
            let template = CrlTemplate { number, this_update, next_update: this_update + Duration::hours(24), entries };
            self.write(&format!("{name}.{kind}.crl"), &crl::build(&template, &ca.issuer(), key).unwrap());
        };
        build("empty", 1, vec![]);
        let revoked_at = this_update - Duration::hours(2);
        build("one", 2, vec![CrlEntry { serial: revoked, revoked_at, reason: 1, invalidity_date: None }]);
        let reasons = [0u8, 1, 2, 3, 4, 5, 6, 9, 10];
        let entries = reasons
            .iter()
            .map(|reason| CrlEntry {
                serial: Serial::from_random([reason + 1; 20]).unwrap(),
                revoked_at,
                reason: *reason,
                invalidity_date: (*reason == 1).then_some(revoked_at - Duration::days(1)),
            })
            .collect();
        build("reasons", 1_800_000_000, entries);
    }

    fn responder(&mut self, name: &str, ca: &CaFacts, ca_key: &TestKey, key: &TestKey) -> Vec<u8> {
        let template = ResponderTemplate {
            serial: self.serial(),
            subject: ca::responder_subject(ca),
            not_before: self.at - Duration::minutes(5),
            not_after: self.at + Duration::days(30),
            spki_der: key.public_key_spki().to_vec(),
        };
        let der = ca::build_ocsp_responder(&template, &ca.issuer(), ca_key).unwrap();
        self.write(&format!("{name}.responder.p256.crt"), &der);
        der
    }

    fn answers(&mut self, name: &str, ca: &CaFacts, key: &TestKey, responder: Option<&[u8]>, serial: &Serial) {
        let this_update = self.at - Duration::minutes(1);
        let single = |hash: HashAlgorithm, status: Status| SingleAnswer {
            cert_id: CertId::of(&ca.hashes, hash, serial).unwrap().raw,
            status,
            this_update,
            next_update: this_update + Duration::hours(12),
        };
        let (sha1, sha256) = (HashAlgorithm::Sha1, HashAlgorithm::Sha256);
        let revoked = |reason| Status::Revoked { at: this_update - Duration::hours(2), reason };
        let nonce = Some(vec![7; 32]);
        for (kind, answers, nonce) in [
            ("good", vec![single(sha1, Status::Good)], None),
            ("good256", vec![single(sha256, Status::Good)], None),
            ("nonce", vec![single(sha1, Status::Good)], nonce),
            ("revoked", vec![single(sha1, revoked(1))], None),
            ("revoked0", vec![single(sha1, revoked(0))], None),
            ("unknown", vec![single(sha1, Status::Unknown)], None),
            ("several", vec![single(sha1, Status::Good), single(sha256, revoked(4))], None),
        ] {
            let responder_cert = responder.map(<[u8]>::to_vec);
            let template = ResponseTemplate { answers, produced_at: self.at, responder_cert, nonce };
            self.write(&format!("{name}.{kind}.ocsp"), &ocsp::build_response(&template, key).unwrap());
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, at] = arguments.as_slice() else { panic!("usage: lint_samples FOLDER UNIX-TIME") };
    let at = Timestamp::from_unix_timestamp(at.parse().unwrap()).unwrap();
    let mut samples = Samples { folder: Path::new(folder).to_owned(), at, drawn: 0 };

    let work = Work::new();
    let spkis = support::public_keys(&work);
    let small = TestKey::new(KeyAlgorithm::EcdsaP256);
    let responder_key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let cas = [
        ("p256", TestKey::new(KeyAlgorithm::EcdsaP256)),
        ("p384", TestKey::new(KeyAlgorithm::EcdsaP384)),
        ("ed25519", TestKey::new(KeyAlgorithm::Ed25519)),
        ("rsa", TestKey::rsa(3072, &work)),
    ];
    for (name, key) in &cas {
        let root = samples.root(name, key);
        let below = samples.subordinate(name, &root, key, &small);
        let mut subject = None;
        for (key_name, spki) in &spkis {
            for (kind, template) in samples.kinds(spki) {
                let der = leaf::build(&template, &root.issuer(), key).unwrap();
                samples.write(&format!("{name}.{kind}.{key_name}.crt"), &der);
                subject.get_or_insert(template.serial);
            }
        }
        let subject = subject.unwrap();
        samples.crls(name, &root, key, subject);
        let responder = samples.responder(name, &root, key, &responder_key);
        samples.answers(name, &root, &responder_key, Some(&responder), &subject);
        samples.answers(&format!("{name}-direct"), &root, key, None, &subject);
        // Two steps below the root, for path builders.
        let template = samples.template(&spkis[1].1, &["deep.example.com"], ExtendedUsage::ServerAuth);
        let der = leaf::build(&template, &below.issuer(), &small).unwrap();
        samples.write(&format!("{name}.deep.p256.crt"), &der);
    }
}
