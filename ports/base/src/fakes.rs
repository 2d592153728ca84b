//! In-memory fakes for the unit tests of the domains.

use crate::{
    Clock, KeyAlgorithm, KeyError, KeyGenerator, Random, SealContext, SealError, Sealer, SignatureAlgorithm, SigningKey,
};
use certctl_kernel::Timestamp;
use std::sync::Mutex;
use zeroize::Zeroizing;

/// A clock that stands still until told.
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// Stands at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves to `at`.
    pub fn set(&self, at: Timestamp) {
        *self.0.lock().expect("no test panics while it holds the clock") = at;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no test panics while it holds the clock")
    }
}

/// Octets counted upwards: distinct and repeatable, for tests only.
pub struct CountingRandom(Mutex<u64>);

impl CountingRandom {
    /// Starts at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for CountingRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().expect("no test panics while it draws");
        for byte in buffer {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
    }
}

/// Keeps plaintexts in memory and hands out tickets in their place.
#[derive(Default)]
pub struct TicketSealer(Mutex<Vec<(String, Vec<u8>)>>);

fn cell(context: SealContext<'_>) -> String {
    format!("{}\u{1f}{}\u{1f}{}", context.table, context.column, context.row_id)
}

impl Sealer for TicketSealer {
    fn seal(&self, plaintext: &[u8], context: SealContext<'_>) -> Result<Vec<u8>, SealError> {
        let mut store = self.0.lock().expect("no test panics while it seals");
        store.push((cell(context), plaintext.to_vec()));
        Ok(format!("ticket:{}", store.len() - 1).into_bytes())
    }

    fn open(&self, blob: &[u8], context: SealContext<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let index: usize = std::str::from_utf8(blob)
            .ok()
            .and_then(|text| text.strip_prefix("ticket:"))
            .and_then(|number| number.parse().ok())
            .ok_or(SealError::Broken)?;
        let store = self.0.lock().expect("no test panics while it opens");
        match store.get(index) {
            Some((place, value)) if *place == cell(context) => Ok(Zeroizing::new(value.clone())),
            _ => Err(SealError::Broken),
        }
    }
}

/// Keys whose signatures anybody could write: they show what was signed, and by which key. For tests only.
#[derive(Default)]
pub struct OpenKeys(Mutex<u32>);

struct OpenKey {
    algorithm: KeyAlgorithm,
    public: Vec<u8>,
}

impl OpenKeys {
    /// Whether `signature` is this message under this public key, as [`OpenKeys`] write it.
    pub fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        signature == [public_key, b"|", message].concat()
    }
}

impl KeyGenerator for OpenKeys {
    fn generate(&self, algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let name = match algorithm {
            KeyAlgorithm::EcdsaP256 => "p256",
            KeyAlgorithm::EcdsaP384 => "p384",
            KeyAlgorithm::Ed25519 => "ed25519",
            KeyAlgorithm::Rsa(_) => return Err(KeyError::Unsupported("RSA keys are never made")),
        };
        let mut made = self.0.lock().expect("no test panics while it makes a key");
        *made += 1;
        Ok(Zeroizing::new(format!("open-key:{name}:{made}").into_bytes()))
    }

    fn load_der(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, KeyError> {
        let text = std::str::from_utf8(der).map_err(|_| KeyError::Malformed)?;
        let (name, number) =
            text.strip_prefix("open-key:").and_then(|rest| rest.split_once(':')).ok_or(KeyError::Malformed)?;
        let algorithm = match name {
            "p256" => KeyAlgorithm::EcdsaP256,
            "p384" => KeyAlgorithm::EcdsaP384,
            "ed25519" => KeyAlgorithm::Ed25519,
            _ => return Err(KeyError::Unsupported("an open key of another kind")),
        };
        Ok(Box::new(OpenKey { algorithm, public: format!("public:{name}:{number}").into_bytes() }))
    }

    fn load_pem(&self, _pem: &str) -> Result<Box<dyn SigningKey>, KeyError> {
        Err(KeyError::Unsupported("open keys have no PEM form"))
    }
}

impl SigningKey for OpenKey {
    fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self.algorithm {
            KeyAlgorithm::EcdsaP256 => SignatureAlgorithm::EcdsaP256Sha256,
            KeyAlgorithm::EcdsaP384 => SignatureAlgorithm::EcdsaP384Sha384,
            KeyAlgorithm::Ed25519 => SignatureAlgorithm::Ed25519,
            KeyAlgorithm::Rsa(_) => SignatureAlgorithm::RsaPkcs1Sha256,
        }
    }

    fn key_algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok([self.public.as_slice(), b"|", message].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fakes_pass_the_contract_kits() {
        crate::contract::clock(&FixedClock::new(time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000)));
        crate::contract::random(&CountingRandom::new(1));
        crate::contract::sealer(&TicketSealer::default());
        crate::contract::key_generator(&OpenKeys::default(), OpenKeys::verify);
    }
}
