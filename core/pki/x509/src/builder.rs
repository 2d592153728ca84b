//! What all certificates share: the frame, and the extensions in their DER.

use crate::asn1::{self, Tbs, oid, signature_identifier};
use crate::ca::IssuerFacts;
use crate::key::{key_identifier, read_spki};
use crate::{Der, Error, Serial, lint};
use certctl_kernel::Timestamp;
use certctl_ports::{SignatureAlgorithm, SigningKey};
use der::asn1::{AnyRef, Ia5String, OctetString};
use der::flagset::FlagSet;
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints,
    KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::Validity;

/// A certificate before its signature.
pub(crate) struct Frame<'a> {
    pub serial: Serial,
    pub issuer_der: &'a [u8],
    pub subject_der: &'a [u8],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub spki_der: &'a [u8],
    pub extensions: Vec<Extension>,
}

impl Frame<'_> {
    pub(crate) fn tbs(self, algorithm: SignatureAlgorithm) -> Result<Vec<u8>, Error> {
        if self.not_after <= self.not_before {
            return Err(Error::rule("validity", "notAfter must be later than notBefore"));
        }
        read_spki(self.spki_der)?;
        if self.serial.octets().iter().all(|octet| *octet == 0) || self.serial.octets()[0] & 0x80 != 0 {
            return Err(Error::rule("serial_range", "a serial number must lie between 1 and 2^159 - 1"));
        }
        let serial = SerialNumber::new(self.serial.octets()).map_err(|_| Error::Encode("a serial number"))?;
        let tbs = Tbs {
            version: Version::V3,
            serial,
            signature: signature_identifier(algorithm),
            issuer: asn1::read::<AnyRef<'_>>(self.issuer_der, "issuer name")?,
            validity: Validity { not_before: asn1::time(self.not_before)?, not_after: asn1::time(self.not_after)? },
            subject: asn1::read::<AnyRef<'_>>(self.subject_der, "subject name")?,
            spki: asn1::read::<AnyRef<'_>>(self.spki_der, "public key")?,
            extensions: Some(self.extensions),
        };
        asn1::write(&tbs, "a certificate")
    }
}

/// Refuses a window outside the issuer's, and a key that is not the issuer's.
pub(crate) fn check_issuer(
    issuer: &IssuerFacts,
    not_before: Timestamp,
    not_after: Timestamp,
    key: &dyn SigningKey,
) -> Result<(), Error> {
    if not_before < issuer.not_before || not_after > issuer.not_after {
        return Err(Error::rule("validity", "the validity must lie within the issuer's"));
    }
    if key.public_key_spki() != issuer.spki_der {
        return Err(Error::rule("ca_key_mismatch", "the signing key is not the issuer certificate's key"));
    }
    Ok(())
}

/// Lints, then signs: no certificate of ours that breaks a rule ever carries a signature. Rule: `lint_failed`.
pub(crate) fn sign(tbs: &[u8], key: &dyn SigningKey) -> Result<Der, Error> {
    let unsigned = asn1::wrap(tbs, key.signature_algorithm(), &[], "a certificate")?;
    match lint::refusal("the certificate", &lint::certificate(&unsigned)) {
        Some(refusal) => Err(refusal),
        None => asn1::sign(tbs, key, "a certificate"),
    }
}

pub(crate) fn key_usage(usages: impl Into<FlagSet<KeyUsages>>) -> Result<Extension, Error> {
    asn1::extension(oid::KEY_USAGE, true, &KeyUsage(usages.into()))
}

pub(crate) fn basic_constraints(ca: bool, path_len: Option<u8>) -> Result<Extension, Error> {
    asn1::extension(oid::BASIC_CONSTRAINTS, true, &BasicConstraints { ca, path_len_constraint: path_len })
}

pub(crate) fn subject_key_identifier(spki_der: &[u8]) -> Result<Extension, Error> {
    let identifier = octets(&key_identifier(spki_der)?)?;
    asn1::extension(oid::SUBJECT_KEY_IDENTIFIER, false, &SubjectKeyIdentifier(identifier))
}

pub(crate) fn authority_key_identifier(ski: &[u8]) -> Result<Extension, Error> {
    let identifier = AuthorityKeyIdentifier { key_identifier: Some(octets(ski)?), ..AuthorityKeyIdentifier::default() };
    asn1::extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &identifier)
}

fn octets(bytes: &[u8]) -> Result<OctetString, Error> {
    OctetString::new(bytes).map_err(|_| Error::Encode("a key identifier"))
}

fn uri(text: &str) -> Result<GeneralName, Error> {
    let absolute = text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if !absolute || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::rule("url_invalid", format!("{text:?} is not an absolute ASCII URL")));
    }
    Ia5String::new(text).map(GeneralName::UniformResourceIdentifier).map_err(|_| Error::Encode("a URL"))
}

/// AIA: OCSP first, then caIssuers; None when there is nothing to say.
pub(crate) fn authority_info_access(ocsp: &[String], ca_issuers: &[String]) -> Result<Option<Extension>, Error> {
    let mut list = Vec::new();
    for (access_method, urls) in [(oid::AD_OCSP, ocsp), (oid::AD_CA_ISSUERS, ca_issuers)] {
        for url in urls {
            list.push(AccessDescription { access_method, access_location: uri(url)? });
        }
    }
    if list.is_empty() {
        return Ok(None);
    }
    asn1::extension(oid::AUTHORITY_INFO_ACCESS, false, &AuthorityInfoAccessSyntax(list)).map(Some)
}

/// CRLDP with one point a URL, `http` first; None without URLs, never an empty extension.
pub(crate) fn crl_distribution_points(urls: &[String]) -> Result<Option<Extension>, Error> {
    if urls.is_empty() {
        return Ok(None);
    }
    let mut urls: Vec<&String> = urls.iter().collect();
    urls.sort_by_key(|url| !url.starts_with("http://"));
    let points = urls
        .into_iter()
        .map(|url| {
            Ok(DistributionPoint {
                distribution_point: Some(DistributionPointName::FullName(vec![uri(url)?])),
                reasons: None,
                crl_issuer: None,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    asn1::extension(oid::CRL_DISTRIBUTION_POINTS, false, &CrlDistributionPoints(points)).map(Some)
}
