//! Reading certificates.

use crate::asn1::{self, Signed, decode_extension, oid, timestamp};
use crate::key::KeyFacts;
use crate::san::ip_from_octets;
use crate::{Error, name, pem, serial, sha256_hex};
use certctl_kernel::Timestamp;
use data_encoding::HEXLOWER;
use der::Sequence;
use der::asn1::{AnyRef, BitStringRef, OctetString};
use x509_cert::Version;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, SubjectAltName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_cert::time::Validity;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The certificate.
    pub der: Vec<u8>,
    /// Canonical serial number: 40 lower-case hex digits or more.
    pub serial: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity, inclusive.
    pub not_after: Timestamp,
    /// SHA-256 of the DER, lower-case hex.
    pub fingerprint_sha256: String,
    /// Subject, RFC 4514.
    pub subject_dn: String,
    /// Issuer, RFC 4514.
    pub issuer_dn: String,
    /// DER of the subject.
    pub subject_der: Vec<u8>,
    /// DER of the issuer.
    pub issuer_der: Vec<u8>,
    /// The one common name, if there is one.
    pub common_name: Option<String>,
    /// Alternative names as text, in order; kinds without a text form are left out.
    pub sans: Vec<String>,
    /// `RSA`, `ECDSA`, `Ed25519`, or the OID of another algorithm.
    pub key_algorithm: String,
    /// Key size in bits; 0 for another algorithm.
    pub key_size: u32,
    /// DER `SubjectPublicKeyInfo`.
    pub spki_der: Vec<u8>,
    /// SHA-256 of the public key info, lower-case hex.
    pub spki_sha256: String,
    /// basicConstraints cA.
    pub is_ca: bool,
    /// Subject key identifier, lower-case hex.
    pub ski: Option<String>,
    /// Key identifier of the issuer, lower-case hex.
    pub aki: Option<String>,
}

/// `TBSCertificate` as others write it, unique identifiers included.
#[derive(Sequence)]
struct ForeignTbs<'a> {
    #[asn1(context_specific = "0", default = "Default::default")]
    version: Version,
    serial: SerialNumber,
    signature: AlgorithmIdentifierRef<'a>,
    issuer: AnyRef<'a>,
    validity: Validity,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_unique_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_unique_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

/// Reads one certificate in DER.
pub fn inspect(der: &[u8]) -> Result<CertificateFacts, Error> {
    let signed: Signed<'_> = asn1::read(der, "certificate")?;
    let tbs_der = asn1::write(&signed.tbs, "a certificate")?;
    let tbs: ForeignTbs<'_> = asn1::read(&tbs_der, "certificate")?;
    if tbs.signature != signed.algorithm {
        return Err(Error::malformed("certificate", "its two signature algorithms differ"));
    }
    let extensions = tbs.extensions.as_deref().unwrap_or_default();
    let spki_der = asn1::write(&tbs.spki, "a public key")?;
    let (key_algorithm, key_size) = match KeyFacts::from_spki(&spki_der) {
        Ok(facts) => (facts.algorithm().to_owned(), facts.size),
        Err(Error::Rule { .. }) => (crate::key::read_spki(&spki_der)?.algorithm.oid.to_string(), 0),
        Err(error) => return Err(error),
    };
    let sans: Option<SubjectAltName> = decode_extension(extensions, oid::SUBJECT_ALT_NAME)?;
    let constraints: Option<BasicConstraints> = decode_extension(extensions, oid::BASIC_CONSTRAINTS)?;
    let authority: Option<AuthorityKeyIdentifier> = decode_extension(extensions, oid::AUTHORITY_KEY_IDENTIFIER)?;
    let subject: Option<OctetString> = decode_extension(extensions, oid::SUBJECT_KEY_IDENTIFIER)?;
    let subject_der = asn1::write(&tbs.subject, "a name")?;
    let issuer_der = asn1::write(&tbs.issuer, "a name")?;
    Ok(CertificateFacts {
        der: der.to_vec(),
        serial: serial::canonical_octets(tbs.serial.as_bytes())?,
        not_before: timestamp(tbs.validity.not_before)?,
        not_after: timestamp(tbs.validity.not_after)?,
        fingerprint_sha256: sha256_hex(der),
        subject_dn: name::display(&subject_der)?,
        issuer_dn: name::display(&issuer_der)?,
        common_name: name::common_name(&subject_der).unwrap_or_default(),
        subject_der,
        issuer_der,
        sans: sans.map(|names| names.0.iter().filter_map(text_of).collect()).unwrap_or_default(),
        key_algorithm,
        key_size,
        spki_sha256: sha256_hex(&spki_der),
        spki_der,
        is_ca: constraints.is_some_and(|constraints| constraints.ca),
        ski: subject.map(|identifier| HEXLOWER.encode(identifier.as_bytes())),
        aki: authority
            .and_then(|authority| authority.key_identifier)
            .map(|identifier| HEXLOWER.encode(identifier.as_bytes())),
    })
}

/// Reads the first certificate of a PEM text.
pub fn inspect_pem(text: &str) -> Result<CertificateFacts, Error> {
    let certificates = pem::certificates(text)?;
    inspect(certificates.first().ok_or_else(|| Error::malformed("PEM", "no CERTIFICATE block"))?)
}

fn text_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.as_str().to_owned())
        }
        GeneralName::IpAddress(octets) => ip_from_octets(octets.as_bytes()).map(|address| address.to_string()),
        _ => None,
    }
}
