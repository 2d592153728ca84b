//! What is installed.

use certctl_kernel::Secret;
use data_encoding::HEXLOWER;

/// A leaf, its chain and its private key.
#[derive(Debug, Clone)]
pub struct Material {
    /// The leaf, DER.
    pub leaf: Vec<u8>,
    /// Issuing certificates in order, DER, without the root.
    pub chain: Vec<Vec<u8>>,
    /// The private key, PEM.
    pub key_pem: Secret<String>,
}

impl Material {
    /// Lower-case hexadecimal SHA-256 of the leaf.
    pub fn fingerprint(&self) -> String {
        Self::fingerprint_of(&self.leaf)
    }

    /// Lower-case hexadecimal SHA-256 of a DER certificate.
    pub fn fingerprint_of(der: &[u8]) -> String {
        HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, der).as_ref())
    }
}
