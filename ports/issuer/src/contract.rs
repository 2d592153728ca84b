//! Contract test kits: call them from an adapter's tests. They panic at the first broken promise.

use crate::{CrlContent, Issuer, ResponderContent, StatusAuthority};
use certctl_ca::{CertificateFacts, PolicyInput, ProfileFacts, authorize, verify_leaf};
use certctl_ports::{Ambient, KeyAlgorithm, KeyGenerator};
use certctl_x509::{San, Serial, certificate, chain, crl, csr, pem};
use time::Duration;

fn serial(ambient: &Ambient) -> Serial {
    Serial::from_random(ambient.octets()).expect("not zero")
}

/// Checks [`Issuer`]: what it returns is what was authorized, under the chain it returns.
pub async fn issuer(issuer: &dyn Issuer, ambient: &Ambient, keys: &dyn KeyGenerator) {
    issuer.test(ambient.now()).await.expect("ready to sign");
    let mut fingerprints = std::collections::HashSet::new();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
        let der = keys.generate(algorithm).expect("a key");
        let key = keys.load_der(&der).expect("loads");
        let names = ["www.contract.example", "192.0.2.7"].map(|name| San::parse(name).expect("a name"));
        let request = csr::build(key.as_ref(), Some("www.contract.example"), &names).expect("a request");
        let request = csr::parse(&request).expect("a sound request");
        let sans = ["192.0.2.7".to_owned()];
        let input = PolicyInput {
            certificate: CertificateFacts { id: "mc-contract", common_name: "www.contract.example", sans: &sans },
            profile: ProfileFacts::None,
            issuer: issuer.facts(),
            csr: &request,
            key_barred: false,
            approval: None,
            requested_lifetime: Some(Duration::days(1)),
            now: ambient.now(),
            serial: serial(ambient),
        };
        let authorization = authorize(&input).expect("nothing speaks against it");
        let wanted = authorization.leaf().clone();
        let issued = issuer.issue(authorization).await.expect("issues");
        let read = certificate::inspect(&issued.leaf_der).expect("a certificate");
        assert_eq!(verify_leaf(&wanted, &read), [], "the leaf is the one authorized");
        let above = pem::certificates(&issued.chain_pem).expect("a chain");
        assert!(!above.is_empty(), "the chain holds the issuer's certificate");
        chain::check(&issued.leaf_der, &above).expect("the chain holds");
        assert!(fingerprints.insert(read.fingerprint_sha256), "two certificates differ");
    }
}

/// Checks [`StatusAuthority`]: what it signs verifies under its own certificate.
pub async fn status_authority(authority: &dyn StatusAuthority, ambient: &Ambient, keys: &dyn KeyGenerator) {
    let now = ambient.now().replace_nanosecond(0).expect("zero is in range");
    let ca = certctl_x509::ca::load(&authority.ca().full_pem(), now).expect("a CA certificate");
    let content = CrlContent {
        number: 7,
        this_update: now,
        next_update: now + Duration::hours(1),
        entries: vec![crl::CrlEntry { serial: serial(ambient), revoked_at: now, reason: 1, invalidity_date: None }],
    };
    let list = authority.sign_crl(content.clone()).await.expect("a CRL");
    let read = crl::inspect(&list, &ca.issuer()).expect("verifies");
    assert_eq!(read.entries, [(content.entries[0].serial.hex(), 1)]);
    let der = keys.generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let key = keys.load_der(&der).expect("loads");
    let responder = authority
        .certify_responder(ResponderContent {
            serial: serial(ambient),
            spki_der: key.public_key_spki().to_vec(),
            not_before: now,
            not_after: now + Duration::days(1),
        })
        .await
        .expect("a responder");
    chain::check(&responder, &[authority.ca().cert_der.clone()]).expect("certified by the CA");
    let read = certificate::inspect(&responder).expect("a certificate");
    assert_eq!(read.spki_der, key.public_key_spki());
    assert!(!read.is_ca);
}
