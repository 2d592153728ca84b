//! Making, loading and using keys in memory.

use crate::Tokens;
use certctl_ports::{KeyAlgorithm, KeyError, KeyGenerator, SignatureAlgorithm, SigningKey};
use certctl_x509::{encode_spki, pem};
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfo};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// ring as key generator.
#[derive(Debug, Clone)]
pub struct RingKeys {
    random: SystemRandom,
    tokens: Option<Arc<Tokens>>,
}

impl RingKeys {
    /// Uses the operating system's randomness, which ring takes in no other way.
    #[expect(clippy::disallowed_methods, reason = "ring draws key material and nonces from its own handle only")]
    pub fn new() -> Self {
        Self { random: SystemRandom::new(), tokens: None }
    }

    /// The same, and keys on these tokens.
    pub fn with_tokens(tokens: Arc<Tokens>) -> Self {
        Self { tokens: Some(tokens), ..Self::new() }
    }
}

impl Default for RingKeys {
    fn default() -> Self {
        Self::new()
    }
}

enum Pair {
    Ecdsa(EcdsaKeyPair, SignatureAlgorithm),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

struct MemoryKey {
    pair: Pair,
    algorithm: KeyAlgorithm,
    spki: Vec<u8>,
    random: SystemRandom,
}

impl SigningKey for MemoryKey {
    fn signature_algorithm(&self) -> SignatureAlgorithm {
        match &self.pair {
            Pair::Ecdsa(_, algorithm) => *algorithm,
            Pair::Ed25519(_) => SignatureAlgorithm::Ed25519,
            Pair::Rsa(_) => SignatureAlgorithm::RsaPkcs1Sha256,
        }
    }

    fn key_algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn public_key_spki(&self) -> &[u8] {
        &self.spki
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ecdsa(pair, _) => pair
                .sign(&self.random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::SigningFailed),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
                    .map_err(|_| KeyError::SigningFailed)?;
                Ok(signature)
            }
        }
    }
}

impl RingKeys {
    fn key(&self, pair: Pair, algorithm: KeyAlgorithm, public: &[u8]) -> Result<Box<dyn SigningKey>, KeyError> {
        let spki = encode_spki(algorithm, public).map_err(|_| KeyError::Malformed)?;
        Ok(Box::new(MemoryKey { pair, algorithm, spki, random: self.random.clone() }))
    }

    fn ecdsa(&self, pkcs8: &[u8], kind: KeyAlgorithm) -> Option<Result<Box<dyn SigningKey>, KeyError>> {
        let (curve, signature): (&'static EcdsaSigningAlgorithm, _) = match kind {
            KeyAlgorithm::EcdsaP256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, SignatureAlgorithm::EcdsaP256Sha256),
            _ => (&ECDSA_P384_SHA384_ASN1_SIGNING, SignatureAlgorithm::EcdsaP384Sha384),
        };
        let pair = EcdsaKeyPair::from_pkcs8(curve, pkcs8, &self.random).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        Some(self.key(Pair::Ecdsa(pair, signature), kind, &public))
    }

    /// ring writes Ed25519 keys as PKCS#8 v2 with the public key, which OpenSSL and servers built on it don't read;
    /// this is v1 (RFC 8410 §7).
    fn ed25519(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        self.random.fill(seed.as_mut()).map_err(|_| KeyError::SigningFailed)?;
        let wrapped = OctetStringRef::new(seed.as_ref()).and_then(|octets| octets.to_der());
        let wrapped = Zeroizing::new(wrapped.map_err(|_| KeyError::Malformed)?);
        wrap(AlgorithmIdentifierRef { oid: ED25519, parameters: None }, &wrapped)
    }

    fn rsa(&self, pair: RsaKeyPair) -> Result<Box<dyn SigningKey>, KeyError> {
        let algorithm = match pair.public().modulus_len() * 8 {
            2048 => KeyAlgorithm::Rsa(2048),
            3072 => KeyAlgorithm::Rsa(3072),
            4096 => KeyAlgorithm::Rsa(4096),
            _ => return Err(KeyError::Unsupported("RSA keys must have 2048, 3072 or 4096 bits")),
        };
        let public = pair.public_key().as_ref().to_vec();
        self.key(Pair::Rsa(Box::new(pair)), algorithm, &public)
    }
}

impl KeyGenerator for RingKeys {
    fn generate(&self, algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match algorithm {
            KeyAlgorithm::EcdsaP256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.random),
            KeyAlgorithm::EcdsaP384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &self.random),
            KeyAlgorithm::Ed25519 => return self.ed25519(),
            KeyAlgorithm::Rsa(_) => return Err(KeyError::Unsupported("RSA keys are loaded, never made")),
        };
        document.map(|pkcs8| Zeroizing::new(pkcs8.as_ref().to_vec())).map_err(|_| KeyError::SigningFailed)
    }

    fn load_der(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, KeyError> {
        for kind in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384] {
            if let Some(key) = self.ecdsa(der, kind) {
                return key;
            }
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let public = pair.public_key().as_ref().to_vec();
            return self.key(Pair::Ed25519(pair), KeyAlgorithm::Ed25519, &public);
        }
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
            return self.rsa(pair);
        }
        // ring reads EC keys only as PKCS#8; a SEC1 key is wrapped once. What fails after that is not ours.
        let pkcs8 = sec1_to_pkcs8(der)?;
        [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384]
            .into_iter()
            .find_map(|kind| self.ecdsa(&pkcs8, kind))
            .unwrap_or(Err(KeyError::Unsupported("EC keys must be on P-256 or P-384 and hold their public part")))
    }

    fn load_token(&self, reference: &str) -> Result<Box<dyn SigningKey>, KeyError> {
        let none = KeyError::Unsupported("no PKCS#11 module is configured; set CERTCTL_PKCS11_MODULE");
        self.tokens.as_ref().ok_or(none)?.load(reference)
    }

    fn load_pem(&self, text: &str) -> Result<Box<dyn SigningKey>, KeyError> {
        let blocks = pem::decode_all(text).map_err(|_| KeyError::Malformed)?;
        let mut keys: Vec<(String, Zeroizing<Vec<u8>>)> =
            blocks.into_iter().map(|block| (block.label, Zeroizing::new(block.der))).collect();
        keys.retain(|(label, _)| label != "EC PARAMETERS");
        let [(label, der)] = keys.as_slice() else {
            return Err(KeyError::Unsupported("a key file holds exactly one private key and nothing else"));
        };
        match label.as_str() {
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => self.load_der(der),
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::Unsupported("the key is encrypted; decrypt it first")),
            _ => Err(KeyError::Unsupported("the PEM block is not a private key")),
        }
    }
}

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

fn wrap(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    PrivateKeyInfo::new(algorithm, key).to_der().map(Zeroizing::new).map_err(|_| KeyError::Malformed)
}

/// Wraps a SEC1 key (RFC 5915) into PKCS#8 (RFC 5208), the one form that ring reads.
fn sec1_to_pkcs8(sec1: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let key = sec1::EcPrivateKey::try_from(sec1).map_err(|_| KeyError::Malformed)?;
    let curve = key
        .parameters
        .and_then(sec1::EcParameters::named_curve)
        .ok_or(KeyError::Unsupported("an EC key must name its curve"))?;
    wrap(AlgorithmIdentifierRef { oid: EC, parameters: Some(AnyRef::from(&curve)) }, sec1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_contract() {
        certctl_ports::contract::key_generator(&RingKeys::new(), certctl_x509::signature::verify);
    }

    fn openssl(arguments: &[&str]) -> String {
        let output = std::process::Command::new("openssl").args(arguments).output().expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("PEM")
    }

    #[test]
    fn keys_of_openssl_load_in_every_form_and_sign() {
        let keys = RingKeys::new();
        for arguments in [
            &["ecparam", "-name", "prime256v1", "-genkey"][..],
            &["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            &["genpkey", "-algorithm", "ED25519"],
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            &["genrsa", "-traditional", "2048"],
        ] {
            let pem = openssl(arguments);
            let key = keys.load_pem(&pem).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
            let signature = key.sign(b"message").expect("signs");
            assert!(certctl_x509::signature::verify(key.public_key_spki(), b"message", &signature), "{arguments:?}");
            // The same key in bare DER.
            let block = pem::decode_all(&pem).expect("PEM").pop().expect("the key comes last");
            assert_eq!(keys.load_der(&block.der).expect("loads").public_key_spki(), key.public_key_spki());
        }
    }

    #[test]
    fn keys_made_here_are_read_by_openssl() {
        let keys = RingKeys::new();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519] {
            let der = keys.generate(algorithm).expect("makes the key");
            std::fs::write(&path, pem::encode(pem::PRIVATE_KEY, &der)).expect("writes");
            let public = openssl(&["pkey", "-in", path.to_str().expect("UTF-8"), "-pubout"]);
            let spki = pem::decode_all(&public).expect("PEM").remove(0).der;
            assert_eq!(spki, keys.load_der(&der).expect("loads").public_key_spki(), "{algorithm:?}");
        }
    }

    #[test]
    fn a_file_of_several_keys_or_of_certificates_is_refused() {
        let keys = RingKeys::new();
        let one = openssl(&["genpkey", "-algorithm", "ED25519"]);
        assert!(keys.load_pem(&format!("{one}{one}")).is_err());
        assert!(keys.load_pem(&one.replace("PRIVATE KEY", "CERTIFICATE")).is_err());
        let p521 = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]);
        assert!(keys.load_pem(&p521).is_err());
    }

    #[test]
    fn small_rsa_keys_and_encrypted_keys_are_refused() {
        let keys = RingKeys::new();
        let small = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
        assert!(keys.load_pem(&small).is_err());
        let encrypted = openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-aes256",
            "-pass",
            "pass:x",
        ]);
        assert!(matches!(keys.load_pem(&encrypted), Err(KeyError::Unsupported(_))));
    }
}
