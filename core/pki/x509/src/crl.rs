//! Certificate revocation lists (RFC 5280 §5).

use crate::asn1::{self, decode_extension, oid, signature_identifier};
use crate::builder;
use crate::ca::IssuerFacts;
use crate::{Der, Error, Serial, lint, serial, signature};
use certctl_kernel::Timestamp;
use certctl_ports::SigningKey;
use der::Sequence;
use der::asn1::{AnyRef, GeneralizedTime, Uint};
use std::collections::HashSet;
use x509_cert::Version;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_cert::time::Time;

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlEntry {
    /// Its serial.
    pub serial: Serial,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// RFC 5280 reason code: 0 to 6, 9 or 10; 0 is left out of the list.
    pub reason: u8,
    /// When the key is suspected to have been lost, if known.
    pub invalidity_date: Option<Timestamp>,
}

/// A full list of one CA.
#[derive(Debug, Clone)]
pub struct CrlTemplate {
    /// cRLNumber; the caller makes it strictly increasing per CA.
    pub number: u64,
    /// Time of the list; whole seconds count.
    pub this_update: Timestamp,
    /// When the next list comes at the latest; never after the CA's end.
    pub next_update: Timestamp,
    /// Revoked certificates in the order of the list, without duplicates.
    pub entries: Vec<CrlEntry>,
}

/// `revokedCertificates` entry; the serial may use all 20 octets, as foreign CAs' do.
#[derive(Sequence)]
struct Revoked {
    serial: Uint,
    at: Time,
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct TbsCrl<'a> {
    version: Version,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    this_update: Time,
    next_update: Option<Time>,
    revoked: Option<Vec<Revoked>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

/// Builds, lints and signs a list, in this order. The cost is linear in the number of entries. Rule: `lint_failed`.
pub fn build(template: &CrlTemplate, issuer: &IssuerFacts, key: &dyn SigningKey) -> Result<Der, Error> {
    if template.next_update <= template.this_update {
        return Err(Error::rule("crl_window", "nextUpdate must be later than thisUpdate"));
    }
    if template.next_update > issuer.not_after {
        return Err(Error::rule("crl_window", "nextUpdate must not be later than the end of the CA"));
    }
    if key.public_key_spki() != issuer.spki_der {
        return Err(Error::rule("ca_key_mismatch", "the signing key is not the issuer certificate's key"));
    }
    let mut seen = HashSet::with_capacity(template.entries.len());
    if let Some(entry) = template.entries.iter().find(|entry| !seen.insert(entry.serial)) {
        return Err(Error::rule("crl_duplicate", format!("serial {} is listed twice", entry.serial)));
    }
    let revoked = template.entries.iter().map(revoked).collect::<Result<Vec<_>, _>>()?;
    let number = asn1::extension(oid::CRL_NUMBER, false, &template.number)?;
    let tbs = TbsCrl {
        version: Version::V2,
        signature: signature_identifier(key.signature_algorithm()),
        issuer: asn1::read(&issuer.subject_der, "issuer name")?,
        this_update: asn1::time(template.this_update)?,
        next_update: Some(asn1::time(template.next_update)?),
        // RFC 5280 §5.1.2.6: absent, not empty.
        revoked: (!revoked.is_empty()).then_some(revoked),
        extensions: Some(vec![builder::authority_key_identifier(&issuer.ski)?, number]),
    };
    let tbs = asn1::write(&tbs, "a CRL")?;
    let unsigned = asn1::wrap(&tbs, key.signature_algorithm(), &[], "a CRL")?;
    match lint::refusal("the CRL", &lint::crl(&unsigned)) {
        Some(refusal) => Err(refusal),
        None => asn1::sign(&tbs, key, "a CRL"),
    }
}

pub(crate) fn reason(code: u8) -> Result<CrlReason, Error> {
    Ok(match code {
        0 => CrlReason::Unspecified,
        1 => CrlReason::KeyCompromise,
        2 => CrlReason::CaCompromise,
        3 => CrlReason::AffiliationChanged,
        4 => CrlReason::Superseded,
        5 => CrlReason::CessationOfOperation,
        6 => CrlReason::CertificateHold,
        9 => CrlReason::PrivilegeWithdrawn,
        10 => CrlReason::AaCompromise,
        // 7 is unused, 8 (removeFromCRL) belongs to delta lists.
        _ => return Err(Error::rule("reason_code", format!("{code} is not a reason code of a full CRL"))),
    })
}

fn revoked(entry: &CrlEntry) -> Result<Revoked, Error> {
    let mut extensions = Extensions::new();
    let reason = reason(entry.reason)?;
    if reason != CrlReason::Unspecified {
        extensions.push(asn1::extension(oid::CRL_REASON, false, &reason)?);
    }
    if let Some(at) = entry.invalidity_date {
        let at = GeneralizedTime::from_date_time(asn1::date_time(at)?);
        extensions.push(asn1::extension(oid::INVALIDITY_DATE, false, &at)?);
    }
    Ok(Revoked {
        serial: Uint::new(entry.serial.octets()).map_err(|_| Error::Encode("a serial number"))?,
        at: asn1::time(entry.revoked_at)?,
        extensions: (!extensions.is_empty()).then_some(extensions),
    })
}

/// What a list says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlFacts {
    /// cRLNumber, canonical hex; absent in lists of old CAs.
    pub number: Option<String>,
    /// Time of the list.
    pub this_update: Timestamp,
    /// When the next one comes.
    pub next_update: Option<Timestamp>,
    /// Serials with their reason codes, in the order of the list.
    pub entries: Vec<(String, u8)>,
}

/// A line as it stands in a list.
pub(crate) struct ReadEntry {
    pub(crate) serial: String,
    pub(crate) at: Timestamp,
    pub(crate) reason: Option<u8>,
}

/// A list as it stands in its octets.
pub(crate) struct ReadCrl {
    pub(crate) issuer_der: Vec<u8>,
    pub(crate) is_v2: bool,
    pub(crate) algorithms_agree: bool,
    pub(crate) number: Option<String>,
    pub(crate) has_authority: bool,
    pub(crate) critical_extensions: bool,
    pub(crate) empty_list: bool,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Option<Timestamp>,
    pub(crate) entries: Vec<ReadEntry>,
}

pub(crate) fn read(der: &[u8]) -> Result<ReadCrl, Error> {
    let signed: asn1::Signed<'_> = asn1::read(der, "CRL")?;
    let tbs_der = asn1::write(&signed.tbs, "a CRL")?;
    let tbs: TbsCrl<'_> = asn1::read(&tbs_der, "CRL")?;
    let extensions = tbs.extensions.unwrap_or_default();
    let number: Option<Uint> = decode_extension(&extensions, oid::CRL_NUMBER)?;
    let entries = tbs
        .revoked
        .iter()
        .flatten()
        .map(|entry| {
            let extensions = entry.extensions.as_deref().unwrap_or_default();
            let reason: Option<CrlReason> = decode_extension(extensions, oid::CRL_REASON)?;
            Ok(ReadEntry {
                serial: serial::canonical_octets(entry.serial.as_bytes())?,
                at: asn1::timestamp(entry.at)?,
                reason: reason.map(|reason| u8::try_from(reason as u32).unwrap_or(u8::MAX)),
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(ReadCrl {
        issuer_der: asn1::write(&tbs.issuer, "a name")?,
        is_v2: tbs.version == Version::V2,
        algorithms_agree: tbs.signature == signed.algorithm,
        number: number.map(|number| serial::canonical_octets(number.as_bytes())).transpose()?,
        has_authority: asn1::find_extension(&extensions, oid::AUTHORITY_KEY_IDENTIFIER)?.is_some(),
        critical_extensions: extensions.iter().any(|extension| extension.critical),
        empty_list: tbs.revoked.is_some_and(|list| list.is_empty()),
        this_update: asn1::timestamp(tbs.this_update)?,
        next_update: tbs.next_update.map(asn1::timestamp).transpose()?,
        entries,
    })
}

/// Reads a list and checks its signature under the CA's key; a list of another CA is refused.
pub fn inspect(der: &[u8], issuer: &IssuerFacts) -> Result<CrlFacts, Error> {
    signature::verify_object(der, &issuer.spki_der)?;
    let read = read(der)?;
    if read.issuer_der != issuer.subject_der {
        return Err(Error::rule("crl_issuer", "the CRL names another issuer"));
    }
    Ok(CrlFacts {
        number: read.number,
        this_update: read.this_update,
        next_update: read.next_update,
        entries: read.entries.into_iter().map(|entry| (entry.serial, entry.reason.unwrap_or(0))).collect(),
    })
}
