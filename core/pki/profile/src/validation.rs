//! The rules that a profile itself must keep.

use crate::names::compile;
use crate::{KeyAlgorithm, Profile};
use certctl_kernel::FieldError;
use std::collections::HashSet;

/// Certificates that live less than this many seconds count as short-lived.
pub(crate) const SHORT_LIVED: i32 = 3600;

const MAX_PATTERNS: usize = 32;
const MAX_PATTERN_LENGTH: usize = 256;

/// Attributes that a CSR may be asked for, with their object identifiers.
pub const CSR_ATTRIBUTES: &[(&str, &str)] = &[
    ("commonName", "2.5.4.3"),
    ("surname", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("countryName", "2.5.4.6"),
    ("localityName", "2.5.4.7"),
    ("stateOrProvinceName", "2.5.4.8"),
    ("organizationName", "2.5.4.10"),
    ("organizationalUnitName", "2.5.4.11"),
    ("title", "2.5.4.12"),
    ("challengePassword", "1.2.840.113549.1.9.7"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("extensionRequest", "1.2.840.113549.1.9.14"),
    ("unstructuredName", "1.2.840.113549.1.9.2"),
    ("unstructuredAddress", "1.2.840.113549.1.9.8"),
    ("deviceSerialNumber", "1.3.6.1.4.1.311.21.14"),
];

/// Every rule that the profile breaks; empty when it may be stored.
pub fn check_profile(profile: &Profile) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut refuse = |field: &str, code: &str, message: String| errors.push(FieldError::new(field, code, message));

    if profile.name.trim().is_empty() {
        refuse("name", "required", "is required".to_owned());
    } else if profile.name.chars().count() > 255 {
        refuse("name", "too_long", "must have at most 255 characters".to_owned());
    }
    if profile.description.len() > 4096 {
        refuse("description", "too_long", "must have at most 4096 bytes".to_owned());
    }

    if profile.allowed_key_algorithms.len() > 16 {
        refuse("allowed_key_algorithms", "too_many", "must have at most 16 rules".to_owned());
    }
    for (at, rule) in profile.allowed_key_algorithms.iter().enumerate() {
        let least = rule.algorithm.least_size();
        if rule.min_size < least || rule.min_size > 16_384 {
            refuse(
                &format!("allowed_key_algorithms[{at}].min_size"),
                "out_of_range",
                format!("must be {least} to 16384 for {}", rule.algorithm.as_str()),
            );
        }
        if rule.algorithm == KeyAlgorithm::Ecdsa && rule.min_size > 521 {
            refuse(
                &format!("allowed_key_algorithms[{at}].min_size"),
                "out_of_range",
                "must be at most 521 for ECDSA; no larger curve is supported".to_owned(),
            );
        }
    }
    if profile.allowed_ekus.is_empty() {
        refuse("allowed_ekus", "required", "must name one usage at least, such as serverAuth".to_owned());
    }
    if profile.allowed_ekus.iter().collect::<HashSet<_>>().len() != profile.allowed_ekus.len() {
        refuse("allowed_ekus", "duplicate", "must name each usage once".to_owned());
    }

    if profile.max_ttl_seconds < 0 {
        refuse("max_ttl_seconds", "out_of_range", "must be 0 (no cap) or more".to_owned());
    }
    if profile.allow_short_lived && !(profile.max_ttl_seconds > 0 && profile.max_ttl_seconds < SHORT_LIVED) {
        refuse("allow_short_lived", "ttl_too_long", format!("needs max_ttl_seconds from 1 to {}", SHORT_LIVED - 1));
    }

    check_patterns(profile, &mut refuse);

    let mut seen = HashSet::new();
    for (at, attribute) in profile.required_csr_attributes.iter().enumerate() {
        let field = format!("required_csr_attributes[{at}]");
        if !CSR_ATTRIBUTES.iter().any(|(name, _)| name == attribute) {
            let known: Vec<_> = CSR_ATTRIBUTES.iter().map(|(name, _)| *name).collect();
            refuse(&field, "unknown_value", format!("must be one of {}", known.join(", ")));
        } else if !seen.insert(attribute) {
            refuse(&field, "duplicate", "is named twice".to_owned());
        }
    }
    errors
}

fn check_patterns(profile: &Profile, refuse: &mut impl FnMut(&str, &str, String)) {
    if profile.required_san_patterns.len() > MAX_PATTERNS {
        refuse("required_san_patterns", "too_many", format!("must have at most {MAX_PATTERNS} patterns"));
        return;
    }
    for (at, pattern) in profile.required_san_patterns.iter().enumerate() {
        let field = format!("required_san_patterns[{at}]");
        if pattern.is_empty() {
            refuse(&field, "required", "must not be empty".to_owned());
        } else if pattern.chars().count() > MAX_PATTERN_LENGTH {
            refuse(&field, "too_long", format!("must have at most {MAX_PATTERN_LENGTH} characters"));
        } else if compile(pattern).is_err() {
            refuse(&field, "bad_pattern", r"is not a regular expression, such as [a-z0-9-]+\.example\.com".to_owned());
        }
    }
    let spiffe = profile.spiffe_uri_pattern.as_str();
    if spiffe.is_empty() {
        return;
    }
    if spiffe.chars().count() > 512 {
        refuse("spiffe_uri_pattern", "too_long", "must have at most 512 characters".to_owned());
    } else if !is_spiffe_pattern(spiffe) {
        refuse(
            "spiffe_uri_pattern",
            "bad_pattern",
            "must look like spiffe://example.org/ns/*/sa/*; the trust domain is literal and lower-case".to_owned(),
        );
    }
}

fn is_spiffe_pattern(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("spiffe://") else { return false };
    let mut segments = rest.split('/');
    let domain = segments.next().unwrap_or_default();
    let domain_ok = !domain.is_empty()
        && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
    let mut path = segments.peekable();
    domain_ok
        && path.peek().is_some()
        && path.all(|segment| {
            segment == "*"
                || (!segment.is_empty()
                    && !matches!(segment, "." | "..")
                    && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyRule;
    use crate::model::tests::profile;

    fn broken(profile: &Profile) -> Vec<String> {
        check_profile(profile).into_iter().map(|error| format!("{} {}", error.field, error.code)).collect()
    }

    #[test]
    fn the_usual_profile_is_sound() {
        assert_eq!(broken(&profile()), Vec::<String>::new());
    }

    #[test]
    fn each_rule_names_its_member() {
        let rule = |algorithm, min_size| Profile {
            allowed_key_algorithms: vec![KeyRule { algorithm, min_size }],
            ..profile()
        };
        let small = "allowed_key_algorithms[0].min_size out_of_range";
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let cases = [
            (Profile { name: " ".to_owned(), ..profile() }, "name required"),
            (Profile { name: "x".repeat(256), ..profile() }, "name too_long"),
            (rule(KeyAlgorithm::Rsa, 2047), small),
            (rule(KeyAlgorithm::Ecdsa, 255), small),
            (rule(KeyAlgorithm::Ecdsa, 522), small),
            (rule(KeyAlgorithm::Ed25519, -1), small),
            (Profile { allowed_ekus: vec![], ..profile() }, "allowed_ekus required"),
            (Profile { max_ttl_seconds: -1, ..profile() }, "max_ttl_seconds out_of_range"),
            (Profile { allow_short_lived: true, max_ttl_seconds: 3600, ..profile() }, "allow_short_lived ttl_too_long"),
            (Profile { allow_short_lived: true, ..profile() }, "allow_short_lived ttl_too_long"),
            (Profile { required_san_patterns: texts(&["("]), ..profile() }, "required_san_patterns[0] bad_pattern"),
            (Profile { required_san_patterns: texts(&[""]), ..profile() }, "required_san_patterns[0] required"),
            (Profile { required_san_patterns: texts(&["a"; 33]), ..profile() }, "required_san_patterns too_many"),
            (
                Profile { required_san_patterns: vec!["a".repeat(257)], ..profile() },
                "required_san_patterns[0] too_long",
            ),
            (
                Profile { required_csr_attributes: texts(&["shoeSize"]), ..profile() },
                "required_csr_attributes[0] unknown_value",
            ),
            (
                Profile { required_csr_attributes: texts(&["title", "title"]), ..profile() },
                "required_csr_attributes[1] duplicate",
            ),
        ];
        for (profile, expected) in cases {
            assert_eq!(broken(&profile), [expected]);
        }
    }

    #[test]
    fn a_spiffe_pattern_has_a_literal_domain_and_a_path() {
        for bad in
            ["https://a/x", "spiffe://", "spiffe://a", "spiffe://*/x", "spiffe://A/x", "spiffe://a//x", "spiffe://a/.."]
        {
            let profile = Profile { spiffe_uri_pattern: bad.to_owned(), ..profile() };
            assert_eq!(broken(&profile), ["spiffe_uri_pattern bad_pattern"], "{bad}");
        }
        let good = Profile { spiffe_uri_pattern: "spiffe://example.org/ns/*/sa/*".to_owned(), ..profile() };
        assert_eq!(broken(&good), Vec::<String>::new());
    }
}
