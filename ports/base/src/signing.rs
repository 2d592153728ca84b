//! Signing keys.

use zeroize::Zeroizing;

/// Key types that the product makes or uses for signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// RSA with this modulus length in bits.
    Rsa(u16),
    /// NIST P-256.
    EcdsaP256,
    /// NIST P-384.
    EcdsaP384,
    /// Edwards curve 25519 (RFC 8032).
    Ed25519,
}

/// Signature algorithms of RFC 5912, always with a hash of the key's strength; never SHA-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// sha256WithRSAEncryption.
    RsaPkcs1Sha256,
    /// ecdsa-with-SHA256 on P-256.
    EcdsaP256Sha256,
    /// ecdsa-with-SHA384 on P-384.
    EcdsaP384Sha384,
    /// id-Ed25519 (RFC 8410).
    Ed25519,
}

/// A key can't be loaded, made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file or blob holds no key of a supported kind.
    #[error("unsupported private key: {0}")]
    Unsupported(&'static str),
    /// The key material is damaged.
    #[error("the private key can't be read")]
    Malformed,
    /// The signing operation failed.
    #[error("the signing operation failed")]
    SigningFailed,
}

/// A private key that signs.
///
/// Contract: `sign` returns the signature value as X.509 wants it (DER `ECDSA-Sig-Value` for ECDSA) over the message
/// itself (the implementation hashes); the signature verifies under `public_key_spki`. The call blocks for as long
/// as the operation takes: microseconds for ECDSA in memory, milliseconds for RSA or a token.
pub trait SigningKey: Send + Sync {
    /// The algorithm of the key's signatures.
    fn signature_algorithm(&self) -> SignatureAlgorithm;
    /// The key's kind and size.
    fn key_algorithm(&self) -> KeyAlgorithm;
    /// DER `SubjectPublicKeyInfo`.
    fn public_key_spki(&self) -> &[u8];
    /// Signs `message`.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// Makes and loads keys held in memory.
pub trait KeyGenerator: Send + Sync {
    /// Makes a key; returns its PKCS#8 DER for sealing. RSA is refused: the product never makes RSA keys for itself.
    fn generate(&self, algorithm: KeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, KeyError>;
    /// Loads a key from PKCS#8, PKCS#1 or SEC1 DER.
    fn load_der(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, KeyError>;
    /// Loads a key from PEM (`PRIVATE KEY`, `RSA PRIVATE KEY`, `EC PRIVATE KEY`; a leading `EC PARAMETERS` is skipped).
    fn load_pem(&self, pem: &str) -> Result<Box<dyn SigningKey>, KeyError>;
    /// Finds a key that stays on a token, by its RFC 7512 reference.
    fn load_token(&self, _reference: &str) -> Result<Box<dyn SigningKey>, KeyError> {
        Err(KeyError::Unsupported("no PKCS#11 module is configured; set CERTCTL_PKCS11_MODULE"))
    }
}
