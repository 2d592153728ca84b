//! Shared ASN.1 pieces. Types here keep foreign parts (issuer, subject, key) as the very bytes they came in.

use crate::Error;
use certctl_kernel::Timestamp;
use certctl_ports::{SignatureAlgorithm, SigningKey};
use data_encoding::HEXLOWER;
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetString, UtcTime};
use der::{DateTime, Decode, Encode, Sequence};
use ring::digest;
use std::time::Duration;
use x509_cert::Version;
use x509_cert::ext::{Extension, Extensions};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_cert::time::{Time, Validity};

pub(crate) mod oid {
    use der::asn1::ObjectIdentifier as Oid;
    pub const RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.1");
    pub const RSA_SHA256: Oid = Oid::new_unwrap("1.2.840.113549.1.1.11");
    pub const RSA_SHA384: Oid = Oid::new_unwrap("1.2.840.113549.1.1.12");
    pub const RSA_SHA512: Oid = Oid::new_unwrap("1.2.840.113549.1.1.13");
    pub const EC: Oid = Oid::new_unwrap("1.2.840.10045.2.1");
    pub const P256: Oid = Oid::new_unwrap("1.2.840.10045.3.1.7");
    pub const P384: Oid = Oid::new_unwrap("1.3.132.0.34");
    pub const P521: Oid = Oid::new_unwrap("1.3.132.0.35");
    pub const ECDSA_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");
    pub const ECDSA_SHA384: Oid = Oid::new_unwrap("1.2.840.10045.4.3.3");
    pub const ECDSA_SHA512: Oid = Oid::new_unwrap("1.2.840.10045.4.3.4");
    pub const ED25519: Oid = Oid::new_unwrap("1.3.101.112");
    pub const SHA1: Oid = Oid::new_unwrap("1.3.14.3.2.26");
    pub const SHA256: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.1");
    pub const SHA384: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.2");
    pub const SHA512: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.3");
    pub const COMMON_NAME: Oid = Oid::new_unwrap("2.5.4.3");
    pub const COUNTRY: Oid = Oid::new_unwrap("2.5.4.6");
    pub const LOCALITY: Oid = Oid::new_unwrap("2.5.4.7");
    pub const STATE: Oid = Oid::new_unwrap("2.5.4.8");
    pub const ORGANIZATION: Oid = Oid::new_unwrap("2.5.4.10");
    pub const ORGANIZATIONAL_UNIT: Oid = Oid::new_unwrap("2.5.4.11");
    pub const EXTENSION_REQUEST: Oid = Oid::new_unwrap("1.2.840.113549.1.9.14");
    pub const BASIC_CONSTRAINTS: Oid = Oid::new_unwrap("2.5.29.19");
    pub const SUBJECT_ALT_NAME: Oid = Oid::new_unwrap("2.5.29.17");
    pub const KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.15");
    pub const EXTENDED_KEY_USAGE: Oid = Oid::new_unwrap("2.5.29.37");
    pub const SUBJECT_KEY_IDENTIFIER: Oid = Oid::new_unwrap("2.5.29.14");
    pub const AUTHORITY_KEY_IDENTIFIER: Oid = Oid::new_unwrap("2.5.29.35");
    pub const AUTHORITY_INFO_ACCESS: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.1.1");
    pub const AD_OCSP: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.1");
    pub const AD_CA_ISSUERS: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.2");
    pub const CRL_DISTRIBUTION_POINTS: Oid = Oid::new_unwrap("2.5.29.31");
    pub const TLS_FEATURE: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.1.24");
    pub const NO_REV_AVAIL: Oid = Oid::new_unwrap("2.5.29.56");
    pub const OCSP_NO_CHECK: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.1.5");
    pub const OCSP_BASIC: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.1.1");
    pub const OCSP_NONCE: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.48.1.2");
    pub const CLIENT_AUTH: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.2");
    pub const EMAIL_PROTECTION: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.4");
    pub const SERVER_AUTH: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.1");
    pub const TIME_STAMPING: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.8");
    pub const ANY_PURPOSE: Oid = Oid::new_unwrap("2.5.29.37.0");
    pub const NAME_CONSTRAINTS: Oid = Oid::new_unwrap("2.5.29.30");
    pub const OCSP_SIGNING: Oid = Oid::new_unwrap("1.3.6.1.5.5.7.3.9");
    pub const CRL_NUMBER: Oid = Oid::new_unwrap("2.5.29.20");
    pub const CRL_REASON: Oid = Oid::new_unwrap("2.5.29.21");
    pub const INVALIDITY_DATE: Oid = Oid::new_unwrap("2.5.29.24");
}

/// Any signed object: certificate, request or CRL. `tbs` keeps the signed bytes.
#[derive(Clone, Debug, Sequence)]
pub(crate) struct Signed<'a> {
    pub tbs: AnyRef<'a>,
    pub algorithm: AlgorithmIdentifierRef<'a>,
    pub signature: BitStringRef<'a>,
}

/// `TBSCertificate` without the unique identifiers that no profile allows.
#[derive(Clone, Debug, Sequence)]
pub(crate) struct Tbs<'a> {
    #[asn1(context_specific = "0", default = "Default::default")]
    pub version: Version,
    pub serial: SerialNumber,
    pub signature: AlgorithmIdentifierRef<'a>,
    pub issuer: AnyRef<'a>,
    pub validity: Validity,
    pub subject: AnyRef<'a>,
    pub spki: AnyRef<'a>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub extensions: Option<Extensions>,
}

/// Hash algorithms of OCSP certificate identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-1: what most clients send; used to name a CA, never to sign.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        match oid {
            oid::SHA1 => Some(Self::Sha1),
            oid::SHA256 => Some(Self::Sha256),
            oid::SHA384 => Some(Self::Sha384),
            oid::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => oid::SHA1,
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    /// The lower-case name, such as `sha256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The digest of `data`.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }
}

/// Lower-case hex SHA-256, as fingerprints are written.
pub fn sha256_hex(data: &[u8]) -> String {
    HEXLOWER.encode(&HashAlgorithm::Sha256.digest(data))
}

pub(crate) fn signature_identifier(algorithm: SignatureAlgorithm) -> AlgorithmIdentifierRef<'static> {
    let (oid, parameters) = match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => (oid::RSA_SHA256, Some(AnyRef::NULL)),
        SignatureAlgorithm::EcdsaP256Sha256 => (oid::ECDSA_SHA256, None),
        SignatureAlgorithm::EcdsaP384Sha384 => (oid::ECDSA_SHA384, None),
        SignatureAlgorithm::Ed25519 => (oid::ED25519, None),
    };
    AlgorithmIdentifierRef { oid, parameters }
}

/// Signs `tbs` (complete DER) and wraps it.
pub(crate) fn sign(tbs: &[u8], key: &dyn SigningKey, what: &'static str) -> Result<Vec<u8>, Error> {
    wrap(tbs, key.signature_algorithm(), &key.sign(tbs)?, what)
}

/// `tbs` (complete DER) with a signature; an empty one for what is to be linted first.
pub(crate) fn wrap(
    tbs: &[u8],
    algorithm: SignatureAlgorithm,
    signature: &[u8],
    what: &'static str,
) -> Result<Vec<u8>, Error> {
    let encode = || -> der::Result<Vec<u8>> {
        Signed {
            tbs: AnyRef::from_der(tbs)?,
            algorithm: signature_identifier(algorithm),
            signature: BitStringRef::from_bytes(signature)?,
        }
        .to_der()
    };
    encode().map_err(|_| Error::Encode(what))
}

/// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; whole seconds.
pub(crate) fn time(at: Timestamp) -> Result<Time, Error> {
    let date = date_time(at)?;
    if date.year() <= 2049 {
        UtcTime::from_date_time(date).map(Time::UtcTime).map_err(|_| out_of_range())
    } else {
        Ok(Time::GeneralTime(GeneralizedTime::from_date_time(date)))
    }
}

pub(crate) fn date_time(at: Timestamp) -> Result<DateTime, Error> {
    let seconds = u64::try_from(at.unix_timestamp()).map_err(|_| out_of_range())?;
    DateTime::from_unix_duration(Duration::from_secs(seconds)).map_err(|_| out_of_range())
}

fn out_of_range() -> Error {
    Error::rule("time_range", "a time lies outside the years 1970 to 9999")
}

pub(crate) fn timestamp(at: Time) -> Result<Timestamp, Error> {
    i64::try_from(at.to_unix_duration().as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_unix_timestamp(seconds).ok())
        .ok_or_else(out_of_range)
}

pub(crate) fn extension(id: ObjectIdentifier, critical: bool, value: &impl Encode) -> Result<Extension, Error> {
    let encode = || -> der::Result<Extension> {
        Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(value.to_der()?)? })
    };
    encode().map_err(|_| Error::Encode("an extension"))
}

/// The extension of this kind, or an error when it stands there twice.
pub(crate) fn find_extension(extensions: &[Extension], id: ObjectIdentifier) -> Result<Option<&Extension>, Error> {
    let mut found = extensions.iter().filter(|extension| extension.extn_id == id);
    let first = found.next();
    if found.next().is_some() {
        return Err(Error::malformed("extension list", format!("{id} stands there twice")));
    }
    Ok(first)
}

pub(crate) fn decode_extension<'e, T: Decode<'e>>(
    extensions: &'e [Extension],
    id: ObjectIdentifier,
) -> Result<Option<T>, Error> {
    find_extension(extensions, id)?
        .map(|extension| {
            T::from_der(extension.extn_value.as_bytes())
                .map_err(|_| Error::malformed("extension", format!("{id} is damaged")))
        })
        .transpose()
}

/// Reads a whole object, naming it in the error.
pub(crate) fn read<'a, T: Decode<'a>>(der: &'a [u8], what: &'static str) -> Result<T, Error> {
    T::from_der(der).map_err(|error| Error::malformed(what, format!("not valid DER ({})", error.kind())))
}

/// Writes a value back, naming it in the error.
pub(crate) fn write(value: &impl Encode, what: &'static str) -> Result<Vec<u8>, Error> {
    value.to_der().map_err(|_| Error::Encode(what))
}
