//! Each rule of the checklist on a certificate that keeps all, then on one that breaks this rule alone.

use super::*;
use crate::builder::{self, Frame};
use crate::key::encode_spki;
use crate::leaf::{self, ExtendedUsage, LeafTemplate};
use crate::{Serial, Subject};
use certctl_kernel::Timestamp;
use certctl_ports::{KeyAlgorithm, SignatureAlgorithm};
use time::Duration;

fn at() -> Timestamp {
    Timestamp::from_unix_timestamp(1_800_000_000).expect("in range")
}

fn ec_key() -> Vec<u8> {
    let mut point = [7; 65];
    point[0] = 4;
    encode_spki(KeyAlgorithm::EcdsaP256, &point).expect("encodes")
}

fn rsa_key() -> Vec<u8> {
    // Sequence of a 2048-bit number and 65537.
    let mut octets = vec![0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];
    octets.extend([0xC1; 256]);
    octets.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    encode_spki(KeyAlgorithm::Rsa(2048), &octets).expect("encodes")
}

fn ed_key() -> Vec<u8> {
    encode_spki(KeyAlgorithm::Ed25519, &[9; 32]).expect("encodes")
}

fn name(common_name: &str) -> Vec<u8> {
    Subject::common_name(common_name).to_der().expect("encodes")
}

fn eku(critical: bool, purposes: &[ObjectIdentifier]) -> Extension {
    asn1::extension(oid::EXTENDED_KEY_USAGE, critical, &ExtendedKeyUsage(purposes.to_vec())).expect("encodes")
}

fn sans(critical: bool, names: &[&str]) -> Extension {
    let names = names.iter().map(|name| San::parse(name).expect("valid").to_general_name().expect("encodes")).collect();
    asn1::extension(oid::SUBJECT_ALT_NAME, critical, &SubjectAltName(names)).expect("encodes")
}

struct Sample {
    spki: Vec<u8>,
    subject: Vec<u8>,
    serial: [u8; 20],
    not_after: Timestamp,
    extensions: Vec<Extension>,
}

impl Sample {
    /// A server certificate that keeps every rule.
    fn server() -> Self {
        let spki = ec_key();
        let extensions = vec![
            builder::key_usage(KeyUsages::DigitalSignature).expect("encodes"),
            eku(false, &[oid::SERVER_AUTH]),
            builder::basic_constraints(false, None).expect("encodes"),
            builder::subject_key_identifier(&spki).expect("encodes"),
            builder::authority_key_identifier(&[5; 20]).expect("encodes"),
            builder::authority_info_access(&["http://a.example/ocsp".into()], &[]).expect("encodes").expect("some"),
            sans(false, &["www.example.com"]),
            builder::crl_distribution_points(&["http://a.example/crl".into()]).expect("encodes").expect("some"),
        ];
        let subject = name("www.example.com");
        Self { spki, subject, serial: [7; 20], not_after: at() + Duration::days(90), extensions }
    }

    fn ca() -> Self {
        let mut sample = Self::server();
        sample.subject = name("Some CA");
        sample.extensions.retain(|e| ![oid::EXTENDED_KEY_USAGE, oid::SUBJECT_ALT_NAME].contains(&e.extn_id));
        sample.put(builder::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).expect("encodes"));
        sample.put(builder::basic_constraints(true, Some(0)).expect("encodes"));
        sample
    }

    fn put(&mut self, extension: Extension) {
        self.extensions.retain(|other| other.extn_id != extension.extn_id);
        self.extensions.push(extension);
    }

    fn with(mut self, extension: Extension) -> Self {
        self.put(extension);
        self
    }

    fn without(mut self, id: ObjectIdentifier) -> Self {
        self.extensions.retain(|extension| extension.extn_id != id);
        self
    }

    fn value(mut self, id: ObjectIdentifier, value: &[u8]) -> Self {
        let extension = Extension { extn_id: id, critical: false, extn_value: OctetString::new(value).expect("short") };
        self.put(extension);
        self
    }

    fn key(mut self, spki: Vec<u8>, usages: impl Into<FlagSet<KeyUsages>>) -> Self {
        self.put(builder::subject_key_identifier(&spki).expect("encodes"));
        self.put(builder::key_usage(usages).expect("encodes"));
        self.spki = spki;
        self
    }

    fn der(&self) -> Vec<u8> {
        let issuer = name("Some Issuer");
        let frame = Frame {
            serial: Serial::from_random(self.serial).expect("not zero"),
            issuer_der: &issuer,
            subject_der: &self.subject,
            not_before: at(),
            not_after: self.not_after,
            spki_der: &self.spki,
            extensions: self.extensions.clone(),
        };
        let tbs = frame.tbs(SignatureAlgorithm::EcdsaP256Sha256).expect("encodes");
        asn1::wrap(&tbs, SignatureAlgorithm::EcdsaP256Sha256, &[], "a certificate").expect("wraps")
    }

    fn rules(&self) -> Vec<&'static str> {
        certificate(&self.der()).into_iter().map(|finding| finding.rule).collect()
    }
}

fn sound(sample: &Sample) {
    assert_eq!(certificate(&sample.der()), []);
}

#[test]
fn certificates_that_keep_every_rule_give_no_finding() {
    sound(&Sample::server());
    sound(&Sample::ca());
    sound(&Sample::server().key(rsa_key(), KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment));
    sound(&Sample::server().key(ed_key(), KeyUsages::DigitalSignature));
}

#[test]
fn c01_a_version_below_3_is_found() {
    let mut der = Sample::server().der();
    let place = der.windows(5).position(|octets| octets == [0xA0, 3, 2, 1, 2]).expect("the version is there");
    der[place + 4] = 1;
    assert_eq!(certificate(&der).first().map(|finding| finding.rule), Some("version"));
}

#[test]
fn c02_a_serial_with_too_little_randomness_is_found() {
    let mut short = Sample::server();
    short.serial = [0; 20];
    short.serial[13..].fill(7);
    assert_eq!(short.rules(), ["serial_entropy"]);
    short.serial[12] = 7;
    sound(&short);
}

#[test]
fn c03_a_signature_algorithm_that_differs_from_the_one_outside_is_found() {
    let mut der = Sample::server().der();
    let name = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
    let place = der.windows(8).rposition(|octets| octets == name).expect("ecdsa-with-SHA256");
    der[place + 7] = 3;
    assert_eq!(certificate(&der).first().map(|finding| finding.rule), Some("signature_algorithms"));
}

#[test]
fn c04_an_empty_subject_needs_critical_names() {
    let mut nameless = Sample::server();
    nameless.subject = vec![0x30, 0];
    assert_eq!(nameless.rules(), ["criticality"]);
    sound(&nameless.with(sans(true, &["www.example.com"])));
    assert_eq!(Sample::server().with(sans(true, &["www.example.com"])).rules(), ["criticality"]);
}

#[test]
fn c05_times_take_the_form_of_their_year() {
    let end = |year| {
        let date = time::Date::from_calendar_date(year, time::Month::January, 1).expect("a date");
        Sample { not_after: date.midnight().assume_utc(), ..Sample::server() }
    };
    sound(&end(2049));
    sound(&end(2050));
    // GeneralizedTime in a year that wants UTCTime: what a careless builder writes.
    let der = end(2050).der();
    let place = der.windows(15).position(|octets| octets == b"20500101000000Z").expect("the end");
    let mut early = der;
    early[place..place + 4].copy_from_slice(b"2049");
    assert_eq!(certificate(&early).first().map(|finding| finding.rule), Some("time_form"));
}

#[test]
fn c06_repeated_extensions_explicit_defaults_and_trailing_octets_are_found() {
    let mut twice = Sample::server();
    let again = twice.extensions[3].clone();
    twice.extensions.push(again);
    assert!(twice.rules().contains(&"extension_once"));
    // basicConstraints with cA FALSE written out, although it is the default.
    let mut constraints = Sample::server().value(oid::BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0]);
    constraints.extensions.last_mut().expect("just put").critical = true;
    assert_eq!(constraints.rules(), ["extension_der"]);
    let mut longer = Sample::server().der();
    longer.push(0);
    assert_eq!(certificate(&longer)[0].rule, "readable");
}

#[test]
fn c07_a_ca_says_so_critically_and_signs_certificates_and_lists() {
    let mut quiet = Sample::ca();
    quiet.extensions.iter_mut().filter(|e| e.extn_id == oid::BASIC_CONSTRAINTS).for_each(|e| e.critical = false);
    assert_eq!(quiet.rules(), ["criticality"]);
    let usage = builder::key_usage(KeyUsages::CRLSign).expect("encodes");
    assert_eq!(Sample::ca().with(usage).rules(), ["ca_key_usage"]);
    let leaf = Sample::server().with(builder::basic_constraints(false, Some(0)).expect("encodes"));
    assert_eq!(leaf.rules(), ["path_len"]);
    assert_eq!(Sample::server().without(oid::BASIC_CONSTRAINTS).rules(), ["basic_constraints"]);
}

#[test]
fn c08_a_leaf_signs_no_certificates() {
    let usage = builder::key_usage(KeyUsages::DigitalSignature | KeyUsages::KeyCertSign).expect("encodes");
    assert_eq!(Sample::server().with(usage).rules(), ["leaf_key_usage"]);
    assert_eq!(Sample::server().without(oid::KEY_USAGE).rules(), ["key_usage", "usage_consistency"]);
    // A BIT STRING with a superfluous octet.
    let mut loose = Sample::server().value(oid::KEY_USAGE, &[3, 3, 7, 0x80, 0]);
    loose.extensions.last_mut().expect("just put").critical = true;
    assert_eq!(loose.rules(), ["extension_der"]);
}

#[test]
fn c09_uses_that_the_key_can_t_serve_are_found() {
    let encipher = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment;
    let agree = KeyUsages::DigitalSignature | KeyUsages::KeyAgreement;
    for (spki, usages, fits) in [
        (ec_key(), encipher, false),
        (ec_key(), KeyUsages::DigitalSignature | KeyUsages::DataEncipherment, false),
        (ec_key(), agree, true),
        (rsa_key(), encipher, true),
        (rsa_key(), agree, false),
        (ed_key(), encipher, false),
        (ed_key(), agree, false),
    ] {
        let rules = Sample::server().key(spki, usages).rules();
        assert_eq!(rules.is_empty(), fits, "{usages:?}: {rules:?}");
        assert!(fits || rules == ["key_usage_for_key_type"]);
    }
}

#[test]
fn c10_purposes_need_a_signing_key() {
    let usage = builder::key_usage(KeyUsages::KeyAgreement).expect("encodes");
    assert_eq!(Sample::server().with(usage).rules(), ["usage_consistency"]);
    assert_eq!(Sample::server().without(oid::EXTENDED_KEY_USAGE).rules(), ["extended_key_usage"]);
}

#[test]
fn c11_key_identifiers_are_there_plain_and_ours() {
    assert_eq!(Sample::server().without(oid::SUBJECT_KEY_IDENTIFIER).rules(), ["subject_key_identifier"]);
    let other = builder::subject_key_identifier(&rsa_key()).expect("encodes");
    assert_eq!(Sample::server().with(other).rules(), ["subject_key_identifier"]);
    assert_eq!(Sample::server().without(oid::AUTHORITY_KEY_IDENTIFIER).rules(), ["authority_key_identifier"]);
    assert_eq!(Sample::ca().without(oid::AUTHORITY_KEY_IDENTIFIER).rules(), ["authority_key_identifier"]);
    let mut critical = Sample::server();
    critical.extensions[4].critical = true;
    assert_eq!(critical.rules(), ["criticality"]);
}

#[test]
fn c12_name_constraints_belong_to_cas_and_are_critical() {
    // permitted: [0] { { dNSName "example.com" } }
    let mut value = vec![0x30, 17, 0xA0, 15, 0x30, 13, 0x82, 11];
    value.extend(b"example.com");
    let mut ca = Sample::ca().value(oid::NAME_CONSTRAINTS, &value);
    assert_eq!(ca.rules(), ["criticality"]);
    ca.extensions.last_mut().expect("just put").critical = true;
    sound(&ca);
    let mut leaf = Sample::server().value(oid::NAME_CONSTRAINTS, &value);
    leaf.extensions.last_mut().expect("just put").critical = true;
    assert_eq!(leaf.rules(), ["name_constraints"]);
    let mut empty = Sample::ca().value(oid::NAME_CONSTRAINTS, &[0x30, 0]);
    empty.extensions.last_mut().expect("just put").critical = true;
    assert_eq!(empty.rules(), ["name_constraints"]);
}

#[test]
fn c13_names_are_there_well_formed_normal_and_once() {
    assert_eq!(Sample::server().without(oid::SUBJECT_ALT_NAME).rules(), ["names"]);
    let dns = |names: &[&str]| {
        let mut list = Vec::new();
        for name in names {
            list.extend([0x82, u8::try_from(name.len()).expect("short")]);
            list.extend(name.as_bytes());
        }
        let mut value = vec![0x30, u8::try_from(list.len()).expect("short")];
        value.extend(list);
        Sample::server().value(oid::SUBJECT_ALT_NAME, &value).rules()
    };
    assert_eq!(dns(&["www.example.com"]), Vec::<&str>::new());
    assert_eq!(dns(&["www.example.com", "www.example.com"]), ["name_once"]);
    for bad in ["WWW.example.com", ".example.com", " a.example", "a..example", "a_b.example", "192.0.2.1", "a.example."]
    {
        assert!(dns(&["www.example.com", bad]).contains(&"name_form"), "{bad}");
    }
    // iPAddress of 5 octets.
    let mut odd = vec![0x30, 24, 0x82, 15];
    odd.extend(b"www.example.com");
    odd.extend([0x87, 5, 1, 2, 3, 4, 5]);
    assert_eq!(Sample::server().value(oid::SUBJECT_ALT_NAME, &odd).rules(), ["name_form"]);
    let mut other = Sample::server();
    other.subject = name("other.example.com");
    assert_eq!(other.rules(), ["common_name"]);
}

#[test]
fn c14_status_addresses_are_uncritical_addresses() {
    let mut critical = Sample::server();
    critical.extensions[5].critical = true;
    assert_eq!(critical.rules(), ["criticality"]);
    // A distribution point without a name.
    assert_eq!(
        Sample::server().value(oid::CRL_DISTRIBUTION_POINTS, &[0x30, 2, 0x30, 0]).rules(),
        ["distribution_point"]
    );
    assert_eq!(Sample::server().value(oid::AUTHORITY_INFO_ACCESS, &[0x30, 0]).rules(), ["access_uri"]);
}

#[test]
fn c15_attributes_beyond_their_bounds_are_found() {
    let attribute = |oid: &[u8], text: &str| {
        let mut value = vec![0x06, u8::try_from(oid.len()).expect("short")];
        value.extend(oid);
        value.extend([0x0C, u8::try_from(text.len()).expect("short")]);
        value.extend(text.as_bytes());
        let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).expect("short")], content].concat();
        let mut ca = Sample::ca();
        ca.subject = wrap(0x30, &wrap(0x31, &wrap(0x30, &value)));
        ca.rules()
    };
    let (organization, country) = ([0x55, 4, 10], [0x55, 4, 6]);
    assert_eq!(attribute(&organization, &"x".repeat(64)), Vec::<&str>::new());
    assert_eq!(attribute(&organization, &"x".repeat(65)), ["name_bounds"]);
    assert_eq!(attribute(&country, "DE"), Vec::<&str>::new());
    assert_eq!(attribute(&country, "de"), ["country"]);
}

#[test]
fn c16_must_staple_is_exact_and_possible() {
    let exact = [0x30, 3, 2, 1, 5];
    sound(&Sample::server().value(oid::TLS_FEATURE, &exact));
    assert_eq!(Sample::server().value(oid::TLS_FEATURE, &[0x30, 3, 2, 1, 17]).rules(), ["must_staple"]);
    let unanswered = Sample::server().without(oid::AUTHORITY_INFO_ACCESS).value(oid::TLS_FEATURE, &exact);
    assert_eq!(unanswered.rules(), ["must_staple"]);
    let client = Sample::server().with(eku(false, &[oid::CLIENT_AUTH])).value(oid::TLS_FEATURE, &exact);
    assert_eq!(client.rules(), ["must_staple"]);
}

#[test]
fn c17_time_stamping_is_critical_and_alone() {
    sound(&Sample::server().with(eku(true, &[oid::TIME_STAMPING])));
    assert_eq!(Sample::server().with(eku(false, &[oid::TIME_STAMPING])).rules(), ["criticality"]);
    assert_eq!(Sample::server().with(eku(true, &[oid::TIME_STAMPING, oid::SERVER_AUTH])).rules(), ["time_stamping"]);
    assert_eq!(Sample::server().with(eku(true, &[oid::SERVER_AUTH])).rules(), ["criticality"]);
}

#[test]
fn c18_no_rev_avail_excludes_status_addresses() {
    let exempt = Sample::server()
        .without(oid::AUTHORITY_INFO_ACCESS)
        .without(oid::CRL_DISTRIBUTION_POINTS)
        .value(oid::NO_REV_AVAIL, &[5, 0]);
    sound(&exempt);
    assert_eq!(Sample::server().value(oid::NO_REV_AVAIL, &[5, 0]).rules(), ["no_rev_avail"]);
}

#[test]
fn o05_a_responder_is_alone_in_its_purpose_and_never_checked() {
    let responder = Sample::server()
        .without(oid::AUTHORITY_INFO_ACCESS)
        .without(oid::CRL_DISTRIBUTION_POINTS)
        .without(oid::SUBJECT_ALT_NAME)
        .with(eku(false, &[oid::OCSP_SIGNING]))
        .value(oid::OCSP_NO_CHECK, &[5, 0]);
    sound(&responder);
    assert_eq!(responder.without(oid::OCSP_NO_CHECK).rules(), ["ocsp_no_check"]);
}

#[test]
fn what_breaks_a_rule_is_refused_before_the_key_signs() {
    struct Untouchable(Vec<u8>);
    impl certctl_ports::SigningKey for Untouchable {
        fn signature_algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::EcdsaP256Sha256
        }
        fn key_algorithm(&self) -> KeyAlgorithm {
            KeyAlgorithm::EcdsaP256
        }
        fn public_key_spki(&self) -> &[u8] {
            &self.0
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, certctl_ports::KeyError> {
            panic!("the key was asked to sign")
        }
    }
    let key = Untouchable(ec_key());
    let issuer = crate::ca::IssuerFacts {
        subject_der: name("Some Issuer"),
        // A CA without an identifier: children would carry an empty one.
        ski: Vec::new(),
        spki_der: ec_key(),
        not_before: at(),
        not_after: at() + Duration::days(900),
        path_len: None,
        names: crate::constraints::NameRules::default(),
    };
    let template = LeafTemplate {
        serial: Serial::from_random([7; 20]).expect("not zero"),
        subject: Subject::common_name("www.example.com"),
        not_before: at(),
        not_after: at() + Duration::days(90),
        spki_der: ec_key(),
        sans: San::parse_list(&["www.example.com"]).expect("valid"),
        usages: vec![ExtendedUsage::ServerAuth],
        content_commitment: false,
        ocsp_urls: vec![],
        ca_issuer_urls: vec![],
        crl_urls: vec![],
        must_staple: false,
        no_rev_avail: false,
    };
    let error = leaf::build(&template, &issuer, &key).expect_err("refused");
    assert_eq!(error.code(), "lint_failed");
    assert!(error.to_string().contains("authority_key_identifier"), "{error}");
}

/// A list by another builder, with what ours would never write.
mod lists {
    use super::*;
    use der::Sequence;
    use der::asn1::Uint;
    use x509_cert::ext::Extensions;
    use x509_cert::spki::AlgorithmIdentifierRef;

    #[derive(Sequence, Clone)]
    struct Line {
        serial: Uint,
        at: Time,
        extensions: Option<Extensions>,
    }

    #[derive(Sequence, Clone)]
    struct Tbs<'a> {
        version: Option<Version>,
        signature: AlgorithmIdentifierRef<'a>,
        issuer: AnyRef<'a>,
        this_update: Time,
        next_update: Option<Time>,
        revoked: Option<Vec<Line>>,
        #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
        extensions: Option<Extensions>,
    }

    fn line(serial: u8, reason: Option<u8>, at: Timestamp) -> Line {
        let extension = reason.map(|code| Extension {
            extn_id: oid::CRL_REASON,
            critical: false,
            extn_value: OctetString::new([0x0A, 1, code]).expect("short"),
        });
        Line {
            serial: Uint::new(&[serial]).expect("short"),
            at: asn1::time(at).expect("in range"),
            extensions: extension.map(|extension| vec![extension]),
        }
    }

    fn rules(change: impl FnOnce(&mut Tbs<'_>)) -> Vec<&'static str> {
        let issuer = name("Some CA");
        let number = asn1::extension(oid::CRL_NUMBER, false, &7u64).expect("encodes");
        let mut tbs = Tbs {
            version: Some(Version::V2),
            signature: asn1::signature_identifier(SignatureAlgorithm::EcdsaP256Sha256),
            issuer: asn1::read(&issuer, "a name").expect("a name"),
            this_update: asn1::time(at()).expect("in range"),
            next_update: Some(asn1::time(at() + Duration::days(1)).expect("in range")),
            revoked: Some(vec![line(1, Some(1), at())]),
            extensions: Some(vec![builder::authority_key_identifier(&[5; 20]).expect("encodes"), number]),
        };
        change(&mut tbs);
        let tbs = asn1::write(&tbs, "a CRL").expect("encodes");
        let der = asn1::wrap(&tbs, SignatureAlgorithm::EcdsaP256Sha256, &[], "a CRL").expect("wraps");
        crate::lint::crl(&der).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_list_that_keeps_every_rule_gives_no_finding() {
        assert_eq!(rules(|_| {}), Vec::<&str>::new());
        assert_eq!(rules(|tbs| tbs.revoked = None), Vec::<&str>::new());
    }

    #[test]
    fn r01_lists_are_v2_with_number_and_authority() {
        assert_eq!(rules(|tbs| tbs.extensions.as_mut().expect("some").truncate(1)), ["crl_number"]);
        assert_eq!(rules(|tbs| drop(tbs.extensions.as_mut().expect("some").remove(0))), ["authority_key_identifier"]);
        assert_eq!(rules(|tbs| tbs.extensions.as_mut().expect("some")[1].critical = true), ["criticality"]);
        assert!(rules(|tbs| tbs.version = Some(Version::V1)).contains(&"version"));
    }

    #[test]
    fn r02_the_next_update_is_there_and_later() {
        assert_eq!(rules(|tbs| tbs.next_update = None), ["crl_window"]);
        assert_eq!(rules(|tbs| tbs.next_update = Some(tbs.this_update)), ["crl_window"]);
    }

    #[test]
    fn r03_an_empty_list_is_absent() {
        assert_eq!(rules(|tbs| tbs.revoked = Some(vec![])), ["revoked_certificates"]);
    }

    #[test]
    fn r04_reasons_are_known_and_never_unspecified() {
        for code in [0, 8] {
            assert_eq!(rules(|tbs| tbs.revoked = Some(vec![line(1, Some(code), at())])), ["reason_code"], "{code}");
        }
        for code in [1, 2, 3, 4, 5, 6, 9, 10] {
            assert_eq!(rules(|tbs| tbs.revoked = Some(vec![line(1, Some(code), at())])), Vec::<&str>::new(), "{code}");
        }
    }

    #[test]
    fn r05_serials_stand_once_and_revocations_lie_in_the_past() {
        assert_eq!(rules(|tbs| tbs.revoked = Some(vec![line(1, None, at()), line(1, None, at())])), ["crl_duplicate"]);
        let late = at() + Duration::SECOND;
        assert_eq!(rules(|tbs| tbs.revoked = Some(vec![line(1, None, late)])), ["revocation_date"]);
    }
}
