//! What the machine can do without the server.

use crate::Outcome;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use std::time::{Duration, Instant};

/// Signatures a second.
pub struct Signatures {
    /// By one thread.
    pub one_thread: f64,
    /// By two threads together.
    pub two_threads: f64,
}

fn sign(length: Duration) -> Outcome<f64> {
    let failed = |_| "ring could not make a key or sign".to_owned();
    #[expect(clippy::disallowed_methods, reason = "the crypto library is measured as it is")]
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
    let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
        .map_err(|error| format!("ring refuses its own key: {error}"))?;
    // About as long as the body of a leaf.
    let message = [7_u8; 600];
    let (mut count, begun) = (0_u32, Instant::now());
    while begun.elapsed() < length {
        key.sign(&random, &message).map_err(failed)?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// ECDSA P-256 with ring, as the local CA signs.
pub fn signatures(length: Duration) -> Outcome<Signatures> {
    let one_thread = sign(length)?;
    let two_threads = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| sign(length)), scope.spawn(|| sign(length))];
        let mut sum = 0.0;
        for thread in threads {
            sum += thread.join().map_err(|_| "a signing thread panicked".to_owned())??;
        }
        Ok::<_, String>(sum)
    })?;
    Ok(Signatures { one_thread, two_threads })
}
