//! Signature checks, through `ring`, and through `p521` for the one curve that `ring` lacks.

use crate::Error;
use crate::asn1::{self, HashAlgorithm, Signed, oid};
use crate::key::{KeyFacts, KeyType, key_octets};
use der::asn1::{AnyRef, UintRef};
use der::{Encode, Sequence};
use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::{Signature, VerifyingKey};
use ring::signature::{self as ring_signature, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::spki::AlgorithmIdentifierRef;

/// Checks a bare signature value as the product's own keys make it: SHA-256 for RSA (PKCS#1 v1.5) and P-256, SHA-384
/// for P-384, and Ed25519. `spki_der` is a DER `SubjectPublicKeyInfo`.
pub fn verify(spki_der: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(facts) = KeyFacts::from_spki(spki_der) else { return false };
    let algorithm: &dyn VerificationAlgorithm = match (facts.key_type, facts.size) {
        (KeyType::Rsa, _) => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
        (KeyType::Ecdsa, 256) => &ring_signature::ECDSA_P256_SHA256_ASN1,
        (KeyType::Ecdsa, 384) => &ring_signature::ECDSA_P384_SHA384_ASN1,
        (KeyType::Ecdsa, _) => return false,
        (KeyType::Ed25519, _) => &ring_signature::ED25519,
    };
    Check::Ring(algorithm).holds(spki_der, message, signature)
}

/// `ECDSA-Sig-Value` of RFC 3279.
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The DER form of an ECDSA signature from the two halves that tokens give: r, then s, of the same length.
pub fn ecdsa_from_raw(halves: &[u8]) -> Result<Vec<u8>, Error> {
    const WHAT: &str = "an ECDSA signature";
    let (r, s) = halves.split_at(halves.len() / 2);
    if r.is_empty() || r.len() != s.len() {
        return Err(Error::Encode(WHAT));
    }
    let number = |octets| UintRef::new(octets).map_err(|_| Error::Encode(WHAT));
    asn1::write(&EcdsaSignature { r: number(r)?, s: number(s)? }, WHAT)
}

/// How a signature is checked.
#[derive(Clone, Copy)]
enum Check {
    Ring(&'static dyn VerificationAlgorithm),
    /// ECDSA on P-521, which ring does not know, with this hash.
    P521(HashAlgorithm),
}

/// Octets of a field element of P-521.
const P521_FIELD: usize = 66;

impl Check {
    fn holds(self, spki_der: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = key_octets(spki_der) else { return false };
        match self {
            Self::Ring(algorithm) => UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok(),
            Self::P521(hash) => {
                let (Ok(key), Ok(signature)) = (VerifyingKey::from_sec1_bytes(key), p521_signature(signature)) else {
                    return false;
                };
                // The hash counts as an integer: zeros in front change nothing and make it as long as the field.
                let digest = hash.digest(message);
                let mut padded = [0; P521_FIELD];
                padded[P521_FIELD - digest.len()..].copy_from_slice(&digest);
                key.verify_prehash(&padded, &signature).is_ok()
            }
        }
    }
}

fn p521_signature(der: &[u8]) -> Result<Signature, p521::ecdsa::Error> {
    Signature::from_der(der)
}

/// Whether the octets are a point of P-521 in uncompressed or compressed form, other than the one at infinity.
pub(crate) fn is_p521_point(octets: &[u8]) -> bool {
    VerifyingKey::from_sec1_bytes(octets).is_ok()
}

/// The algorithm that an identifier names for this key; MD5, SHA-1, DSA and RSA-PSS are refused by name.
fn algorithm_for(identifier: &AlgorithmIdentifierRef<'_>, key: KeyFacts) -> Result<Check, Error> {
    let absent = identifier.parameters.is_none();
    let null = identifier.parameters == Some(AnyRef::NULL);
    let algorithm: &'static dyn VerificationAlgorithm = match (identifier.oid, key.key_type, key.size) {
        (oid::RSA_SHA256, KeyType::Rsa, _) if null => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
        (oid::RSA_SHA384, KeyType::Rsa, _) if null => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
        (oid::RSA_SHA512, KeyType::Rsa, _) if null => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
        (oid::ECDSA_SHA256, KeyType::Ecdsa, 256) if absent => &ring_signature::ECDSA_P256_SHA256_ASN1,
        (oid::ECDSA_SHA384, KeyType::Ecdsa, 256) if absent => &ring_signature::ECDSA_P256_SHA384_ASN1,
        (oid::ECDSA_SHA256, KeyType::Ecdsa, 384) if absent => &ring_signature::ECDSA_P384_SHA256_ASN1,
        (oid::ECDSA_SHA384, KeyType::Ecdsa, 384) if absent => &ring_signature::ECDSA_P384_SHA384_ASN1,
        (oid::ED25519, KeyType::Ed25519, _) if absent => &ring_signature::ED25519,
        (oid::ECDSA_SHA256, KeyType::Ecdsa, 521) if absent => return Ok(Check::P521(HashAlgorithm::Sha256)),
        (oid::ECDSA_SHA384, KeyType::Ecdsa, 521) if absent => return Ok(Check::P521(HashAlgorithm::Sha384)),
        (oid::ECDSA_SHA512, KeyType::Ecdsa, 521) if absent => return Ok(Check::P521(HashAlgorithm::Sha512)),
        (oid, _, _) => {
            let name = weak_name(oid).map_or_else(|| oid.to_string(), |name| format!("{name} ({oid})"));
            return Err(Error::rule(
                "signature_algorithm",
                format!(
                    "signature algorithm {name} is not accepted with a key of type {} {}; use SHA-256 or SHA-384, or \
                     SHA-512 with RSA or P-521",
                    key.algorithm(),
                    key.size
                ),
            ));
        }
    };
    Ok(Check::Ring(algorithm))
}

fn weak_name(oid: der::asn1::ObjectIdentifier) -> Option<&'static str> {
    match oid.to_string().as_str() {
        "1.2.840.113549.1.1.4" => Some("MD5 with RSA"),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => Some("SHA-1 with RSA"),
        "1.2.840.113549.1.1.10" => Some("RSA-PSS"),
        "1.2.840.10045.4.1" => Some("ECDSA with SHA-1"),
        "1.2.840.10040.4.3" | "2.16.840.1.101.3.4.3.2" => Some("DSA"),
        _ => (oid == oid::ECDSA_SHA512).then_some("ECDSA with SHA-512"),
    }
}

/// True when the identifier names a hash that collides (MD5, SHA-1).
pub(crate) fn is_broken_hash(identifier: &AlgorithmIdentifierRef<'_>) -> bool {
    matches!(
        identifier.oid.to_string().as_str(),
        "1.2.840.113549.1.1.2"
            | "1.2.840.113549.1.1.4"
            | "1.2.840.113549.1.1.5"
            | "1.3.14.3.2.29"
            | "1.2.840.10045.4.1"
            | "1.2.840.10040.4.3"
    )
}

/// Checks the signature of any signed object under a key.
pub(crate) fn verify_signed(signed: &Signed<'_>, spki_der: &[u8]) -> Result<(), Error> {
    let algorithm = algorithm_for(&signed.algorithm, KeyFacts::from_spki(spki_der)?)?;
    let message = signed.tbs.to_der().map_err(|_| Error::Encode("the signed part"))?;
    let signature = signed.signature.as_bytes().unwrap_or_default();
    if algorithm.holds(spki_der, &message, signature) {
        Ok(())
    } else {
        Err(Error::rule("signature_invalid", "the signature does not verify under the public key"))
    }
}

/// Checks that a certificate, request or revocation list in DER was signed with the key `spki_der`.
pub fn verify_object(der: &[u8], spki_der: &[u8]) -> Result<(), Error> {
    verify_signed(&asn1::read(der, "signed object")?, spki_der)
}
