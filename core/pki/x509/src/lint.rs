//! What every certificate and list of ours must keep, read back from the octets: RFC 5280, 5480, 7633, 8813 and 9608.
//!
//! It runs on the whole object with an empty signature, before the key signs ([`crate::builder::sign`] and
//! [`crate::crl::build`]), and knows nothing of how the object was built: a rule that a builder forgets is found here.

use crate::asn1::{self, Signed, Tbs, decode_extension, oid};
use crate::key::{KeyFacts, KeyType, key_identifier};
use crate::{Error, San, crl, name};
use der::asn1::{AnyRef, Null, ObjectIdentifier, OctetString};
use der::flagset::FlagSet;
use der::{Decode, Encode};
use std::collections::BTreeSet;
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, ExtendedKeyUsage,
    KeyUsage, KeyUsages, NameConstraints, SubjectAltName,
};
use x509_cert::name::RdnSequence;
use x509_cert::time::Time;

/// A rule that an object breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable snake_case token, such as `key_usage_for_key_type`.
    pub rule: &'static str,
    /// What is wrong, with the section of the standard.
    pub message: String,
}

/// The findings as one refusal; None when there are none.
pub(crate) fn refusal(what: &str, findings: &[Finding]) -> Option<Error> {
    if findings.is_empty() {
        return None;
    }
    let list: Vec<_> = findings.iter().map(|finding| format!("{}: {}", finding.rule, finding.message)).collect();
    Some(Error::rule("lint_failed", format!("{what} was not signed, for it breaks {}", list.join("; "))))
}

struct Lint {
    findings: Vec<Finding>,
}

impl Lint {
    fn need(&mut self, holds: bool, rule: &'static str, message: impl Into<String>) {
        if !holds {
            self.findings.push(Finding { rule, message: message.into() });
        }
    }

    /// The decoded extension; one that is damaged, repeated or not in DER is a finding.
    fn read<'e, T: Decode<'e> + Encode>(&mut self, extensions: &'e [Extension], id: ObjectIdentifier) -> Option<T> {
        let decoded: Option<T> = decode_extension(extensions, id).unwrap_or_else(|error| {
            self.need(false, "extension_readable", error.to_string());
            None
        });
        if let Some(value) = &decoded {
            let exact = value.to_der().is_ok_and(|der| {
                extensions.iter().any(|extension| extension.extn_id == id && extension.extn_value.as_bytes() == der)
            });
            self.need(exact, "extension_der", format!("the extension {id} is not in DER"));
        }
        decoded
    }

    fn critical(&mut self, extensions: &[Extension], id: ObjectIdentifier, wanted: bool, what: &str) {
        let other = extensions.iter().any(|extension| extension.extn_id == id && extension.critical != wanted);
        let must = if wanted { "must be" } else { "must not be" };
        self.need(!other, "criticality", format!("{what} {must} critical"));
    }
}

/// Every rule that a certificate in DER breaks; empty when it keeps all.
pub fn certificate(der: &[u8]) -> Vec<Finding> {
    let mut lint = Lint { findings: Vec::new() };
    if let Err(error) = lint_certificate(&mut lint, der) {
        lint.need(false, "readable", error.to_string());
    }
    lint.findings
}

fn lint_certificate(lint: &mut Lint, der: &[u8]) -> Result<(), Error> {
    let signed: Signed<'_> = asn1::read(der, "certificate")?;
    let tbs_der = asn1::write(&signed.tbs, "a certificate")?;
    let tbs: Tbs<'_> = asn1::read(&tbs_der, "certificate")?;
    // DER in full: default values left out, minimal lengths, nothing behind the end.
    lint.need(asn1::write(&tbs, "a certificate")? == tbs_der, "der", "the certificate is not in DER");
    lint.need(asn1::write(&signed, "a certificate")? == der, "der", "the certificate is not in DER");

    lint.need(tbs.version == Version::V3, "version", "the version must be v3 (RFC 5280 §4.1.2.1)");
    let serial = tbs.serial.as_bytes();
    let positive = serial.first().is_some_and(|octet| octet & 0x80 == 0) && serial.iter().any(|octet| *octet != 0);
    lint.need(positive && serial.len() <= 20, "serial", "a serial is positive and has 20 octets at most (§4.1.2.2)");
    lint.need(serial.len() >= 8, "serial_entropy", "a serial needs 64 random bits");
    lint.need(
        tbs.signature == signed.algorithm,
        "signature_algorithms",
        "the two signature algorithms differ (§4.1.1.2)",
    );
    let null = tbs.signature.parameters == Some(AnyRef::NULL);
    let rsa = [oid::RSA_SHA256, oid::RSA_SHA384, oid::RSA_SHA512].contains(&tbs.signature.oid);
    let parameters = if rsa { null } else { tbs.signature.parameters.is_none() };
    lint.need(
        parameters,
        "signature_parameters",
        "RSA signatures have NULL parameters, the others have none (RFC 5754)",
    );

    for (what, time) in [("notBefore", tbs.validity.not_before), ("notAfter", tbs.validity.not_after)] {
        let year = time.to_date_time().year();
        let form = matches!(time, Time::UtcTime(_)) == (year <= 2049);
        lint.need(form, "time_form", format!("{what}: UTCTime through 2049, GeneralizedTime after (§4.1.2.5)"));
    }
    let (start, end) = (tbs.validity.not_before.to_unix_duration(), tbs.validity.not_after.to_unix_duration());
    lint.need(end > start, "validity", "notAfter must be later than notBefore");

    let issuer: RdnSequence = asn1::read(&asn1::write(&tbs.issuer, "a name")?, "issuer")?;
    lint.need(!issuer.0.is_empty(), "issuer", "the issuer must not be empty (§4.1.2.4)");
    let subject_der = asn1::write(&tbs.subject, "a name")?;
    let subject: RdnSequence = asn1::read(&subject_der, "subject")?;
    name_bounds(lint, &subject);

    let extensions = tbs.extensions.unwrap_or_default();
    let ids: BTreeSet<_> = extensions.iter().map(|extension| extension.extn_id).collect();
    lint.need(ids.len() == extensions.len(), "extension_once", "no extension may stand twice (§4.2)");

    let spki_der = asn1::write(&tbs.spki, "a public key")?;
    let key = KeyFacts::from_spki(&spki_der)?;
    let constraints: Option<BasicConstraints> = lint.read(&extensions, oid::BASIC_CONSTRAINTS);
    lint.need(constraints.is_some(), "basic_constraints", "basicConstraints is missing");
    lint.critical(&extensions, oid::BASIC_CONSTRAINTS, true, "basicConstraints");
    let is_ca = constraints.as_ref().is_some_and(|constraints| constraints.ca);
    let path_len = constraints.as_ref().is_some_and(|constraints| constraints.path_len_constraint.is_some());
    lint.need(is_ca || !path_len, "path_len", "a path length belongs to a CA only (§4.2.1.9)");

    let usage = key_usage(lint, &extensions, key, is_ca);
    let purposes = purposes(lint, &extensions, usage, is_ca);
    identifiers(lint, &extensions, &spki_der, is_ca && tbs.issuer == tbs.subject)?;
    names(lint, &extensions, &subject_der, is_ca, &purposes)?;
    addresses(lint, &extensions, &purposes);
    name_constraints(lint, &extensions, is_ca);
    Ok(())
}

/// X.520 upper bounds and the string types of RFC 5280 §4.1.2.4.
fn name_bounds(lint: &mut Lint, subject: &RdnSequence) {
    for attribute in subject.0.iter().flat_map(|rdn| rdn.0.iter()) {
        let (what, most) = match attribute.oid {
            oid::COMMON_NAME => ("common name", 64),
            oid::ORGANIZATION | oid::ORGANIZATIONAL_UNIT => ("organisation or unit", 64),
            oid::LOCALITY | oid::STATE => ("locality or state", 128),
            oid::COUNTRY => ("country", 2),
            _ => continue,
        };
        let text = std::str::from_utf8(attribute.value.value()).unwrap_or_default();
        let length = text.chars().count();
        lint.need((1..=most).contains(&length), "name_bounds", format!("the {what} must have 1 to {most} characters"));
        if attribute.oid == oid::COUNTRY {
            let letters = length == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase());
            lint.need(letters, "country", "the country must be two upper-case letters (ISO 3166)");
        }
    }
}

fn key_usage(lint: &mut Lint, extensions: &[Extension], key: KeyFacts, is_ca: bool) -> FlagSet<KeyUsages> {
    let Some(KeyUsage(usage)) = lint.read::<KeyUsage>(extensions, oid::KEY_USAGE) else {
        lint.need(false, "key_usage", "keyUsage is missing (§4.2.1.3)");
        return FlagSet::default();
    };
    lint.critical(extensions, oid::KEY_USAGE, true, "keyUsage");
    lint.need(!usage.is_empty(), "key_usage", "keyUsage must name one use at least");
    let signs = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    if is_ca {
        lint.need(usage.contains(signs), "ca_key_usage", "a CA needs keyCertSign and cRLSign");
    } else {
        lint.need(usage.is_disjoint(signs), "leaf_key_usage", "keyCertSign and cRLSign belong to CAs");
    }
    let encipher = KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment;
    let agree = FlagSet::from(KeyUsages::KeyAgreement);
    let fits = match key.key_type {
        KeyType::Rsa => usage.is_disjoint(agree),
        // RFC 8813 §3.
        KeyType::Ecdsa => usage.is_disjoint(encipher),
        // RFC 8410 §5.
        KeyType::Ed25519 => usage.is_disjoint(encipher | KeyUsages::KeyAgreement),
    };
    let message = format!("this use does not fit a key of type {} (RFC 5480, 8410, 8813)", key.algorithm());
    lint.need(fits, "key_usage_for_key_type", message);
    usage
}

fn purposes(
    lint: &mut Lint,
    extensions: &[Extension],
    usage: FlagSet<KeyUsages>,
    is_ca: bool,
) -> Vec<ObjectIdentifier> {
    let Some(ExtendedKeyUsage(purposes)) = lint.read::<ExtendedKeyUsage>(extensions, oid::EXTENDED_KEY_USAGE) else {
        lint.need(is_ca, "extended_key_usage", "an end-entity certificate needs extendedKeyUsage");
        return Vec::new();
    };
    let unique: BTreeSet<_> = purposes.iter().collect();
    lint.need(!purposes.is_empty(), "extended_key_usage", "extendedKeyUsage must not be empty (§4.2.1.12)");
    lint.need(unique.len() == purposes.len(), "extended_key_usage", "each purpose stands once");
    let stamps = purposes.contains(&oid::TIME_STAMPING);
    if stamps {
        lint.need(purposes.len() == 1, "time_stamping", "timeStamping must stand alone (RFC 3161 §2.3)");
    }
    lint.critical(extensions, oid::EXTENDED_KEY_USAGE, stamps, "extendedKeyUsage");
    if !is_ca {
        let signs = usage.contains(KeyUsages::DigitalSignature);
        lint.need(signs, "usage_consistency", "these purposes need digitalSignature (§4.2.1.12)");
    }
    if purposes.contains(&oid::OCSP_SIGNING) {
        lint.need(purposes.len() == 1, "ocsp_signing", "OCSPSigning must stand alone");
        let unchecked: Option<Null> = lint.read(extensions, oid::OCSP_NO_CHECK);
        lint.need(unchecked.is_some(), "ocsp_no_check", "a responder needs id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1)");
        let plain = [oid::AUTHORITY_INFO_ACCESS, oid::CRL_DISTRIBUTION_POINTS, oid::SUBJECT_ALT_NAME];
        let extra = extensions.iter().any(|extension| plain.contains(&extension.extn_id));
        lint.need(!extra, "ocsp_signing", "a responder that is never checked names no status address");
    }
    lint.critical(extensions, oid::OCSP_NO_CHECK, false, "id-pkix-ocsp-nocheck");
    purposes
}

fn identifiers(lint: &mut Lint, extensions: &[Extension], spki_der: &[u8], is_root: bool) -> Result<(), Error> {
    lint.critical(extensions, oid::SUBJECT_KEY_IDENTIFIER, false, "subjectKeyIdentifier");
    lint.critical(extensions, oid::AUTHORITY_KEY_IDENTIFIER, false, "authorityKeyIdentifier");
    let subject = lint.read::<OctetString>(extensions, oid::SUBJECT_KEY_IDENTIFIER).map(OctetString::into_bytes);
    let ours = subject.as_deref() == Some(key_identifier(spki_der)?.as_slice());
    lint.need(ours, "subject_key_identifier", "subjectKeyIdentifier must be that of RFC 7093 §2 method 1");
    let authority: Option<AuthorityKeyIdentifier> = lint.read(extensions, oid::AUTHORITY_KEY_IDENTIFIER);
    match authority {
        Some(authority) => {
            let plain = authority.authority_cert_issuer.is_none() && authority.authority_cert_serial_number.is_none();
            let named = authority.key_identifier.is_some_and(|identifier| !identifier.as_bytes().is_empty());
            lint.need(plain && named, "authority_key_identifier", "it holds the key identifier and nothing else");
        }
        None => lint.need(is_root, "authority_key_identifier", "authorityKeyIdentifier is missing (§4.2.1.1)"),
    }
    Ok(())
}

fn names(
    lint: &mut Lint,
    extensions: &[Extension],
    subject_der: &[u8],
    is_ca: bool,
    purposes: &[ObjectIdentifier],
) -> Result<(), Error> {
    let empty = subject_der == [0x30, 0];
    lint.critical(extensions, oid::SUBJECT_ALT_NAME, empty, "subjectAltName");
    let Some(SubjectAltName(names)) = lint.read::<SubjectAltName>(extensions, oid::SUBJECT_ALT_NAME) else {
        // Signers of code and time are known by their subject.
        let named = [oid::SERVER_AUTH, oid::CLIENT_AUTH, oid::EMAIL_PROTECTION];
        let nameless = !is_ca && purposes.iter().any(|purpose| named.contains(purpose));
        lint.need(!nameless && !empty, "names", "the certificate has no alternative name");
        return Ok(());
    };
    lint.need(!names.is_empty(), "names", "subjectAltName must not be empty (§4.2.1.6)");
    let mut sans = Vec::new();
    for general in &names {
        match San::from_general_name(general) {
            Ok(san) => {
                // The form on the wire is the normal one: lower case, A-labels, 4 or 16 octets.
                let normal = san.to_general_name()? == *general;
                lint.need(normal, "name_form", format!("the name {san} is not in its normal form"));
                lint.need(!sans.contains(&san), "name_once", format!("the name {san} stands twice"));
                sans.push(san);
            }
            Err(error) => lint.need(false, "name_form", error.message),
        }
    }
    if let Some(common_name) = name::common_name(subject_der)?
        && !is_ca
        && let Err(error) = crate::check_common_name(&common_name, &sans)
    {
        lint.need(false, "common_name", error.message);
    }
    Ok(())
}

fn addresses(lint: &mut Lint, extensions: &[Extension], purposes: &[ObjectIdentifier]) {
    for (id, what) in [
        (oid::AUTHORITY_INFO_ACCESS, "authorityInfoAccess"),
        (oid::CRL_DISTRIBUTION_POINTS, "cRLDistributionPoints"),
        (oid::TLS_FEATURE, "the TLS feature"),
        (oid::NO_REV_AVAIL, "noRevAvail"),
    ] {
        lint.critical(extensions, id, false, what);
    }
    let access: Option<AuthorityInfoAccessSyntax> = lint.read(extensions, oid::AUTHORITY_INFO_ACCESS);
    let has_access = access.is_some();
    let access = access.map(|access| access.0).unwrap_or_default();
    let uris = access.iter().all(|place| matches!(place.access_location, GeneralName::UniformResourceIdentifier(_)));
    lint.need(uris && (!has_access || !access.is_empty()), "access_uri", "authorityInfoAccess holds addresses only");
    let asks = access.iter().any(|place| place.access_method == oid::AD_OCSP);

    let points: Option<CrlDistributionPoints> = lint.read(extensions, oid::CRL_DISTRIBUTION_POINTS);
    let has_points = points.is_some();
    let named = points.iter().flat_map(|points| &points.0).all(|point| {
        matches!(&point.distribution_point, Some(DistributionPointName::FullName(names))
            if !names.is_empty() && names.iter().all(|n| matches!(n, GeneralName::UniformResourceIdentifier(_))))
    });
    let some = points.is_none_or(|points| !points.0.is_empty());
    lint.need(named && some, "distribution_point", "each distribution point needs an address (§4.2.1.13)");

    if let Some(feature) = extensions.iter().find(|extension| extension.extn_id == oid::TLS_FEATURE) {
        let exact = feature.extn_value.as_bytes() == [0x30, 3, 2, 1, 5];
        lint.need(exact, "must_staple", "the TLS feature must be status_request alone (RFC 7633)");
        let possible = asks && purposes.contains(&oid::SERVER_AUTH);
        lint.need(possible, "must_staple", "must-staple needs serverAuth and an OCSP address");
    }
    if let Some(exempt) = extensions.iter().find(|extension| extension.extn_id == oid::NO_REV_AVAIL) {
        lint.need(exempt.extn_value.as_bytes() == [5, 0], "no_rev_avail", "noRevAvail holds NULL (RFC 9608 §2)");
        lint.need(!asks && !has_points, "no_rev_avail", "noRevAvail excludes CRL and OCSP addresses (RFC 9608 §3)");
    }
}

fn name_constraints(lint: &mut Lint, extensions: &[Extension], is_ca: bool) {
    lint.critical(extensions, oid::NAME_CONSTRAINTS, true, "nameConstraints");
    let Some(constraints) = lint.read::<NameConstraints>(extensions, oid::NAME_CONSTRAINTS) else { return };
    lint.need(is_ca, "name_constraints", "nameConstraints belongs to CAs (§4.2.1.10)");
    let lists = [constraints.permitted_subtrees, constraints.excluded_subtrees];
    let trees: Vec<_> = lists.iter().flatten().flatten().collect();
    lint.need(!trees.is_empty(), "name_constraints", "nameConstraints must not be empty");
    let plain = trees.iter().all(|tree| tree.minimum == 0 && tree.maximum.is_none());
    lint.need(plain, "name_constraints", "minimum is 0 and maximum absent");
}

/// Every rule that a full revocation list in DER breaks.
pub fn crl(der: &[u8]) -> Vec<Finding> {
    let mut lint = Lint { findings: Vec::new() };
    if let Err(error) = lint_crl(&mut lint, der) {
        lint.need(false, "readable", error.to_string());
    }
    lint.findings
}

fn lint_crl(lint: &mut Lint, der: &[u8]) -> Result<(), Error> {
    let read = crl::read(der)?;
    lint.need(read.is_v2, "version", "the version must be v2 (RFC 5280 §5.1.2.1)");
    lint.need(read.algorithms_agree, "signature_algorithms", "the two signature algorithms differ (§5.1.1.2)");
    lint.need(read.number.is_some(), "crl_number", "cRLNumber is missing (§5.2.3)");
    lint.need(read.has_authority, "authority_key_identifier", "authorityKeyIdentifier is missing (§5.2.1)");
    lint.need(!read.critical_extensions, "criticality", "no extension of a full list is critical");
    lint.need(!read.empty_list, "revoked_certificates", "an empty list is absent (§5.1.2.6)");
    let window = read.next_update.is_some_and(|next| next > read.this_update);
    lint.need(window, "crl_window", "nextUpdate must be there and later than thisUpdate (§5.1.2.5)");
    let mut seen = BTreeSet::new();
    for entry in &read.entries {
        lint.need(seen.insert(&entry.serial), "crl_duplicate", format!("serial {} is listed twice", entry.serial));
        lint.need(entry.at <= read.this_update, "revocation_date", "a revocation lies after thisUpdate");
        let known = entry.reason.is_none_or(|code| matches!(code, 1..=6 | 9 | 10));
        lint.need(known, "reason_code", "a reason is 1 to 6, 9 or 10, and 0 is left out (§5.3.1)");
    }
    Ok(())
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
