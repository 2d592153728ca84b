//! The decision to issue, rule by rule.

use certctl_ca::{
    ApprovalFacts, CaRecord, CaState, CertificateFacts, IssuingFacts, LocalCaConfig, PolicyInput, ProfileFacts,
    StatusUrls, authorize, make_root,
};
use certctl_kernel::Timestamp;
use certctl_ports::fakes::{CountingRandom, FixedClock, TicketSealer};
use certctl_ports::{Ambient, KeyAlgorithm, KeyGenerator as _};
use certctl_profile::{AcmeAuthMode, Eku, KeyRule, Profile};
use certctl_signers::RingKeys;
use certctl_x509::constraints::PathConstraints;
use certctl_x509::csr::{self, ParsedCsr};
use certctl_x509::{San, Serial};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use time::Duration;
use time::macros::datetime;

const NOW: Timestamp = datetime!(2026-03-01 12:00:00.5 UTC);

fn ambient() -> Ambient {
    Ambient { clock: Arc::new(FixedClock::new(NOW)), random: Arc::new(CountingRandom::new(1)) }
}

static CA: LazyLock<Arc<CaRecord>> = LazyLock::new(|| {
    let config = LocalCaConfig::parse(&serde_json::json!({})).expect("defaults");
    let keys = RingKeys::new();
    let sealer = TicketSealer::default();
    let made = make_root("iss-local", 1, &config, &ambient(), Duration::seconds(60), &keys, &sealer);
    Arc::new(made.unwrap_or_else(|error| panic!("{error}")).record)
});

fn issuer() -> IssuingFacts {
    IssuingFacts {
        issuer_id: "iss-local".to_owned(),
        enabled: true,
        ca: Some(Arc::clone(&CA)),
        chain_not_after: CA.not_after,
        constraints: PathConstraints::default(),
        default_validity: Duration::days(90),
        backdate: Duration::seconds(60),
        urls: StatusUrls { ocsp: vec!["http://pki.example/ocsp".to_owned()], ..StatusUrls::default() },
    }
}

fn profile() -> Profile {
    Profile {
        id: "prof-1".to_owned(),
        tenant_id: certctl_kernel::DEFAULT_TENANT.to_owned(),
        name: "tls".to_owned(),
        description: String::new(),
        allowed_key_algorithms: vec![KeyRule { algorithm: certctl_profile::KeyAlgorithm::Ecdsa, min_size: 256 }],
        max_ttl_seconds: 0,
        allowed_ekus: vec![Eku::ServerAuth],
        required_san_patterns: Vec::new(),
        spiffe_uri_pattern: String::new(),
        allow_short_lived: false,
        must_staple: false,
        required_csr_attributes: Vec::new(),
        acme_auth_mode: AcmeAuthMode::TrustAuthenticated,
        requires_approval: false,
        allow_wildcards: true,
        enabled: true,
        default_owner_id: None,
        default_team_id: None,
        default_policy_id: None,
        default_issuer_id: None,
        row_version: 1,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn request(algorithm: KeyAlgorithm, common_name: Option<&str>, names: &[&str]) -> ParsedCsr {
    let keys = RingKeys::new();
    let key = keys.load_der(&keys.generate(algorithm).expect("a key")).expect("loads");
    let names: Vec<San> = names.iter().map(|name| San::parse(name).expect("a name")).collect();
    csr::parse(&csr::build(key.as_ref(), common_name, &names).expect("a request")).expect("a sound request")
}

static PLAIN: LazyLock<ParsedCsr> =
    LazyLock::new(|| request(KeyAlgorithm::EcdsaP256, Some("www.example.com"), &["www.example.com"]));

static SANS: LazyLock<Vec<String>> = LazyLock::new(|| vec!["www.example.com".to_owned(), "192.0.2.7".to_owned()]);

fn input<'a>(issuer: &'a IssuingFacts, profile: ProfileFacts<'a>, csr: &'a ParsedCsr) -> PolicyInput<'a> {
    PolicyInput {
        certificate: CertificateFacts { id: "mc-1", common_name: "www.example.com", sans: &SANS },
        profile,
        issuer,
        csr,
        key_barred: false,
        approval: None,
        requested_lifetime: None,
        now: NOW,
        serial: Serial::from_random([7; 20]).expect("not zero"),
    }
}

fn codes(input: &PolicyInput<'_>) -> Vec<String> {
    match authorize(input) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.code).collect(),
    }
}

#[test]
fn what_is_authorized_comes_from_the_certificate_and_not_from_the_request() {
    let issuer = issuer();
    let authorization = authorize(&input(&issuer, ProfileFacts::None, &PLAIN)).expect("nothing speaks against it");
    let leaf = authorization.leaf();
    let names: Vec<String> = leaf.sans.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["www.example.com", "192.0.2.7"]);
    assert_eq!(leaf.common_name.as_deref(), Some("www.example.com"));
    assert_eq!(leaf.spki_der, PLAIN.spki_der);
    assert_eq!(leaf.not_before, datetime!(2026-03-01 11:59:00 UTC));
    assert_eq!(leaf.not_after, datetime!(2026-05-30 11:58:59 UTC));
    assert_eq!((leaf.ca_id.as_ref(), leaf.revocation_exempt), (Some(&CA.id), false));
}

#[test]
fn a_profile_that_is_missing_disabled_or_waits_for_approval_stops_everything() {
    let issuer = issuer();
    assert_eq!(codes(&input(&issuer, ProfileFacts::Missing("prof-x"), &PLAIN)), ["profile_missing"]);
    let disabled = Profile { enabled: false, ..profile() };
    assert_eq!(codes(&input(&issuer, ProfileFacts::Found(&disabled), &PLAIN)), ["profile_disabled"]);
    let gated = Profile { requires_approval: true, ..profile() };
    assert_eq!(codes(&input(&issuer, ProfileFacts::Found(&gated), &PLAIN)), ["approval_required"]);
}

#[test]
fn an_approval_lets_pass_only_what_it_was_given_for() {
    let issuer = issuer();
    let gated = Profile { requires_approval: true, ..profile() };
    let granted = ApprovalFacts {
        id: "apr-1",
        certificate_id: "mc-1",
        profile_id: &gated.id,
        spki_sha256: Some(&PLAIN.spki_sha256),
        granted: true,
        used: false,
        expires_at: NOW + time::Duration::SECOND,
    };
    let with =
        |approval| PolicyInput { approval: Some(approval), ..input(&issuer, ProfileFacts::Found(&gated), &PLAIN) };
    let authorization = authorize(&with(granted)).expect("it is for this");
    assert_eq!(authorization.leaf().approval_id.as_deref(), Some("apr-1"));
    let any_key = ApprovalFacts { spki_sha256: None, ..granted };
    assert!(authorize(&with(any_key)).is_ok());
    let refused = [
        ApprovalFacts { granted: false, ..granted },
        ApprovalFacts { used: true, ..granted },
        ApprovalFacts { expires_at: NOW, ..granted },
        ApprovalFacts { certificate_id: "mc-2", ..granted },
        ApprovalFacts { profile_id: "prof-other", ..granted },
        ApprovalFacts { spki_sha256: Some("00"), ..granted },
    ];
    for approval in refused {
        assert_eq!(codes(&with(approval)), ["approval_required"], "{approval:?}");
    }
    let open = Profile { requires_approval: false, ..profile() };
    let needless = PolicyInput { approval: Some(granted), ..input(&issuer, ProfileFacts::Found(&open), &PLAIN) };
    let leaf = authorize(&needless).expect("nothing is demanded");
    assert_eq!(leaf.leaf().approval_id, None, "an approval is not used up where none is needed");
}

#[test]
fn every_broken_rule_is_reported_at_once() {
    let issuer = IssuingFacts { enabled: false, ..issuer() };
    let profile = Profile {
        enabled: false,
        allowed_key_algorithms: vec![KeyRule { algorithm: certctl_profile::KeyAlgorithm::Ecdsa, min_size: 384 }],
        required_san_patterns: vec![r".*\.example\.org".to_owned()],
        ..profile()
    };
    let csr = request(KeyAlgorithm::EcdsaP256, None, &["evil.example"]);
    let input = PolicyInput { key_barred: true, ..input(&issuer, ProfileFacts::Found(&profile), &csr) };
    let found = codes(&input);
    let expected =
        ["profile_disabled", "key_blocked", "key_not_allowed", "san_policy", "san_not_authorised", "issuer_disabled"];
    for code in expected {
        assert!(found.iter().any(|known| known == code), "{code} in {found:?}");
    }
}

#[test]
fn without_a_profile_the_built_in_key_rules_hold() {
    let issuer = issuer();
    let weak = request(KeyAlgorithm::Ed25519, None, &[]);
    assert_eq!(codes(&input(&issuer, ProfileFacts::None, &weak)), ["key_not_allowed"]);
}

#[test]
fn the_common_name_must_be_a_name_and_a_long_one_stays_out_of_the_subject() {
    let issuer = issuer();
    let person = CertificateFacts { id: "mc-1", common_name: "Alice Example", sans: &[] };
    let csr = request(KeyAlgorithm::EcdsaP256, None, &[]);
    let input_of = |certificate| PolicyInput { certificate, ..input(&issuer, ProfileFacts::None, &csr) };
    assert_eq!(codes(&input_of(person)), ["san_invalid"]);
    let long = format!("{}.{}.example", "a".repeat(40), "b".repeat(40));
    let facts = CertificateFacts { id: "mc-1", common_name: &long, sans: &[] };
    let authorization = authorize(&input_of(facts)).expect("allowed");
    assert_eq!(authorization.leaf().common_name, None);
    assert_eq!(authorization.leaf().sans, [San::Dns(long.clone())]);
    let nameless = CertificateFacts { id: "mc-1", common_name: "", sans: &[] };
    assert_eq!(codes(&input_of(nameless)), ["required"]);
}

#[test]
fn wildcards_and_patterns_follow_the_profile() {
    let issuer = issuer();
    let sans = ["*.example.com".to_owned()];
    let certificate = CertificateFacts { id: "mc-1", common_name: "www.example.com", sans: &sans };
    let strict = Profile { allow_wildcards: false, ..profile() };
    let refused = PolicyInput { certificate, ..input(&issuer, ProfileFacts::Found(&strict), &PLAIN) };
    assert_eq!(codes(&refused), ["wildcard_not_allowed"]);
    let loose = profile();
    let allowed = PolicyInput { certificate, ..input(&issuer, ProfileFacts::Found(&loose), &PLAIN) };
    assert!(authorize(&allowed).is_ok());
}

#[test]
fn a_spiffe_pattern_without_wildcard_adds_its_uri() {
    let issuer = issuer();
    let profile = Profile { spiffe_uri_pattern: "spiffe://prod.example/web".to_owned(), ..profile() };
    let authorization = authorize(&input(&issuer, ProfileFacts::Found(&profile), &PLAIN)).expect("allowed");
    assert!(authorization.leaf().sans.contains(&San::Uri("spiffe://prod.example/web".to_owned())));
}

#[test]
fn stapling_needs_an_ocsp_address_and_a_short_life_drops_all_addresses() {
    let silent = IssuingFacts { urls: StatusUrls::default(), ..issuer() };
    let stapling = Profile { must_staple: true, ..profile() };
    assert_eq!(codes(&input(&silent, ProfileFacts::Found(&stapling), &PLAIN)), ["must_staple_without_ocsp"]);
    let issuer = issuer();
    assert!(authorize(&input(&issuer, ProfileFacts::Found(&stapling), &PLAIN)).is_ok());
    let short = Profile { allow_short_lived: true, max_ttl_seconds: 600, ..profile() };
    let authorization = authorize(&input(&issuer, ProfileFacts::Found(&short), &PLAIN)).expect("allowed");
    let leaf = authorization.leaf();
    assert!(leaf.revocation_exempt && leaf.urls == StatusUrls::default());
    assert_eq!((leaf.not_after - leaf.not_before).whole_seconds(), 599);
}

#[test]
fn a_ca_that_is_retiring_or_ends_too_soon_signs_nothing() {
    let retiring = Arc::new(CaRecord { state: CaState::Retiring, ..CA.as_ref().clone() });
    let retiring = IssuingFacts { ca: Some(retiring), ..issuer() };
    assert_eq!(codes(&input(&retiring, ProfileFacts::None, &PLAIN)), ["issuer_retired"]);
    let ending = IssuingFacts { chain_not_after: NOW + Duration::days(40), ..issuer() };
    assert_eq!(codes(&input(&ending, ProfileFacts::None, &PLAIN)), ["issuer_expiring"]);
    let clamped = IssuingFacts { chain_not_after: NOW + Duration::days(50), ..issuer() };
    let authorization = authorize(&input(&clamped, ProfileFacts::None, &PLAIN)).expect("more than half is left");
    assert!(authorization.leaf().not_after <= clamped.chain_not_after);
    assert_eq!(authorization.leaf().warnings.len(), 1);
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,3}\\.example\\.(com|org)",
        "(\\*\\.)?[a-b]\\.example\\.com",
        "192\\.0\\.2\\.[1-9]",
        "[a-b]@example\\.com",
        "spiffe://prod\\.example/[a-b]",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a request names, the certificate carries exactly the names of the managed certificate, or nothing is
    /// issued.
    #[test]
    fn no_request_can_add_a_name(
        managed in proptest::collection::vec(any_name(), 1..5),
        asked in proptest::collection::vec(any_name(), 0..5),
        asked_common_name in proptest::option::of("[a-c]{1,3}\\.example\\.com"),
    ) {
        let issuer = issuer();
        let names: Vec<&str> = asked.iter().map(String::as_str).collect();
        let csr = request(KeyAlgorithm::EcdsaP256, asked_common_name.as_deref(), &names);
        let certificate = CertificateFacts { id: "mc-1", common_name: "", sans: &managed };
        let outcome = authorize(&PolicyInput { certificate, ..input(&issuer, ProfileFacts::None, &csr) });
        let wanted = San::parse_list(&managed).expect("valid names");
        let covered = csr.sans.iter().all(|name| wanted.contains(name))
            && csr.common_name.iter().all(|name| San::parse(name).is_ok_and(|name| wanted.contains(&name)));
        match outcome {
            Ok(authorization) => {
                prop_assert!(covered);
                prop_assert_eq!(&authorization.leaf().sans, &wanted);
            }
            Err(errors) => {
                prop_assert!(!covered);
                prop_assert!(errors.iter().all(|error| error.code == "san_not_authorised"));
            }
        }
    }
}
