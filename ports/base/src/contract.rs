//! Contract test kits: call them from an adapter's tests. They panic at the first broken promise.

use crate::{
    Bucket, Clock, KeyAlgorithm, KeyGenerator, Quota, Random, RateLimits, SealContext, SealError, Sealer,
    SignatureAlgorithm, SigningKey, Verdict,
};
use std::time::Duration;

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

/// Checks a [`SigningKey`]; `verify` is an independent check of (SPKI, message, signature).
pub fn signing_key(key: &dyn SigningKey, verify: impl Fn(&[u8], &[u8], &[u8]) -> bool) {
    for length in [0usize, 1, 31, 64, 5000] {
        let message = vec![7; length];
        let signature = key.sign(&message).expect("signs");
        assert!(verify(key.public_key_spki(), &message, &signature), "a message of {length} octets verifies");
        assert!(!verify(key.public_key_spki(), b"other", &signature), "the signature binds the message");
    }
    let fits = matches!(
        (key.key_algorithm(), key.signature_algorithm()),
        (KeyAlgorithm::Rsa(_), SignatureAlgorithm::RsaPkcs1Sha256)
            | (KeyAlgorithm::EcdsaP256, SignatureAlgorithm::EcdsaP256Sha256)
            | (KeyAlgorithm::EcdsaP384, SignatureAlgorithm::EcdsaP384Sha384)
            | (KeyAlgorithm::Ed25519, SignatureAlgorithm::Ed25519)
    );
    assert!(fits, "the signature algorithm is the key's");
}

/// Checks [`RateLimits`]; `pass` lets time go by for every bucket.
pub async fn rate_limits(limits: &dyn RateLimits, mut pass: impl AsyncFnMut(Duration)) {
    // Five an hour: what real time adds while the kit runs is nothing.
    let quota = Quota::per_hour(5);
    let (here, minute) = (Bucket { limiter: "contract", key: "a" }, Duration::from_mins(1));
    let take = async |bucket| limits.take(bucket, quota).await.expect("an answer");
    let peek = async |bucket| limits.peek(bucket, quota).await.expect("an answer");
    let figures = |verdict: Verdict| (verdict.allowed, verdict.limit, verdict.remaining);

    assert_eq!(figures(peek(here).await), (true, 5, 5), "an unknown key is at rest");
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(figures(take(here).await), (true, 5, left), "the burst passes");
    }
    for _ in 0..3 {
        let refused = take(here).await;
        assert_eq!(figures(refused), (false, 5, 0), "then no more, however often");
        assert!(refused.retry_after > 11 * minute && refused.retry_after <= 12 * minute, "{refused:?}");
        assert!(refused.reset_after > 59 * minute && refused.reset_after <= 60 * minute, "{refused:?}");
        assert!(!peek(here).await.allowed, "looking tells the same");
    }
    for elsewhere in [Bucket { key: "b", ..here }, Bucket { limiter: "contract-2", ..here }] {
        assert_eq!(figures(take(elsewhere).await), (true, 5, 4), "others are counted apart: {elsewhere:?}");
    }
    limits.sweep().await.expect("sweeps");
    assert!(!take(here).await.allowed, "sweeping forgives nothing");
    pass(12 * minute).await;
    assert_eq!(figures(peek(here).await), (true, 5, 1), "one comes back each interval");
    assert!(take(here).await.allowed && !take(here).await.allowed, "and looking did not take it");
    pass(60 * minute).await;
    limits.sweep().await.expect("sweeps");
    assert_eq!(figures(take(here).await), (true, 5, 4), "at rest again");
}
