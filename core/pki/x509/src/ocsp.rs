//! Certificate status answers (RFC 6960, RFC 9654).

use crate::asn1::{self, HashAlgorithm, decode_extension, find_extension, oid, signature_identifier};
use crate::ca::IssuerHashes;
use crate::key::key_octets;
use crate::{Der, Error, Serial, crl, serial};
use certctl_kernel::Timestamp;
use certctl_ports::SigningKey;
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, Null, OctetString};
use der::{Encode, Sequence};
use x509_cert::ext::pkix::CrlReason;
use x509_cert::ext::{Extension, Extensions};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};
use x509_ocsp::{CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId, ResponseBytes, RevokedInfo, Version};

const MAX_REQUEST: usize = 4 * 1024;
const MAX_ENTRIES: usize = 16;
const MAX_NONCE: usize = 128;

/// Error answers, by their number in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorStatus {
    /// 1: the request can't be read.
    MalformedRequest,
    /// 2: the responder failed.
    InternalError,
    /// 3: the responder can't answer now.
    TryLater,
    /// 6: not this responder's CA.
    Unauthorized,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request breaks the protocol.
    #[error("malformed OCSP request: {0}")]
    Malformed(&'static str),
    /// Its nonce breaks RFC 8954 §2.1.
    #[error("malformed OCSP request: its nonce {0}")]
    Nonce(&'static str),
    /// The request names certificates by a hash that no CA is known under.
    #[error("the certificate identifier's hash algorithm is not supported")]
    UnknownHash,
}

impl RequestError {
    /// The answer to send.
    pub const fn status(&self) -> ErrorStatus {
        match self {
            Self::Malformed(_) | Self::Nonce(_) => ErrorStatus::MalformedRequest,
            Self::UnknownHash => ErrorStatus::Unauthorized,
        }
    }
}

/// A certificate that a request asks about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertId {
    /// Hash of the two below.
    pub hash: HashAlgorithm,
    /// Hash of the issuer's name.
    pub name_hash: Vec<u8>,
    /// Hash of the issuer's key.
    pub key_hash: Vec<u8>,
    /// Canonical serial number.
    pub serial: String,
    /// The identifier in DER, to be echoed.
    pub raw: Vec<u8>,
}

impl CertId {
    /// The identifier of a serial under the CA with these hashes, as clients write it.
    pub fn of(ca: &IssuerHashes, hash: HashAlgorithm, serial: &Serial) -> Result<Self, Error> {
        const WHAT: &str = "a certificate identifier";
        let (name_hash, key_hash) = ca.get(hash);
        let octets = |bytes: &[u8]| OctetString::new(bytes).map_err(|_| Error::Encode(WHAT));
        let significant = serial.octets().iter().position(|octet| *octet != 0).unwrap_or(19);
        let id = x509_ocsp::CertId {
            hash_algorithm: AlgorithmIdentifierOwned { oid: hash.oid(), parameters: Some(Null.into()) },
            issuer_name_hash: octets(name_hash)?,
            issuer_key_hash: octets(key_hash)?,
            serial_number: SerialNumber::new(&serial.octets()[significant..]).map_err(|_| Error::Encode(WHAT))?,
        };
        Ok(Self {
            hash,
            name_hash: name_hash.to_vec(),
            key_hash: key_hash.to_vec(),
            serial: serial.hex(),
            raw: asn1::write(&id, WHAT)?,
        })
    }
}

/// A request, reduced to what decides the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspRequest {
    /// One to sixteen certificates.
    pub entries: Vec<CertId>,
    /// 1 to 128 octets, to be echoed.
    pub nonce: Option<Vec<u8>>,
}

#[derive(Sequence)]
struct RawRequest<'a> {
    tbs: RawTbsRequest<'a>,
    // Not verified: who asks does not change the answer.
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    signature: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct RawTbsRequest<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    version: Version,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    requestor: Option<AnyRef<'a>>,
    list: Vec<RawSingleRequest<'a>>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct RawSingleRequest<'a> {
    cert_id: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

/// Reads a request in DER of at most 4 KiB.
pub fn parse_request(der: &[u8]) -> Result<OcspRequest, RequestError> {
    if der.len() > MAX_REQUEST {
        return Err(RequestError::Malformed("it exceeds 4 KiB"));
    }
    let request: RawRequest<'_> =
        asn1::read(der, "request").map_err(|_| RequestError::Malformed("it is not a valid OCSPRequest"))?;
    let RawTbsRequest { list, extensions, .. } = request.tbs;
    let extensions = extensions.unwrap_or_default();
    if list.is_empty() || list.len() > MAX_ENTRIES {
        return Err(RequestError::Malformed("it must name 1 to 16 certificates"));
    }
    let unknown_critical = |list: &[Extension]| list.iter().any(|e| e.critical && e.extn_id != oid::OCSP_NONCE);
    if unknown_critical(&extensions) || list.iter().any(|s| s.extensions.as_deref().is_some_and(unknown_critical)) {
        return Err(RequestError::Malformed("it holds a critical extension that is not supported"));
    }
    Ok(OcspRequest {
        entries: list.iter().map(|single| cert_id(&single.cert_id)).collect::<Result<_, _>>()?,
        nonce: nonce(&extensions)?,
    })
}

fn nonce(extensions: &[Extension]) -> Result<Option<Vec<u8>>, RequestError> {
    let damaged = |_| RequestError::Nonce("is damaged or repeated");
    if find_extension(extensions, oid::OCSP_NONCE).map_err(damaged)?.is_none() {
        return Ok(None);
    }
    let nonce = decode_extension::<OctetString>(extensions, oid::OCSP_NONCE).map_err(damaged)?;
    match nonce.map(OctetString::into_bytes) {
        Some(octets) if (1..=MAX_NONCE).contains(&octets.len()) => Ok(Some(octets)),
        _ => Err(RequestError::Nonce("must have 1 to 128 octets")),
    }
}

fn cert_id(raw: &AnyRef<'_>) -> Result<CertId, RequestError> {
    let damaged = || RequestError::Malformed("a certificate identifier is damaged");
    let raw = raw.to_der().map_err(|_| damaged())?;
    let id: x509_ocsp::CertId = asn1::read(&raw, "certificate identifier").map_err(|_| damaged())?;
    let hash = HashAlgorithm::from_oid(id.hash_algorithm.oid).ok_or(RequestError::UnknownHash)?;
    let serial = id.serial_number.as_bytes();
    if serial.first().is_some_and(|octet| octet & 0x80 != 0) {
        return Err(RequestError::Malformed("a serial number is negative"));
    }
    Ok(CertId {
        hash,
        name_hash: id.issuer_name_hash.into_bytes(),
        key_hash: id.issuer_key_hash.into_bytes(),
        serial: serial::canonical_octets(serial).map_err(|_| damaged())?,
        raw,
    })
}

/// Status of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Issued and not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// When.
        at: Timestamp,
        /// RFC 5280 reason code; 0 is left out of the answer.
        reason: u8,
    },
    /// Never issued by this CA.
    Unknown,
}

/// The answer for one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SingleAnswer {
    /// [`CertId::raw`] of the request.
    pub cert_id: Vec<u8>,
    /// Its status.
    pub status: Status,
    /// Since when this is known to hold; whole seconds count.
    pub this_update: Timestamp,
    /// When newer knowledge comes.
    pub next_update: Timestamp,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseTemplate {
    /// One answer for each entry of the request, in its order.
    pub answers: Vec<SingleAnswer>,
    /// When the answer is made.
    pub produced_at: Timestamp,
    /// The responder's certificate; left out when the CA signs itself.
    pub responder_cert: Option<Vec<u8>>,
    /// The request's nonce.
    pub nonce: Option<Vec<u8>>,
}

#[derive(Sequence)]
struct SingleResponse<'a> {
    cert_id: AnyRef<'a>,
    status: CertStatus,
    this_update: OcspGeneralizedTime,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    next_update: Option<OcspGeneralizedTime>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct ResponseData<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", default = "Default::default")]
    version: Version,
    responder: ResponderId,
    produced_at: OcspGeneralizedTime,
    answers: Vec<SingleResponse<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

#[derive(Sequence)]
struct BasicResponse<'a> {
    data: AnyRef<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    certs: Option<Vec<AnyRef<'a>>>,
}

/// Builds and signs an answer, named by the responder's key.
pub fn build_response(template: &ResponseTemplate, key: &dyn SigningKey) -> Result<Der, Error> {
    const WHAT: &str = "an OCSP response";
    let answers = template.answers.iter().map(single_response).collect::<Result<Vec<_>, _>>()?;
    if answers.is_empty() {
        return Err(Error::rule("ocsp_empty", "an OCSP response needs at least one answer"));
    }
    let nonce = template
        .nonce
        .as_deref()
        .map(|nonce| {
            let nonce = OctetString::new(nonce).map_err(|_| Error::Encode(WHAT))?;
            asn1::extension(oid::OCSP_NONCE, false, &nonce).map(|extension| vec![extension])
        })
        .transpose()?;
    let key_hash = HashAlgorithm::Sha1.digest(key_octets(key.public_key_spki())?);
    let data = ResponseData {
        version: Version::V1,
        responder: ResponderId::ByKey(OctetString::new(key_hash).map_err(|_| Error::Encode(WHAT))?),
        produced_at: general_time(template.produced_at)?,
        answers,
        extensions: nonce,
    };
    let data = asn1::write(&data, WHAT)?;
    let signature = key.sign(&data)?;
    let certs = template.responder_cert.as_deref().map(|der| asn1::read(der, "certificate")).transpose()?;
    let basic = BasicResponse {
        data: asn1::read(&data, WHAT)?,
        algorithm: signature_identifier(key.signature_algorithm()),
        signature: BitStringRef::from_bytes(&signature).map_err(|_| Error::Encode(WHAT))?,
        certs: certs.map(|cert| vec![cert]),
    };
    let response = OctetString::new(asn1::write(&basic, WHAT)?).map_err(|_| Error::Encode(WHAT))?;
    let response = OcspResponse {
        response_status: x509_ocsp::OcspResponseStatus::Successful,
        response_bytes: Some(ResponseBytes { response_type: oid::OCSP_BASIC, response }),
    };
    asn1::write(&response, WHAT)
}

fn general_time(at: Timestamp) -> Result<OcspGeneralizedTime, Error> {
    Ok(OcspGeneralizedTime(GeneralizedTime::from_date_time(asn1::date_time(at)?)))
}

fn single_response(answer: &SingleAnswer) -> Result<SingleResponse<'_>, Error> {
    if answer.next_update <= answer.this_update {
        return Err(Error::rule("ocsp_window", "nextUpdate must be later than thisUpdate"));
    }
    let status = match answer.status {
        Status::Good => CertStatus::good(),
        Status::Unknown => CertStatus::unknown(),
        Status::Revoked { at, reason } => {
            let reason = crl::reason(reason)?;
            CertStatus::revoked(RevokedInfo {
                revocation_time: general_time(at)?,
                revocation_reason: (reason != CrlReason::Unspecified).then_some(reason),
            })
        }
    };
    Ok(SingleResponse {
        cert_id: asn1::read(&answer.cert_id, "certificate identifier")?,
        status,
        this_update: general_time(answer.this_update)?,
        next_update: Some(general_time(answer.next_update)?),
        extensions: None,
    })
}

/// An error answer in DER; it is not signed and can't fail.
pub fn error_response(status: ErrorStatus) -> Der {
    let response = match status {
        ErrorStatus::MalformedRequest => OcspResponse::malformed_request(),
        ErrorStatus::InternalError => OcspResponse::internal_error(),
        ErrorStatus::TryLater => OcspResponse::try_later(),
        ErrorStatus::Unauthorized => OcspResponse::unauthorized(),
    };
    response.to_der().expect("a response of one enumerated value always encodes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::asn1::ObjectIdentifier;
    use proptest::prelude::*;

    fn request(hash: ObjectIdentifier, entries: usize, extensions: Vec<Extension>) -> Vec<u8> {
        let octets = |n: u8| OctetString::new([n; 20]).expect("short");
        let single = x509_ocsp::Request {
            req_cert: x509_ocsp::CertId {
                hash_algorithm: AlgorithmIdentifierOwned { oid: hash, parameters: Some(Null.into()) },
                issuer_name_hash: octets(1),
                issuer_key_hash: octets(2),
                serial_number: SerialNumber::new(&[0x0A, 0xBC]).expect("short"),
            },
            single_request_extensions: None,
        };
        x509_ocsp::OcspRequest {
            tbs_request: x509_ocsp::TbsRequest {
                request_list: vec![single; entries],
                request_extensions: (!extensions.is_empty()).then_some(extensions),
                ..x509_ocsp::TbsRequest::default()
            },
            optional_signature: None,
        }
        .to_der()
        .expect("encodes")
    }

    fn nonce_extension(length: usize) -> Extension {
        asn1::extension(oid::OCSP_NONCE, false, &OctetString::new(vec![7; length]).expect("short")).expect("encodes")
    }

    #[test]
    fn identifiers_keep_their_bytes_and_serials_become_canonical() {
        let parsed = parse_request(&request(oid::SHA256, 2, vec![])).expect("valid");
        assert_eq!(parsed.entries.len(), 2);
        assert_eq!(parsed.entries[0].serial, format!("{}0abc", "0".repeat(36)));
        assert_eq!(parsed.entries[0].hash, HashAlgorithm::Sha256);
        assert!(
            request(oid::SHA256, 2, vec![]).windows(parsed.entries[0].raw.len()).any(|w| w == parsed.entries[0].raw)
        );
        assert_eq!(parsed.nonce, None);
    }

    #[test]
    fn o12_one_to_sixteen_certificates_may_be_asked_for() {
        assert_eq!(parse_request(&request(oid::SHA1, 16, vec![])).expect("valid").entries.len(), 16);
        for entries in [0, 17] {
            let error = parse_request(&request(oid::SHA1, entries, vec![])).expect_err("refused");
            assert_eq!(error.status(), ErrorStatus::MalformedRequest);
        }
    }

    #[test]
    fn o07_nonces_of_1_to_128_octets_are_taken_and_others_malformed() {
        for length in [1, 15, 16, 32, 33, 128] {
            let parsed = parse_request(&request(oid::SHA1, 1, vec![nonce_extension(length)])).expect("valid");
            assert_eq!(parsed.nonce.map(|nonce| nonce.len()), Some(length));
        }
        let raw = Extension { extn_value: OctetString::new([1, 2, 3]).expect("short"), ..nonce_extension(1) };
        for extensions in [
            vec![nonce_extension(0)],
            vec![nonce_extension(129)],
            vec![nonce_extension(16), nonce_extension(16)],
            vec![raw],
        ] {
            let error = parse_request(&request(oid::SHA1, 1, extensions)).expect_err("refused");
            assert_eq!(error.status(), ErrorStatus::MalformedRequest);
        }
    }

    #[test]
    fn unknown_extensions_are_ignored_unless_critical() {
        let extension = |critical| Extension { extn_id: oid::CRL_NUMBER, critical, ..nonce_extension(4) };
        assert!(parse_request(&request(oid::SHA1, 1, vec![extension(false)])).is_ok());
        let error = parse_request(&request(oid::SHA1, 1, vec![extension(true)])).expect_err("refused");
        assert_eq!(error.status(), ErrorStatus::MalformedRequest);
    }

    #[test]
    fn an_unknown_hash_is_unauthorized_and_garbage_malformed() {
        let md5 = ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");
        assert_eq!(parse_request(&request(md5, 1, vec![])), Err(RequestError::UnknownHash));
        let mut trailing = request(oid::SHA1, 1, vec![]);
        trailing.push(0);
        for bad in [&trailing[..], b"", b"garbage", &[0x30; 5000]] {
            assert_eq!(parse_request(bad).expect_err("refused").status(), ErrorStatus::MalformedRequest);
        }
    }

    #[test]
    fn error_answers_carry_their_number() {
        for (status, number) in [
            (ErrorStatus::MalformedRequest, 1),
            (ErrorStatus::InternalError, 2),
            (ErrorStatus::TryLater, 3),
            (ErrorStatus::Unauthorized, 6),
        ] {
            assert_eq!(error_response(status), [0x30, 3, 0x0A, 1, number]);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_and_damaged_requests_never_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), value in any::<u8>(),
        ) {
            let _ = parse_request(&noise);
            let mut damaged = request(oid::SHA1, 2, vec![nonce_extension(16)]);
            let position = at.index(damaged.len());
            damaged[position] = value;
            let _ = parse_request(&damaged);
        }
    }
}
