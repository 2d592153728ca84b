//! Certification requests (PKCS#10).

use crate::asn1::{self, Signed, decode_extension, find_extension, oid};
use crate::key::KeyFacts;
use crate::unicode::unsafe_text;
use crate::{Error, San, leaf, name, pem, sha256_hex, signature, weak};
use certctl_ports::SigningKey;
use der::asn1::{Any, AnyRef, SetOfVec};
use der::{Decode, Encode, Sequence};
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::request::Version;

const MAX_SIZE: usize = 64 * 1024;

/// One rule that a request broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CsrError {
    /// `csr_malformed`, `csr_signature`, `key_weak`, `csr_ca_requested`, `san_invalid`, `idn_invalid` or
    /// `unicode_unsafe`.
    pub code: &'static str,
    /// The rule in words.
    pub message: String,
}

impl CsrError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new("csr_malformed", message)
    }
}

/// A request that passed every check that needs no policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedCsr {
    /// The request in normalised PEM.
    pub pem: String,
    /// The request.
    pub der: Vec<u8>,
    /// DER `SubjectPublicKeyInfo`, as the request holds it.
    pub spki_der: Vec<u8>,
    /// SHA-256 of it, lower-case hex.
    pub spki_sha256: String,
    /// Kind and size of the key.
    pub key: KeyFacts,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Requested names, checked and normalised, without duplicates.
    pub sans: Vec<San>,
    /// OIDs of all requested extensions; only the names are ever honoured.
    pub requested_extensions: Vec<String>,
}

#[derive(Sequence)]
struct RequestInfo<'a> {
    version: Version,
    subject: AnyRef<'a>,
    spki: AnyRef<'a>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    attributes: Option<Attributes>,
}

/// A request that breaks rules, with what could be read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsoundCsr {
    /// Every rule that it breaks.
    pub errors: Vec<CsrError>,
    /// What it says, for telling what else speaks against it; never to be certified. None when it says nothing.
    pub readable: Option<Box<ParsedCsr>>,
}

impl From<CsrError> for UnsoundCsr {
    fn from(error: CsrError) -> Self {
        Self { errors: vec![error], readable: None }
    }
}

/// Reads a request in PEM and reports everything that is wrong with it at once, as far as it is readable.
pub fn parse(text: &str) -> Result<ParsedCsr, Vec<CsrError>> {
    examine(text).map_err(|unsound| unsound.errors)
}

/// The same, with what could be read of a request that breaks rules.
pub fn examine(text: &str) -> Result<ParsedCsr, UnsoundCsr> {
    let malformed = |error: Error| CsrError::malformed(error.to_string());
    let der = request_der(text)?;
    let signed: Signed<'_> = asn1::read(&der, "request").map_err(malformed)?;
    let info_der = asn1::write(&signed.tbs, "a request").map_err(malformed)?;
    let info: RequestInfo<'_> = asn1::read(&info_der, "request").map_err(malformed)?;
    let spki_der = asn1::write(&info.spki, "a key").map_err(malformed)?;

    let mut errors: Vec<CsrError> =
        weak::findings(&spki_der).into_iter().map(|message| CsrError::new("key_weak", message)).collect();
    if errors.is_empty()
        && let Err(error) = signature::verify_signed(&signed, &spki_der)
    {
        // Checked for sound keys only: a key that is refused anyway must not cost a signature check of any size.
        errors.push(CsrError::new("csr_signature", format!("the request's signature is refused: {error}")));
    }
    let common_name = asn1::write(&info.subject, "a subject")
        .and_then(|subject| name::common_name(&subject))
        .map_err(|error| CsrError::malformed(error.to_string()))
        .and_then(|common_name| match common_name.as_deref().and_then(unsafe_text) {
            Some(reason) => Err(CsrError::new("unicode_unsafe", format!("the subject's common name: {reason}"))),
            None => Ok(common_name),
        })
        .unwrap_or_else(|error| {
            errors.push(error);
            None
        });
    let extensions = requested_extensions(info.attributes.as_ref()).unwrap_or_else(|error| {
        errors.push(error);
        Extensions::new()
    });
    let sans = requested_names(&extensions, &mut errors);
    // A key of an unknown kind was reported as weak.
    let read = KeyFacts::from_spki(&spki_der).ok().map(|key| ParsedCsr {
        pem: pem::encode(pem::CERTIFICATE_REQUEST, &der),
        spki_sha256: sha256_hex(&spki_der),
        spki_der,
        key,
        common_name,
        sans,
        requested_extensions: extensions.iter().map(|extension| extension.extn_id.to_string()).collect(),
        der,
    });
    match read {
        Some(read) if errors.is_empty() => Ok(read),
        read => Err(UnsoundCsr { errors, readable: read.map(Box::new) }),
    }
}

fn request_der(text: &str) -> Result<Vec<u8>, CsrError> {
    if text.len() > MAX_SIZE {
        return Err(CsrError::malformed("the request exceeds 64 KiB"));
    }
    let mut blocks = pem::decode_all(text).map_err(|error| CsrError::malformed(error.to_string()))?;
    let Some(block) = blocks.pop().filter(|_| blocks.is_empty()) else {
        return Err(CsrError::malformed("the request must hold exactly one PEM block, CERTIFICATE REQUEST"));
    };
    match block.label.as_str() {
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Ok(block.der),
        _ => Err(CsrError::malformed("the PEM block is not a CERTIFICATE REQUEST")),
    }
}

fn requested_extensions(attributes: Option<&Attributes>) -> Result<Extensions, CsrError> {
    let Some(attributes) = attributes else { return Ok(Extensions::new()) };
    let mut requests = attributes.iter().filter(|attribute| attribute.oid == oid::EXTENSION_REQUEST);
    let Some(request) = requests.next() else { return Ok(Extensions::new()) };
    let (Some(value), true, None) = (request.values.iter().next(), request.values.len() == 1, requests.next()) else {
        return Err(CsrError::malformed("the request must hold one list of extensions at most"));
    };
    let damaged = || CsrError::malformed("the list of requested extensions is damaged");
    let extensions = value.to_der().and_then(|der| Extensions::from_der(&der)).map_err(|_| damaged())?;
    for extension in &extensions {
        find_extension(&extensions, extension.extn_id).map_err(|error| CsrError::malformed(error.to_string()))?;
    }
    Ok(extensions)
}

fn requested_names(extensions: &[Extension], errors: &mut Vec<CsrError>) -> Vec<San> {
    match decode_extension::<BasicConstraints>(extensions, oid::BASIC_CONSTRAINTS) {
        Ok(Some(constraints)) if constraints.ca => errors.push(CsrError::new(
            "csr_ca_requested",
            "the request asks for a CA certificate (basicConstraints cA TRUE); ask for an end-entity certificate",
        )),
        Ok(_) => {}
        Err(error) => errors.push(CsrError::malformed(error.to_string())),
    }
    let names = match decode_extension::<SubjectAltName>(extensions, oid::SUBJECT_ALT_NAME) {
        Ok(names) => names.unwrap_or_default().0,
        Err(error) => {
            errors.push(CsrError::malformed(error.to_string()));
            return Vec::new();
        }
    };
    if names.len() > crate::MAX_SANS {
        let error = crate::san::too_many(names.len());
        errors.push(CsrError::new(error.code, error.message));
        return Vec::new();
    }
    let mut sans = Vec::with_capacity(names.len());
    for name in &names {
        match San::from_general_name(name) {
            Ok(name) if !sans.contains(&name) => sans.push(name),
            Ok(_) => {}
            Err(error) => errors.push(CsrError::new(error.code, error.message)),
        }
    }
    sans
}

/// Builds and signs a request in PEM: a subject of the common name only (empty without one), and the names.
pub fn build(key: &dyn SigningKey, common_name: Option<&str>, sans: &[San]) -> Result<String, Error> {
    let subject = crate::Subject { common_name: common_name.map(str::to_owned), ..crate::Subject::default() };
    let subject_der = subject.to_der()?;
    let mut attributes = Attributes::new();
    if let Some(extension) = leaf::subject_alt_name(sans, subject.is_empty())? {
        let encode = || -> der::Result<Attribute> {
            let mut values = SetOfVec::new();
            values.insert(Any::encode_from(&vec![extension])?)?;
            Ok(Attribute { oid: oid::EXTENSION_REQUEST, values })
        };
        let attribute = encode().map_err(|_| Error::Encode("a request"))?;
        attributes.insert(attribute).map_err(|_| Error::Encode("a request"))?;
    }
    let info = RequestInfo {
        version: Version::V1,
        subject: asn1::read(&subject_der, "subject")?,
        spki: asn1::read(key.public_key_spki(), "public key")?,
        // RFC 2986 makes the set mandatory, even when it is empty.
        attributes: Some(attributes),
    };
    let der = asn1::sign(&asn1::write(&info, "a request")?, key, "a request")?;
    Ok(pem::encode(pem::CERTIFICATE_REQUEST, &der))
}
