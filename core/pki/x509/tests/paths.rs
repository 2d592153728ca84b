//! Path rules (RFC 5280 §6): our validator and `openssl` agree on hierarchies drawn at random.

mod support;

use certctl_ports::{KeyAlgorithm, SigningKey};
use certctl_x509::ca::{self, CaFacts, SubordinateTemplate};
use certctl_x509::constraints::{NameRules, Subtree};
use certctl_x509::leaf::{self, LeafTemplate};
use certctl_x509::{San, Subject, pem};
use support::{ATTIME, TestKey, Work, leaf_template, now, root, serial};
use time::Duration;

/// A small generator: the same figures on every run, so that a disagreement can be looked at.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }

    fn some<'a>(&mut self, of: &[&'a str], most: usize) -> Vec<&'a str> {
        let mut picked: Vec<&str> = (0..self.roll(most + 1)).map(|_| of[self.roll(of.len())]).collect();
        picked.sort_unstable();
        picked.dedup();
        picked
    }
}

const TREES: [&str; 9] = [
    "a.example",
    "b.a.example",
    "c.example",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "2001:db8::/32",
    "email:a.example",
    "email:ops@c.example",
    "uri:a.example",
];

const NAMES: [&str; 12] = [
    "a.example",
    "x.a.example",
    "b.a.example",
    "x.b.a.example",
    "c.example",
    "ba.example",
    "10.1.2.3",
    "10.2.0.1",
    "192.0.2.1",
    "2001:db8::1",
    "ops@c.example",
    "https://a.example/x",
];

fn subordinate(
    below: &CaFacts,
    key: &TestKey,
    child: &TestKey,
    names: NameRules,
    path_len: Option<u8>,
) -> Option<CaFacts> {
    let template = SubordinateTemplate {
        serial: serial(3),
        subject: Subject::common_name(format!("Below {}", below.serial)),
        not_before: now() - Duration::hours(1),
        not_after: now() + Duration::days(1000),
        spki_der: child.public_key_spki().to_vec(),
        path_len,
        names,
        ocsp_urls: vec![],
        ca_issuer_urls: vec![],
        crl_urls: vec![],
    };
    let der = ca::build_subordinate(&template, &below.issuer(), key).ok()?;
    let chain = format!("{}{}", pem::encode(pem::CERTIFICATE, &der), below.chain_pem);
    Some(ca::load(&chain, now()).expect("what we built we load"))
}

#[test]
fn p04_p05_random_constrained_hierarchies_are_judged_as_openssl_judges_them() {
    let work = Work::new();
    let keys: Vec<TestKey> = (0..4).map(|_| TestKey::new(KeyAlgorithm::EcdsaP256)).collect();
    let top = root(&keys[0]);
    let anchor = work.write("root.pem", &top.chain_pem);
    let mut dice = Dice(2026);
    let (mut allowed, mut refused) = (0, 0);
    for round in 0..1000 {
        let rules = |dice: &mut Dice| {
            let read = |list: Vec<&str>| list.into_iter().map(|text| Subtree::parse(text).unwrap()).collect();
            NameRules { permitted: read(dice.some(&TREES, 3)), excluded: read(dice.some(&TREES, 1)) }
        };
        let Some(policy) = subordinate(&top, &keys[0], &keys[1], rules(&mut dice), Some(1)) else { continue };
        let Some(issuing) = subordinate(&policy, &keys[1], &keys[2], rules(&mut dice), None) else { continue };
        let mut names = dice.some(&NAMES, 3);
        if names.is_empty() {
            names.push(NAMES[round % NAMES.len()]);
        }
        let sans = San::parse_list(&names).unwrap();
        let template = LeafTemplate { subject: Subject::default(), sans, ..leaf_template(keys[3].public_key_spki()) };
        let der = leaf::build(&template, &issuing.issuer(), &keys[2]).expect("builds");
        let ours = issuing.constraints.violations(&template.sans, false);
        let leaf = work.write("leaf.pem", pem::encode(pem::CERTIFICATE, &der));
        let between = work.write("between.pem", &issuing.chain_pem);
        let arguments =
            ["verify", "-x509_strict", "-attime", ATTIME, "-CAfile", &anchor, "-untrusted", &between, &leaf];
        let (theirs, text) = work.run(&arguments);
        assert_eq!(
            theirs,
            ours.is_empty(),
            "round {round}, {names:?}: {ours:?}; openssl: {text}; {policy:?} {issuing:?}"
        );
        if theirs { allowed += 1 } else { refused += 1 }
    }
    assert!(allowed > 100 && refused > 100, "{allowed} allowed, {refused} refused");
}

#[test]
fn p02_p03_path_lengths_of_every_ancestor_count() {
    let keys: Vec<TestKey> = (0..5).map(|_| TestKey::new(KeyAlgorithm::EcdsaP256)).collect();
    let top = root(&keys[0]);
    let policy = subordinate(&top, &keys[0], &keys[1], NameRules::default(), Some(1)).expect("one CA may follow");
    assert_eq!(policy.issuer().path_len, Some(1));
    let issuing = subordinate(&policy, &keys[1], &keys[2], NameRules::default(), None).expect("it follows");
    assert_eq!(issuing.issuer().path_len, Some(0), "what the parent leaves");
    assert_eq!(subordinate(&issuing, &keys[2], &keys[3], NameRules::default(), None), None, "none may follow");
    let wide = subordinate(&policy, &keys[1], &keys[2], NameRules::default(), Some(1));
    assert_eq!(wide, None, "a child's length is below its parent's");
}

#[test]
fn p01_a_chain_of_six_verifies_in_openssl() {
    let work = Work::new();
    let keys: Vec<TestKey> = (0..7).map(|_| TestKey::new(KeyAlgorithm::EcdsaP384)).collect();
    let top = root(&keys[0]);
    let anchor = work.write("root.pem", &top.chain_pem);
    let mut ca = top;
    for level in 1..6 {
        ca = subordinate(&ca, &keys[level - 1], &keys[level], NameRules::default(), None).expect("builds");
    }
    let der = leaf::build(&leaf_template(keys[6].public_key_spki()), &ca.issuer(), &keys[5]).expect("builds");
    let leaf = work.write("leaf.pem", pem::encode(pem::CERTIFICATE, &der));
    let between = work.write("between.pem", &ca.chain_pem);
    let text =
        work.ok(&["verify", "-x509_strict", "-attime", ATTIME, "-CAfile", &anchor, "-untrusted", &between, &leaf]);
    assert!(text.contains("OK"), "{text}");
}
