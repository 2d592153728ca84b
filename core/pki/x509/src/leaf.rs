//! End-entity certificates.

use crate::asn1::{self, oid};
use crate::builder::{self, Frame};
use crate::ca::IssuerFacts;
use crate::key::{KeyFacts, KeyType};
use crate::{Der, Error, MAX_SANS, San, Serial, Subject, check_common_name};
use certctl_kernel::Timestamp;
use certctl_ports::{SignatureAlgorithm, SigningKey};
use der::asn1::{Null, ObjectIdentifier};
use der::flagset::FlagSet;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsages, SubjectAltName};

const MAX_SAN_EXTENSION: usize = 8 * 1024;

/// Purposes that a profile may give a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExtendedUsage {
    /// `serverAuth`
    ServerAuth,
    /// `clientAuth`
    ClientAuth,
    /// `codeSigning`
    CodeSigning,
    /// `emailProtection`
    EmailProtection,
    /// `timeStamping`; always alone.
    TimeStamping,
}

impl ExtendedUsage {
    /// Every purpose.
    pub const ALL: [Self; 5] =
        [Self::ServerAuth, Self::ClientAuth, Self::CodeSigning, Self::EmailProtection, Self::TimeStamping];

    /// The wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
            Self::CodeSigning => "codeSigning",
            Self::EmailProtection => "emailProtection",
            Self::TimeStamping => "timeStamping",
        }
    }

    /// Reads the exact wire name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.as_str() == name)
    }

    pub(crate) const fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::ServerAuth => "1.3.6.1.5.5.7.3.1",
            Self::ClientAuth => "1.3.6.1.5.5.7.3.2",
            Self::CodeSigning => "1.3.6.1.5.5.7.3.3",
            Self::EmailProtection => "1.3.6.1.5.5.7.3.4",
            Self::TimeStamping => "1.3.6.1.5.5.7.3.8",
        })
    }

    fn key_usage(self, key: KeyType, content_commitment: bool) -> FlagSet<KeyUsages> {
        let mut usages: FlagSet<KeyUsages> = KeyUsages::DigitalSignature.into();
        match (self, key) {
            (Self::ServerAuth | Self::ClientAuth, KeyType::Rsa) => usages |= KeyUsages::KeyEncipherment,
            (Self::EmailProtection, KeyType::Rsa) => {
                usages |= KeyUsages::KeyEncipherment;
                if content_commitment {
                    usages |= KeyUsages::NonRepudiation;
                }
            }
            (Self::EmailProtection, KeyType::Ecdsa) => usages |= KeyUsages::KeyAgreement,
            // RFC 8813: EC keys never encipher keys. Ed25519 only signs.
            _ => {}
        }
        usages
    }
}

/// What a leaf says; all of it decided by the caller.
#[derive(Debug, Clone)]
pub struct LeafTemplate {
    /// Drawn by the caller; unique per CA.
    pub serial: Serial,
    /// Subject; may be empty when there are names.
    pub subject: Subject,
    /// Start, already backdated; whole seconds count.
    pub not_before: Timestamp,
    /// End, inclusive.
    pub not_after: Timestamp,
    /// DER `SubjectPublicKeyInfo`, copied byte for byte.
    pub spki_der: Vec<u8>,
    /// Names in their final order, without duplicates.
    pub sans: Vec<San>,
    /// Purposes, at least one.
    pub usages: Vec<ExtendedUsage>,
    /// Adds contentCommitment for `emailProtection` with an RSA key.
    pub content_commitment: bool,
    /// OCSP responders for the AIA extension.
    pub ocsp_urls: Vec<String>,
    /// Places of the issuer's certificate for the AIA extension.
    pub ca_issuer_urls: Vec<String>,
    /// CRL distribution points.
    pub crl_urls: Vec<String>,
    /// TLS feature `status_request` (RFC 7633); needs `serverAuth` and an OCSP URL.
    pub must_staple: bool,
    /// noRevAvail (RFC 9608) for short-lived certificates; excludes CRL and OCSP URLs.
    pub no_rev_avail: bool,
}

/// Builds and signs.
pub fn build(template: &LeafTemplate, issuer: &IssuerFacts, key: &dyn SigningKey) -> Result<Der, Error> {
    builder::check_issuer(issuer, template.not_before, template.not_after, key)?;
    builder::sign(&tbs(template, issuer, key.signature_algorithm())?, key)
}

/// The bytes to be signed: the same inputs give the same bytes.
pub fn tbs(template: &LeafTemplate, issuer: &IssuerFacts, algorithm: SignatureAlgorithm) -> Result<Der, Error> {
    check(template)?;
    let subject_der = template.subject.to_der()?;
    let frame = Frame {
        serial: template.serial,
        issuer_der: &issuer.subject_der,
        subject_der: &subject_der,
        not_before: template.not_before,
        not_after: template.not_after,
        spki_der: &template.spki_der,
        extensions: extensions(template, issuer)?,
    };
    frame.tbs(algorithm)
}

fn check(template: &LeafTemplate) -> Result<(), Error> {
    let usages = &template.usages;
    if usages.is_empty() {
        return Err(Error::rule("eku_missing", "a certificate needs at least one extended key usage"));
    }
    if usages.contains(&ExtendedUsage::TimeStamping) && usages.len() > 1 {
        return Err(Error::rule("eku_not_alone", "timeStamping must be the only extended key usage"));
    }
    if template.sans.len() > MAX_SANS {
        return Err(Error::rule("san_invalid", format!("a certificate has at most {MAX_SANS} names")));
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(name) = template.sans.iter().find(|name| !seen.insert(*name)) {
        return Err(Error::rule("san_invalid", format!("the name {name} is given twice")));
    }
    if template.subject.is_empty() && template.sans.is_empty() {
        return Err(Error::rule("subject_empty", "a certificate needs a subject or a name"));
    }
    if let (Some(common_name), false) = (&template.subject.common_name, template.sans.is_empty()) {
        check_common_name(common_name, &template.sans).map_err(|error| Error::rule(error.code, error.message))?;
    }
    let stapling_possible = usages.contains(&ExtendedUsage::ServerAuth) && !template.ocsp_urls.is_empty();
    if template.must_staple && !stapling_possible {
        return Err(Error::rule("must_staple", "must-staple needs serverAuth and an OCSP URL"));
    }
    if template.no_rev_avail && !(template.ocsp_urls.is_empty() && template.crl_urls.is_empty()) {
        return Err(Error::rule("no_rev_avail", "noRevAvail excludes OCSP and CRL URLs"));
    }
    Ok(())
}

fn extensions(template: &LeafTemplate, issuer: &IssuerFacts) -> Result<Vec<Extension>, Error> {
    let key = KeyFacts::from_spki(&template.spki_der)?.key_type;
    let mut key_usage: FlagSet<KeyUsages> = FlagSet::default();
    let mut purposes = Vec::new();
    for usage in &template.usages {
        key_usage |= usage.key_usage(key, template.content_commitment);
        if !purposes.contains(&usage.oid()) {
            purposes.push(usage.oid());
        }
    }
    let critical_purpose = template.usages.contains(&ExtendedUsage::TimeStamping);

    let mut list = vec![
        builder::key_usage(key_usage)?,
        asn1::extension(oid::EXTENDED_KEY_USAGE, critical_purpose, &ExtendedKeyUsage(purposes))?,
        builder::basic_constraints(false, None)?,
        builder::subject_key_identifier(&template.spki_der)?,
        builder::authority_key_identifier(&issuer.ski)?,
    ];
    list.extend(builder::authority_info_access(&template.ocsp_urls, &template.ca_issuer_urls)?);
    list.extend(subject_alt_name(&template.sans, template.subject.is_empty())?);
    list.extend(builder::crl_distribution_points(&template.crl_urls)?);
    if template.must_staple {
        // TLS extension 5, status_request.
        list.push(asn1::extension(oid::TLS_FEATURE, false, &vec![5u8])?);
    }
    if template.no_rev_avail {
        list.push(asn1::extension(oid::NO_REV_AVAIL, false, &Null)?);
    }
    Ok(list)
}

pub(crate) fn subject_alt_name(sans: &[San], critical: bool) -> Result<Option<Extension>, Error> {
    if sans.is_empty() {
        return Ok(None);
    }
    let names = sans.iter().map(San::to_general_name).collect::<Result<Vec<_>, _>>()?;
    let extension = asn1::extension(oid::SUBJECT_ALT_NAME, critical, &SubjectAltName(names))?;
    if extension.extn_value.as_bytes().len() > MAX_SAN_EXTENSION {
        return Err(Error::rule("san_invalid", "the names together exceed 8 KiB"));
    }
    Ok(Some(extension))
}
