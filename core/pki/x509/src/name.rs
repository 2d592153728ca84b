//! Distinguished names: what the product writes into subjects, and the common-name rule.

use crate::asn1::{self, oid};
use crate::unicode::unsafe_text;
use crate::{Error, San, SanError};
use der::asn1::{Any, ObjectIdentifier, SetOfVec};
use der::{Tag, Tagged};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};

const MAX_COMMON_NAME: usize = 64;

/// Subject of a certificate. Every member is optional; an empty subject makes the alternative names critical.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// C: two upper-case letters.
    pub country: Option<String>,
    /// ST.
    pub state: Option<String>,
    /// L.
    pub locality: Option<String>,
    /// O.
    pub organization: Option<String>,
    /// OU.
    pub organizational_unit: Option<String>,
    /// CN.
    pub common_name: Option<String>,
}

impl Subject {
    /// A subject of a common name only.
    pub fn common_name(name: impl Into<String>) -> Self {
        Self { common_name: Some(name.into()), ..Self::default() }
    }

    /// True when no member is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// DER `Name` in the fixed order C, ST, L, O, OU, CN; UTF8String, country PrintableString.
    pub fn to_der(&self) -> Result<Vec<u8>, Error> {
        let mut rdns = Vec::new();
        for (member, oid, value, limit) in [
            ("country", oid::COUNTRY, &self.country, 2),
            ("state", oid::STATE, &self.state, 128),
            ("locality", oid::LOCALITY, &self.locality, 128),
            ("organization", oid::ORGANIZATION, &self.organization, 64),
            ("organizational unit", oid::ORGANIZATIONAL_UNIT, &self.organizational_unit, 64),
            ("common name", oid::COMMON_NAME, &self.common_name, MAX_COMMON_NAME),
        ] {
            let Some(value) = value else { continue };
            check_attribute(member, oid, value, limit)?;
            rdns.push(attribute(oid, value)?);
        }
        asn1::write(&RdnSequence(rdns), "a subject")
    }
}

fn check_attribute(member: &str, oid: ObjectIdentifier, value: &str, limit: usize) -> Result<(), Error> {
    let length = value.chars().count();
    if length == 0 || length > limit {
        return Err(Error::rule(
            "subject_invalid",
            format!("the subject's {member} must have 1 to {limit} characters"),
        ));
    }
    if oid == oid::COUNTRY && !(length == 2 && value.bytes().all(|b| b.is_ascii_uppercase())) {
        return Err(Error::rule("subject_invalid", "the subject's country must be two upper-case letters, such as DE"));
    }
    match unsafe_text(value) {
        Some(reason) => Err(Error::rule("unicode_unsafe", format!("the subject's {member}: {reason}"))),
        None => Ok(()),
    }
}

fn attribute(oid: ObjectIdentifier, value: &str) -> Result<RelativeDistinguishedName, Error> {
    let tag = if oid == oid::COUNTRY { Tag::PrintableString } else { Tag::Utf8String };
    let encode = || -> der::Result<RelativeDistinguishedName> {
        let value = Any::new(tag, value.as_bytes())?;
        Ok(RelativeDistinguishedName(SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?))
    };
    encode().map_err(|_| Error::Encode("a subject"))
}

/// RFC 4514 text of a DER `Name`.
pub(crate) fn display(name_der: &[u8]) -> Result<String, Error> {
    let name: RdnSequence = asn1::read(name_der, "distinguished name")?;
    Ok(name.to_string())
}

/// The one common name of a DER `Name`; an error when there are several or the text can't be read.
pub(crate) fn common_name(name_der: &[u8]) -> Result<Option<String>, Error> {
    let name: RdnSequence = asn1::read(name_der, "distinguished name")?;
    let mut values = name.0.iter().flat_map(|rdn| rdn.0.iter()).filter(|attribute| attribute.oid == oid::COMMON_NAME);
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::malformed("subject", "it holds more than one common name"));
    }
    let bytes = first.value.value();
    let text = match first.value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // Latin-1 in practice, whatever T.61 says.
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units: Vec<u16> =
                bytes.chunks(2).map(|unit| unit.iter().fold(0, |n, b| n << 8 | u16::from(*b))).collect();
            if bytes.len() % 2 == 0 { String::from_utf16(&units).ok() } else { None }
        }
        _ => None,
    };
    text.map(Some).ok_or_else(|| Error::malformed("subject", "the common name is not text"))
}

/// True when a common name fits the subject (X.520: 64 characters); a longer one goes into the alternative names only.
pub fn common_name_fits(common_name: &str) -> bool {
    common_name.chars().count() <= MAX_COMMON_NAME
}

/// Checks the common name of a certificate: at most 64 characters, safe text, and equal to one DNS, IP or e-mail name
/// of the certificate. Codes: `cn_too_long`, `unicode_unsafe`, `cn_not_in_san`.
pub fn check_common_name(common_name: &str, sans: &[San]) -> Result<(), SanError> {
    let error = |code, message| Err(SanError { code, message });
    if !common_name_fits(common_name) {
        return error("cn_too_long", format!("the common name has more than {MAX_COMMON_NAME} characters"));
    }
    if let Some(reason) = unsafe_text(common_name) {
        return error("unicode_unsafe", format!("the common name: {reason}"));
    }
    match San::parse(common_name) {
        Ok(name) if name.kind() != "uri" && sans.contains(&name) => Ok(()),
        _ => error(
            "cn_not_in_san",
            "the common name must equal one of the certificate's DNS, IP or e-mail names; add it there or leave it out"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_written_in_fixed_order_and_read_back() {
        let subject = Subject {
            common_name: Some("a.example".into()),
            country: Some("DE".into()),
            organization: Some("Müller + Söhne, KG".into()),
            ..Subject::default()
        };
        let der = subject.to_der().expect("valid");
        assert_eq!(display(&der).expect("readable"), "CN=a.example,O=Müller \\+ Söhne\\, KG,C=DE");
        assert_eq!(common_name(&der).expect("readable").as_deref(), Some("a.example"));
        assert_eq!(Subject::default().to_der().expect("valid"), [0x30, 0]);
    }

    #[test]
    fn subjects_out_of_bounds_are_refused() {
        for subject in [
            Subject::common_name("x".repeat(65)),
            Subject::common_name(""),
            Subject::common_name("a\u{0}b"),
            Subject { country: Some("de".into()), ..Subject::default() },
            Subject { organization: Some("p\u{430}ypal".into()), ..Subject::default() },
        ] {
            assert!(subject.to_der().is_err(), "{subject:?}");
        }
    }

    #[test]
    fn the_common_name_must_be_one_of_the_names() {
        let sans = San::parse_list(&["a.example", "192.0.2.1", "spiffe://x.example/a"]).expect("valid");
        assert_eq!(check_common_name("A.example", &sans), Ok(()));
        assert_eq!(check_common_name("192.0.2.1", &sans), Ok(()));
        let code = |name: &str| check_common_name(name, &sans).expect_err(name).code;
        assert_eq!(code("b.example"), "cn_not_in_san");
        assert_eq!(code("spiffe://x.example/a"), "cn_not_in_san");
        assert_eq!(code(&"a".repeat(65)), "cn_too_long");
        assert_eq!(code("a\u{200B}.example"), "unicode_unsafe");
    }
}
