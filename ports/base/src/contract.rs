//! Contract test kits: call them from an adapter's tests. They panic at the first broken promise.

use crate::{Clock, KeyAlgorithm, KeyGenerator, Random, SealContext, SealError, Sealer};

/// Checks [`Clock`].
pub fn clock(clock: &dyn Clock) {
    let now = clock.now();
    assert!(now.offset().is_utc(), "time is UTC");
    assert_eq!(now.nanosecond() % 1000, 0, "time is cut to microseconds");
    assert!(clock.unix_millis() > 0, "time is after 1970");
}

/// Checks [`Random`].
pub fn random(random: &dyn Random) {
    let (mut first, mut second) = ([0u8; 32], [0u8; 32]);
    random.fill(&mut first);
    random.fill(&mut second);
    assert_ne!(first, second, "two draws differ");
    random.fill(&mut []);
}

/// Checks [`Sealer`].
pub fn sealer(sealer: &dyn Sealer) {
    let here = SealContext { table: "ca.ca_certificates", column: "sealed_key", row_id: "ica-1" };
    let secret = b"a private key";
    let first = sealer.seal(secret, here).expect("seals");
    let second = sealer.seal(secret, here).expect("seals");
    assert_ne!(first, second, "two seals of one value differ");
    assert!(!first.windows(secret.len()).any(|w| w == secret), "the plaintext does not show");
    assert_eq!(sealer.open(&first, here).expect("opens").as_slice(), secret);
    for elsewhere in [
        SealContext { row_id: "ica-2", ..here },
        SealContext { column: "other", ..here },
        SealContext { table: "ca.issuers", ..here },
    ] {
        assert_eq!(sealer.open(&first, elsewhere).unwrap_err(), SealError::Broken, "a moved blob does not open");
    }
    assert_eq!(sealer.open(&[], here).unwrap_err(), SealError::Broken, "an empty blob does not open");
    assert!(sealer.open(&first[..first.len() - 1], here).is_err(), "a cut blob does not open");
}

/// Checks [`KeyGenerator`] and the keys it makes; `verify` is an independent check of (SPKI, message, signature).
pub fn key_generator(keys: &dyn KeyGenerator, verify: impl Fn(&[u8], &[u8], &[u8]) -> bool) {
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
        let der = keys.generate(algorithm).expect("makes the key");
        let key = keys.load_der(&der).expect("loads what it made");
        assert_eq!(key.key_algorithm(), algorithm);
        let signature = key.sign(b"message").expect("signs");
        assert!(verify(key.public_key_spki(), b"message", &signature), "{algorithm:?} verifies");
        assert!(!verify(key.public_key_spki(), b"other", &signature), "{algorithm:?} binds the message");
    }
    assert!(keys.generate(KeyAlgorithm::Rsa(2048)).is_err(), "RSA keys are never made");
    assert!(keys.load_der(b"not a key").is_err());
    assert!(keys.load_pem("not a key").is_err());
}
