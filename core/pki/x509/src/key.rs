//! Public keys: what kind they are, and their `SubjectPublicKeyInfo`.

use crate::Error;
use crate::asn1::{self, HashAlgorithm, oid};
use certctl_ports::KeyAlgorithm;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Encode, Sequence};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

/// Families of public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// RSA.
    Rsa,
    /// ECDSA on a NIST curve.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

impl KeyType {
    /// The recorded spelling: `RSA`, `ECDSA` or `Ed25519`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

/// Kind and size of a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyFacts {
    /// The family.
    pub key_type: KeyType,
    /// Modulus bits, field bits (256, 384, 521), or 256 for Ed25519.
    pub size: u32,
}

/// `RSAPublicKey` of RFC 8017.
#[derive(Sequence)]
pub(crate) struct RsaPublicKey<'a> {
    pub modulus: UintRef<'a>,
    pub exponent: UintRef<'a>,
}

pub(crate) fn read_spki(spki_der: &[u8]) -> Result<SubjectPublicKeyInfoRef<'_>, Error> {
    asn1::read(spki_der, "public key")
}

/// Content octets of `subjectPublicKey`.
pub(crate) fn key_octets(spki_der: &[u8]) -> Result<&[u8], Error> {
    let spki = read_spki(spki_der)?;
    spki.subject_public_key
        .as_bytes()
        .ok_or_else(|| Error::malformed("public key", "it isn't a whole number of octets"))
}

fn named_curve(spki: &SubjectPublicKeyInfoRef<'_>) -> Option<ObjectIdentifier> {
    spki.algorithm.parameters.and_then(|parameters| parameters.decode_as().ok())
}

pub(crate) fn rsa_key<'a>(spki: &SubjectPublicKeyInfoRef<'a>) -> Result<RsaPublicKey<'a>, Error> {
    let octets = spki.subject_public_key.as_bytes().unwrap_or_default();
    asn1::read(octets, "RSA public key")
}

pub(crate) fn bit_length(big_endian: &[u8]) -> u32 {
    let stripped = match big_endian.iter().position(|octet| *octet != 0) {
        Some(start) => &big_endian[start..],
        None => return 0,
    };
    u32::try_from(stripped.len()).unwrap_or(u32::MAX / 8) * 8 - stripped[0].leading_zeros()
}

impl KeyFacts {
    /// Reads a DER `SubjectPublicKeyInfo`.
    pub fn from_spki(spki_der: &[u8]) -> Result<Self, Error> {
        let spki = read_spki(spki_der)?;
        match spki.algorithm.oid {
            oid::RSA => {
                let size = bit_length(rsa_key(&spki)?.modulus.as_bytes());
                Ok(Self { key_type: KeyType::Rsa, size })
            }
            oid::EC => match named_curve(&spki) {
                Some(oid::P256) => Ok(Self { key_type: KeyType::Ecdsa, size: 256 }),
                Some(oid::P384) => Ok(Self { key_type: KeyType::Ecdsa, size: 384 }),
                Some(oid::P521) => Ok(Self { key_type: KeyType::Ecdsa, size: 521 }),
                Some(curve) => Err(unsupported(&format!("elliptic curve {curve}"))),
                None => Err(unsupported("elliptic curve without a name")),
            },
            oid::ED25519 => Ok(Self { key_type: KeyType::Ed25519, size: 256 }),
            other => Err(unsupported(&format!("algorithm {other}"))),
        }
    }

    /// The recorded algorithm text: `RSA`, `ECDSA` or `Ed25519`.
    pub const fn algorithm(&self) -> &'static str {
        self.key_type.as_str()
    }
}

fn unsupported(what: &str) -> Error {
    Error::rule(
        "key_unsupported",
        format!("the public key's {what} is not supported; use RSA, ECDSA P-256, P-384 or P-521, or Ed25519"),
    )
}

/// DER `SubjectPublicKeyInfo` of a public key in its algorithm's own form: the uncompressed point (ECDSA), 32 octets
/// (Ed25519) or DER `RSAPublicKey` (RSA).
pub fn encode_spki(algorithm: KeyAlgorithm, public_key: &[u8]) -> Result<Vec<u8>, Error> {
    let (oid, parameters) = match algorithm {
        KeyAlgorithm::Rsa(_) => (oid::RSA, None),
        KeyAlgorithm::EcdsaP256 => (oid::EC, Some(oid::P256)),
        KeyAlgorithm::EcdsaP384 => (oid::EC, Some(oid::P384)),
        KeyAlgorithm::Ed25519 => (oid::ED25519, None),
    };
    let curve = parameters.as_ref().map(AnyRef::from);
    let parameters = if oid == oid::RSA { Some(AnyRef::NULL) } else { curve };
    let encode = || -> der::Result<Vec<u8>> {
        SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid, parameters },
            subject_public_key: BitStringRef::from_bytes(public_key)?,
        }
        .to_der()
    };
    encode().map_err(|_| Error::Encode("a public key"))
}

/// DER `RSAPublicKey` (RFC 8017) of big-endian modulus and exponent.
pub fn encode_rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, Error> {
    let number = |octets| UintRef::new(octets).map_err(|_| Error::Encode("an RSA public key"));
    asn1::write(&RsaPublicKey { modulus: number(modulus)?, exponent: number(exponent)? }, "an RSA public key")
}

/// RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the content of `subjectPublicKey`.
pub(crate) fn key_identifier(spki_der: &[u8]) -> Result<Vec<u8>, Error> {
    let mut digest = HashAlgorithm::Sha256.digest(key_octets(spki_der)?);
    digest.truncate(20);
    Ok(digest)
}
