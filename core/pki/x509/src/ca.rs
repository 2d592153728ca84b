//! Certification authorities: loading their certificates, and building them.

use crate::asn1::{self, HashAlgorithm, Signed, Tbs, decode_extension, oid, timestamp};
use crate::builder::{self, Frame};
use crate::constraints::{NameRules, PathConstraints};
use crate::key::{KeyFacts, KeyType, key_octets};
use crate::{Der, Error, Serial, Subject, chain, name, pem, serial, sha256_hex, signature};
use certctl_kernel::Timestamp;
use certctl_ports::SigningKey;
use der::Encode;
use der::asn1::{Null, OctetString};
use der::flagset::FlagSet;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};

/// What building a certificate, CRL or answer needs to know of the CA that signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerFacts {
    /// DER `Name`, copied byte for byte into what the CA issues.
    pub subject_der: Vec<u8>,
    /// The CA's subject key identifier.
    pub ski: Vec<u8>,
    /// The CA's public key.
    pub spki_der: Vec<u8>,
    /// Start of the CA's validity.
    pub not_before: Timestamp,
    /// The earliest end of validity in the CA's chain.
    pub not_after: Timestamp,
    /// How many CAs may stand below this one, by its own and every CA's above it; none means no limit.
    pub path_len: Option<u8>,
    /// Names that CAs below may not go beyond.
    pub names: NameRules,
}

/// Hashes that OCSP requests name a CA by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerHashes(Vec<(HashAlgorithm, Vec<u8>, Vec<u8>)>);

impl IssuerHashes {
    fn new(subject_der: &[u8], spki_der: &[u8]) -> Result<Self, Error> {
        let key = key_octets(spki_der)?;
        let algorithms = [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512];
        Ok(Self(algorithms.map(|hash| (hash, hash.digest(subject_der), hash.digest(key))).into()))
    }

    /// True when the two hashes name this CA.
    pub fn matches(&self, algorithm: HashAlgorithm, name_hash: &[u8], key_hash: &[u8]) -> bool {
        self.0.iter().any(|(hash, name, key)| *hash == algorithm && name == name_hash && key == key_hash)
    }

    /// The hash of the CA's name and that of its key.
    pub fn get(&self, algorithm: HashAlgorithm) -> (&[u8], &[u8]) {
        self.0
            .iter()
            .find(|(hash, ..)| *hash == algorithm)
            .map(|(_, name, key)| (name.as_slice(), key.as_slice()))
            .expect("the list holds every algorithm")
    }
}

/// A loaded CA certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFacts {
    /// The CA certificate.
    pub cert_der: Vec<u8>,
    /// The CA certificate and what follows it in the file, in normalised PEM.
    pub chain_pem: String,
    /// DER `Name`.
    pub subject_der: Vec<u8>,
    /// RFC 4514 text of the name.
    pub subject_dn: String,
    /// Canonical serial number.
    pub serial: String,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint_sha256: String,
    /// Subject key identifier.
    pub ski: Vec<u8>,
    /// Public key.
    pub spki_der: Vec<u8>,
    /// Kind and size of the public key.
    pub key: KeyFacts,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity of this certificate.
    pub not_after: Timestamp,
    /// Earliest end of validity of this certificate and those that follow it.
    pub chain_not_after: Timestamp,
    /// Path length constraint, when set.
    pub path_len: Option<u8>,
    /// What this certificate and those that follow it allow below.
    pub constraints: PathConstraints,
    /// True when issuer and subject are the same and the certificate signs itself.
    pub self_signed: bool,
    /// Hashes for OCSP.
    pub hashes: IssuerHashes,
}

impl CaFacts {
    /// What building needs.
    pub fn issuer(&self) -> IssuerFacts {
        IssuerFacts {
            subject_der: self.subject_der.clone(),
            ski: self.ski.clone(),
            spki_der: self.spki_der.clone(),
            not_before: self.not_before,
            not_after: self.chain_not_after,
            path_len: self.constraints.path_len,
            names: self.constraints.nearest(),
        }
    }

    /// Refuses a CA outside its validity; to be asked again at each signature. Rules: `ca_expired`,
    /// `ca_not_yet_valid`.
    pub fn check_at(&self, now: Timestamp) -> Result<(), Error> {
        if now > self.chain_not_after {
            return Err(Error::rule("ca_expired", format!("the CA certificate expired at {}", self.chain_not_after)));
        }
        if now < self.not_before {
            return Err(Error::rule("ca_not_yet_valid", format!("the CA certificate starts at {}", self.not_before)));
        }
        Ok(())
    }

    /// Refuses a private key that is not the certificate's. Rule: `ca_key_mismatch`.
    pub fn check_key(&self, key: &dyn SigningKey) -> Result<(), Error> {
        if key.public_key_spki() == self.spki_der {
            Ok(())
        } else {
            Err(Error::rule("ca_key_mismatch", "the private key does not belong to the CA certificate"))
        }
    }
}

/// Loads a CA: its certificate first, then perhaps the certificates above it, each signing the one before.
///
/// Rules, in order: `ca_not_certificate`, `ca_malformed`, `ca_not_ca`, `ca_no_cert_sign`, `ca_expired`,
/// `ca_not_yet_valid`, `ca_key_size`, `ca_no_crl_sign`, `ca_no_ski`, `ca_weak_signature`, `ca_chain`.
pub fn load(cert_pem: &str, now: Timestamp) -> Result<CaFacts, Error> {
    let blocks = pem::decode_all(cert_pem).map_err(|error| Error::rule("ca_not_certificate", error.to_string()))?;
    if blocks.first().is_none_or(|block| block.label != pem::CERTIFICATE) {
        return Err(Error::rule("ca_not_certificate", "the first PEM block is not a CERTIFICATE"));
    }
    let ders: Vec<Vec<u8>> =
        blocks.iter().filter(|block| block.label == pem::CERTIFICATE).map(|block| block.der.clone()).collect();
    if ders.len() != blocks.len() {
        return Err(Error::rule("ca_not_certificate", "the file holds a PEM block that is not a CERTIFICATE"));
    }
    let mut facts = read(&ders[0]).map_err(|error| match error {
        Error::Malformed { .. } => Error::rule("ca_malformed", error.to_string()),
        other => other,
    })?;
    for der in &ders[1..] {
        let above = read(der).map_err(|error| Error::rule("ca_chain", format!("above the CA: {error}")))?;
        facts.chain_not_after = facts.chain_not_after.min(above.not_after);
    }
    facts.check_at(now)?;
    check_strength(&facts)?;
    chain::check(&ders[0], &ders[1..]).map_err(|error| Error::rule("ca_chain", error.to_string()))?;
    facts.constraints = PathConstraints::of(&ders)?;
    facts.chain_pem = ders.iter().map(|der| pem::encode(pem::CERTIFICATE, der)).collect();
    Ok(facts)
}

fn read(der: &[u8]) -> Result<CaFacts, Error> {
    let signed: Signed<'_> = asn1::read(der, "CA certificate")?;
    let tbs_der = asn1::write(&signed.tbs, "a certificate")?;
    let tbs: Tbs<'_> = asn1::read(&tbs_der, "CA certificate")?;
    let extensions = tbs.extensions.as_deref().unwrap_or_default();

    let constraints: Option<BasicConstraints> = decode_extension(extensions, oid::BASIC_CONSTRAINTS)?;
    let Some(constraints) = constraints.filter(|constraints| constraints.ca) else {
        return Err(Error::rule(
            "ca_not_ca",
            "the certificate is not a CA certificate (basicConstraints cA is not TRUE)",
        ));
    };
    let usage: Option<KeyUsage> = decode_extension(extensions, oid::KEY_USAGE)?;
    if !usage.is_some_and(|usage| usage.key_cert_sign()) {
        return Err(Error::rule("ca_no_cert_sign", "the CA certificate's key usage lacks keyCertSign"));
    }
    let subject_der = asn1::write(&tbs.subject, "a name")?;
    let spki_der = asn1::write(&tbs.spki, "a public key")?;
    let key =
        KeyFacts::from_spki(&spki_der).map_err(|error| Error::rule("ca_key_size", format!("the CA's {error}")))?;
    if subject_der.as_slice() == [0x30, 0] {
        return Err(Error::rule("ca_malformed", "the CA certificate has no subject"));
    }
    let self_signed = tbs.issuer == tbs.subject && signature::verify_signed(&signed, &spki_der).is_ok();
    let not_after = timestamp(tbs.validity.not_after)?;
    Ok(CaFacts {
        cert_der: der.to_vec(),
        chain_pem: pem::encode(pem::CERTIFICATE, der),
        subject_dn: name::display(&subject_der)?,
        serial: serial::canonical_octets(tbs.serial.as_bytes())?,
        fingerprint_sha256: sha256_hex(der),
        ski: decode_extension::<OctetString>(extensions, oid::SUBJECT_KEY_IDENTIFIER)?
            .map(OctetString::into_bytes)
            .unwrap_or_default(),
        key,
        not_before: timestamp(tbs.validity.not_before)?,
        not_after,
        chain_not_after: not_after,
        path_len: constraints.path_len_constraint,
        constraints: PathConstraints::default(),
        self_signed,
        hashes: IssuerHashes::new(&subject_der, &spki_der)?,
        subject_der,
        spki_der,
    })
}

fn check_strength(facts: &CaFacts) -> Result<(), Error> {
    let accepted = match facts.key.key_type {
        KeyType::Rsa => matches!(facts.key.size, 2048 | 3072 | 4096),
        KeyType::Ecdsa => matches!(facts.key.size, 256 | 384),
        KeyType::Ed25519 => true,
    };
    if !accepted {
        return Err(Error::rule(
            "ca_key_size",
            format!(
                "a CA key is RSA of 2048, 3072 or 4096 bits, ECDSA P-256 or P-384, or Ed25519; this one is {} {}",
                facts.key.algorithm(),
                facts.key.size
            ),
        ));
    }
    let signed: Signed<'_> = asn1::read(&facts.cert_der, "CA certificate")?;
    let tbs_der = signed.tbs.to_der().map_err(|_| Error::Encode("a certificate"))?;
    let tbs: Tbs<'_> = asn1::read(&tbs_der, "CA certificate")?;
    let usage: Option<KeyUsage> = decode_extension(tbs.extensions.as_deref().unwrap_or_default(), oid::KEY_USAGE)?;
    if !usage.is_some_and(|usage| usage.crl_sign()) {
        return Err(Error::rule("ca_no_crl_sign", "the CA certificate's key usage lacks cRLSign"));
    }
    if facts.ski.is_empty() {
        return Err(Error::rule("ca_no_ski", "the CA certificate has no subject key identifier"));
    }
    // A root's own signature proves nothing, but a root that old is no anchor for new certificates either.
    if signature::is_broken_hash(&signed.algorithm) {
        return Err(Error::rule("ca_weak_signature", "the CA certificate is signed with SHA-1 or MD5"));
    }
    Ok(())
}

fn ca_usages() -> FlagSet<KeyUsages> {
    KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign
}

/// A self-signed root.
#[derive(Debug, Clone)]
pub struct RootTemplate {
    /// Drawn by the caller.
    pub serial: Serial,
    /// Needs a common name.
    pub subject: Subject,
    /// Start, already backdated.
    pub not_before: Timestamp,
    /// End, inclusive.
    pub not_after: Timestamp,
    /// Path length constraint.
    pub path_len: Option<u8>,
}

/// Builds a root signed with its own key.
pub fn build_self_signed_root(template: &RootTemplate, key: &dyn SigningKey) -> Result<Der, Error> {
    let subject_der = ca_subject(&template.subject)?;
    let spki_der = key.public_key_spki();
    let frame = Frame {
        serial: template.serial,
        issuer_der: &subject_der,
        subject_der: &subject_der,
        not_before: template.not_before,
        not_after: template.not_after,
        spki_der,
        extensions: vec![
            builder::key_usage(ca_usages())?,
            builder::basic_constraints(true, template.path_len)?,
            builder::subject_key_identifier(spki_der)?,
        ],
    };
    builder::sign(&frame.tbs(key.signature_algorithm())?, key)
}

fn ca_subject(subject: &Subject) -> Result<Vec<u8>, Error> {
    if subject.common_name.is_none() {
        return Err(Error::rule("subject_invalid", "a CA needs a common name"));
    }
    subject.to_der()
}

/// A CA under another.
#[derive(Debug, Clone)]
pub struct SubordinateTemplate {
    /// Drawn by the caller; unique per parent.
    pub serial: Serial,
    /// Needs a common name.
    pub subject: Subject,
    /// Start, already backdated.
    pub not_before: Timestamp,
    /// End, inclusive.
    pub not_after: Timestamp,
    /// The child's public key.
    pub spki_der: Vec<u8>,
    /// Path length constraint; below the parent's, which also sets the default.
    pub path_len: Option<u8>,
    /// What the child may name; narrowed to the parent's.
    pub names: NameRules,
    /// The parent's OCSP responders.
    pub ocsp_urls: Vec<String>,
    /// Places of the parent's certificate.
    pub ca_issuer_urls: Vec<String>,
    /// The parent's CRLs.
    pub crl_urls: Vec<String>,
}

/// Builds a subordinate CA. A parent with path length 0 signs none, by its own constraint or one above it. Rules:
/// `path_len`, `name_constraints`.
pub fn build_subordinate(
    template: &SubordinateTemplate,
    issuer: &IssuerFacts,
    key: &dyn SigningKey,
) -> Result<Der, Error> {
    builder::check_issuer(issuer, template.not_before, template.not_after, key)?;
    let path_len = match (issuer.path_len, template.path_len) {
        (Some(0), _) => return Err(Error::rule("path_len", "the parent's path length 0 allows no CA below it")),
        (Some(parent), Some(child)) if child >= parent => {
            return Err(Error::rule("path_len", format!("the path length must be below the parent's {parent}")));
        }
        (Some(parent), None) => Some(parent - 1),
        (_, child) => child,
    };
    let subject_der = ca_subject(&template.subject)?;
    let mut extensions = vec![
        builder::key_usage(ca_usages())?,
        builder::basic_constraints(true, path_len)?,
        builder::subject_key_identifier(&template.spki_der)?,
        builder::authority_key_identifier(&issuer.ski)?,
    ];
    extensions.extend(issuer.names.narrowed(&template.names)?.extension()?);
    extensions.extend(builder::authority_info_access(&template.ocsp_urls, &template.ca_issuer_urls)?);
    extensions.extend(builder::crl_distribution_points(&template.crl_urls)?);
    let frame = Frame {
        serial: template.serial,
        issuer_der: &issuer.subject_der,
        subject_der: &subject_der,
        not_before: template.not_before,
        not_after: template.not_after,
        spki_der: &template.spki_der,
        extensions,
    };
    builder::sign(&frame.tbs(key.signature_algorithm())?, key)
}

/// A delegated OCSP responder (RFC 6960 §4.2.2.2).
#[derive(Debug, Clone)]
pub struct ResponderTemplate {
    /// Drawn by the caller.
    pub serial: Serial,
    /// Usually `OCSP Responder for <CA common name>`, cut to 64 characters by [`responder_subject`].
    pub subject: Subject,
    /// Start, already backdated.
    pub not_before: Timestamp,
    /// End, at most the CA's.
    pub not_after: Timestamp,
    /// The responder's public key.
    pub spki_der: Vec<u8>,
}

/// The subject of a CA's responder.
pub fn responder_subject(ca: &CaFacts) -> Subject {
    let ca_name = name::common_name(&ca.subject_der).ok().flatten().unwrap_or_else(|| "CA".to_owned());
    Subject::common_name(format!("OCSP Responder for {ca_name}").chars().take(64).collect::<String>())
}

/// Builds a responder certificate: OCSPSigning only, ocsp-nocheck, no AIA and no CRLDP.
pub fn build_ocsp_responder(
    template: &ResponderTemplate,
    issuer: &IssuerFacts,
    key: &dyn SigningKey,
) -> Result<Der, Error> {
    builder::check_issuer(issuer, template.not_before, template.not_after, key)?;
    let subject_der = ca_subject(&template.subject)?;
    let frame = Frame {
        serial: template.serial,
        issuer_der: &issuer.subject_der,
        subject_der: &subject_der,
        not_before: template.not_before,
        not_after: template.not_after,
        spki_der: &template.spki_der,
        extensions: vec![
            builder::key_usage(KeyUsages::DigitalSignature)?,
            asn1::extension(oid::EXTENDED_KEY_USAGE, false, &ExtendedKeyUsage(vec![oid::OCSP_SIGNING]))?,
            builder::basic_constraints(false, None)?,
            builder::subject_key_identifier(&template.spki_der)?,
            builder::authority_key_identifier(&issuer.ski)?,
            asn1::extension(oid::OCSP_NO_CHECK, false, &Null)?,
        ],
    };
    builder::sign(&frame.tbs(key.signature_algorithm())?, key)
}
