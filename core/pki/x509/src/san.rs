//! Subject alternative names: kinds, syntax and limits.

use crate::Error;
use crate::unicode::unsafe_text;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use der::asn1::{Ia5String, OctetString};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use x509_cert::ext::pkix::name::GeneralName;

/// Most names that one certificate may carry.
pub const MAX_SANS: usize = 100;

const MAX_URI: usize = 2048;

/// A subject alternative name, already checked and normalised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum San {
    /// Host name in lower case, perhaps with a leading `*.`; internationalised labels as A-labels.
    Dns(String),
    /// IP address; v4-mapped v6 addresses become v4.
    Ip(IpAddr),
    /// Mailbox with an ASCII local part.
    Email(String),
    /// Absolute URI of scheme `spiffe`, `https` or `urn`.
    Uri(String),
}

/// A name broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SanError {
    /// `san_invalid`, `idn_invalid` or `unicode_unsafe`.
    pub code: &'static str,
    /// The rule in words, with the name.
    pub message: String,
}

fn invalid(name: &str, rule: impl std::fmt::Display) -> SanError {
    SanError { code: "san_invalid", message: format!("{:?}: {rule}", shortened(name)) }
}

/// Names in messages are bounded: the caller chose them.
fn shortened(name: &str) -> String {
    name.chars().take(80).collect()
}

impl San {
    /// Reads a name as requests write it; the kind follows from its form.
    pub fn parse(text: &str) -> Result<Self, SanError> {
        if let Some(reason) = unsafe_text(text) {
            return Err(SanError { code: "unicode_unsafe", message: format!("{:?}: {reason}", shortened(text)) });
        }
        if text.is_empty() {
            return Err(invalid(text, "a name must not be empty"));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::from_ip(address));
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("spiffe" | "https" | "urn") => return Self::parse_uri(text),
            Some("upn") => return Err(invalid(text, "user principal names are not supported")),
            Some(_) => {
                return Err(invalid(
                    text,
                    "neither an address (without zone or port) nor a URI of scheme spiffe, https or urn",
                ));
            }
            None => {}
        }
        if text.contains('@') { Self::parse_email(text) } else { Self::parse_dns(text) }
    }

    /// Reads a list: every error at once, duplicates removed, the first order kept, at most [`MAX_SANS`].
    pub fn parse_list<S: AsRef<str>>(texts: &[S]) -> Result<Vec<Self>, Vec<SanError>> {
        if texts.len() > MAX_SANS {
            return Err(vec![too_many(texts.len())]);
        }
        let mut names = Vec::with_capacity(texts.len());
        let mut errors = Vec::new();
        for text in texts {
            match Self::parse(text.as_ref()) {
                Ok(name) if !names.contains(&name) => names.push(name),
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(names) } else { Err(errors) }
    }

    /// A host name, perhaps with a leading `*.`.
    pub fn parse_dns(text: &str) -> Result<Self, SanError> {
        let Some(parent) = text.strip_prefix("*.") else {
            if text.contains('*') {
                return Err(invalid(text, "a wildcard must be the whole left-most label, such as *.example.com"));
            }
            return host_name(text).map(Self::Dns);
        };
        if parent.contains('*') {
            return Err(invalid(text, "only one wildcard is allowed, as the left-most label"));
        }
        let parent = host_name(parent)?;
        if !parent.contains('.') {
            return Err(invalid(text, "at least two labels must follow a wildcard, such as *.example.com"));
        }
        if parent.len() > 251 {
            return Err(invalid(text, "a host name has at most 253 characters"));
        }
        Ok(Self::Dns(format!("*.{parent}")))
    }

    fn from_ip(address: IpAddr) -> Self {
        match address {
            IpAddr::V6(v6) => Self::Ip(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)),
            IpAddr::V4(_) => Self::Ip(address),
        }
    }

    fn parse_email(text: &str) -> Result<Self, SanError> {
        let Some((local, domain)) = text.rsplit_once('@') else { return Err(invalid(text, "an address has one @")) };
        let atom = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'+-/=?^_`{|}~.".contains(&c);
        let dots_ok = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
        if local.is_empty() || local.len() > 64 || !local.bytes().all(atom) || !dots_ok {
            return Err(invalid(text, "the part before @ must be 1 to 64 plain ASCII characters"));
        }
        let domain = host_name(domain)?;
        Ok(Self::Email(format!("{local}@{domain}")))
    }

    fn parse_uri(text: &str) -> Result<Self, SanError> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if !printable || text.len() > MAX_URI || text.contains(['*', '"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
            return Err(invalid(text, "a URI is ASCII without blanks or wildcards, up to 2048 characters"));
        }
        let uri = url::Url::parse(text).map_err(|_| invalid(text, "not an absolute URI"))?;
        if uri.scheme() == "urn" {
            let parts: Vec<_> = uri.path().splitn(2, ':').collect();
            return if parts.len() == 2 && parts.iter().all(|part| !part.is_empty()) {
                Ok(Self::Uri(text.to_owned()))
            } else {
                Err(invalid(text, "a URN has the form urn:namespace:name"))
            };
        }
        if !uri.username().is_empty() || uri.password().is_some() {
            return Err(invalid(text, "a URI in a certificate names no user"));
        }
        match uri.host() {
            Some(url::Host::Domain(host)) if !host.is_empty() => {
                host_name(host)?;
                Ok(Self::Uri(text.to_owned()))
            }
            Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => Ok(Self::Uri(text.to_owned())),
            _ => Err(invalid(text, "a URI needs a host")),
        }
    }

    /// `dns`, `ip`, `email` or `uri`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Ip(_) => "ip",
            Self::Email(_) => "email",
            Self::Uri(_) => "uri",
        }
    }

    /// True for a host name with a wildcard.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.starts_with("*."))
    }

    pub(crate) fn to_general_name(&self) -> Result<GeneralName, Error> {
        let text = |value: &str| Ia5String::new(value).map_err(|_| Error::Encode("a subject alternative name"));
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(text(name)?),
            Self::Email(name) => GeneralName::Rfc822Name(text(name)?),
            Self::Uri(name) => GeneralName::UniformResourceIdentifier(text(name)?),
            Self::Ip(address) => {
                let octets = match address {
                    IpAddr::V4(v4) => v4.octets().to_vec(),
                    IpAddr::V6(v6) => v6.octets().to_vec(),
                };
                GeneralName::IpAddress(OctetString::new(octets).map_err(|_| Error::Encode("an IP address"))?)
            }
        })
    }

    /// Reads a name out of a request, with the same rules as names in text.
    pub(crate) fn from_general_name(name: &GeneralName) -> Result<Self, SanError> {
        let same_kind = |parsed: Self, kind: &str| {
            if parsed.kind() == kind {
                Ok(parsed)
            } else {
                Err(invalid(&parsed.to_string(), format!("not a {kind} name")))
            }
        };
        match name {
            GeneralName::DnsName(text) => {
                // A bare address in a dNSName is a common mistake of old tools and would match no host.
                San::parse(text.as_str()).and_then(|parsed| same_kind(parsed, "dns"))
            }
            GeneralName::Rfc822Name(text) => San::parse(text.as_str()).and_then(|parsed| same_kind(parsed, "email")),
            GeneralName::UniformResourceIdentifier(text) => {
                San::parse(text.as_str()).and_then(|parsed| same_kind(parsed, "uri"))
            }
            GeneralName::IpAddress(octets) => ip_from_octets(octets.as_bytes())
                .map(Self::from_ip)
                .ok_or_else(|| invalid("IP address", "an address has 4 or 16 octets")),
            other => Err(invalid(general_name_kind(other), "this kind of name is not supported")),
        }
    }
}

pub(crate) fn ip_from_octets(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    <[u8; 16]>::try_from(octets).ok().map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
}

fn general_name_kind(name: &GeneralName) -> &'static str {
    match name {
        GeneralName::OtherName(_) => "otherName",
        GeneralName::DirectoryName(_) => "directoryName",
        GeneralName::EdiPartyName(_) => "ediPartyName",
        GeneralName::RegisteredId(_) => "registeredID",
        _ => "name",
    }
}

pub(crate) fn too_many(count: usize) -> SanError {
    SanError { code: "san_invalid", message: format!("a certificate has at most {MAX_SANS} names; {count} were given") }
}

/// Checks a host name without wildcard and returns it in lower case.
fn host_name(text: &str) -> Result<String, SanError> {
    if !text.is_ascii() {
        let hint = idna::domain_to_ascii(text).map(|ascii| format!("; write {ascii}")).unwrap_or_default();
        return Err(SanError {
            code: "idn_invalid",
            message: format!("{:?}: internationalised names are written as A-labels{hint}", shortened(text)),
        });
    }
    let name = text.to_ascii_lowercase();
    if name.len() > 253 {
        return Err(invalid(text, "a host name has at most 253 characters"));
    }
    for label in name.split('.') {
        let ldh = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if label.is_empty() || label.len() > 63 || !ldh || label.starts_with('-') || label.ends_with('-') {
            return Err(invalid(
                text,
                "each label of a host name is 1 to 63 letters, digits or inner hyphens, without a final dot",
            ));
        }
        check_a_label(label)?;
    }
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(invalid(text, "a host name must not end in a label of digits only; is it a damaged address?"));
    }
    Ok(name)
}

fn check_a_label(label: &str) -> Result<(), SanError> {
    let idn_error = |reason: &str| SanError { code: "idn_invalid", message: format!("{label:?}: {reason}") };
    if label.as_bytes().get(2..4) != Some(b"--") {
        return Ok(());
    }
    if !label.starts_with("xn--") {
        return Err(idn_error("hyphens as third and fourth character are reserved for xn-- labels"));
    }
    let uts46 = Uts46::new();
    let (unicode, outcome) = uts46.to_unicode(label.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    if outcome.is_err() || unicode.is_ascii() {
        return Err(idn_error("not a valid internationalised label"));
    }
    let back = uts46.to_ascii(unicode.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    if back.ok().as_deref() != Some(label) {
        return Err(idn_error("the label does not survive the round trip through Unicode"));
    }
    match unsafe_text(&unicode) {
        Some(reason) => Err(SanError { code: "unicode_unsafe", message: format!("{label:?}: {reason}") }),
        None => Ok(()),
    }
}

impl std::fmt::Display for San {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => formatter.write_str(text),
            Self::Ip(address) => address.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_form_finds_its_kind_and_is_normalised() {
        for (text, kind, normal) in [
            ("WWW.Example.COM", "dns", "www.example.com"),
            ("localhost", "dns", "localhost"),
            ("*.example.com", "dns", "*.example.com"),
            ("xn--bcher-kva.example", "dns", "xn--bcher-kva.example"),
            ("192.0.2.1", "ip", "192.0.2.1"),
            ("::ffff:192.0.2.1", "ip", "192.0.2.1"),
            ("2001:DB8::1", "ip", "2001:db8::1"),
            ("Ops@Example.COM", "email", "Ops@example.com"),
            ("spiffe://prod.example/ns/a", "uri", "spiffe://prod.example/ns/a"),
            ("https://example.com/x", "uri", "https://example.com/x"),
            ("urn:uuid:f81d4fae", "uri", "urn:uuid:f81d4fae"),
        ] {
            let name = San::parse(text).expect(text);
            assert_eq!((name.kind(), name.to_string().as_str()), (kind, normal));
            let general = name.to_general_name().expect("encodes");
            assert_eq!(San::from_general_name(&general).expect("reads back"), name);
        }
    }

    #[test]
    fn i02_c13_names_that_break_a_rule_are_refused_with_its_code() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}a.example", "abcdefgh.".repeat(30));
        for (text, code) in [
            ("", "san_invalid"),
            ("a..b", "san_invalid"),
            ("example.com.", "san_invalid"),
            (".example.com", "san_invalid"),
            ("-a.example", "san_invalid"),
            ("a_b.example", "san_invalid"),
            ("a b.example", "san_invalid"),
            (&long_label, "san_invalid"),
            (&long_name, "san_invalid"),
            ("999.1.1.1", "san_invalid"),
            ("192.0.2.0/24", "san_invalid"),
            ("fe80::1%eth0", "san_invalid"),
            ("example.com:443", "san_invalid"),
            ("*", "san_invalid"),
            ("*.com", "san_invalid"),
            ("*.*.example.com", "san_invalid"),
            ("w*.example.com", "san_invalid"),
            ("a.*.example.com", "san_invalid"),
            ("*@example.com", "san_invalid"),
            ("a@b@example.com", "san_invalid"),
            ("spiffe:///path", "san_invalid"),
            ("spiffe://*.example/x", "san_invalid"),
            ("https://user:pw@example.com/", "san_invalid"),
            ("ftp://example.com/", "san_invalid"),
            ("urn:x", "san_invalid"),
            ("bücher.example", "idn_invalid"),
            ("ab--cd.example", "idn_invalid"),
            ("xn--a.example", "idn_invalid"),
            ("xn--.example", "san_invalid"),
            ("xn--zzzzzzzz99999.example", "idn_invalid"),
            ("xn--pypal-4ve.com", "unicode_unsafe"), // pаypal with a Cyrillic a
            ("exa\u{200B}mple.com", "unicode_unsafe"),
            ("a\u{0}.example", "unicode_unsafe"),
        ] {
            let error = San::parse(text).expect_err(text);
            assert_eq!(error.code, code, "{text:?}: {error}");
        }
    }

    #[test]
    fn i01_a_u_label_is_refused_with_its_a_label() {
        assert!(San::parse("bücher.example").expect_err("raw U-label").message.contains("xn--bcher-kva.example"));
    }

    #[test]
    fn lists_drop_duplicates_keep_order_and_report_every_error() {
        let names = San::parse_list(&["b.example", "a.example", "B.example"]).expect("valid");
        assert_eq!(names, [San::Dns("b.example".into()), San::Dns("a.example".into())]);
        assert_eq!(San::parse_list(&["a..b", "ok.example", "*"]).expect_err("two bad").len(), 2);
        let many: Vec<String> = (0..=MAX_SANS).map(|n| format!("h{n}.example")).collect();
        assert!(San::parse_list(&many).is_err());
        assert_eq!(San::parse_list(&many[1..]).expect("the limit itself").len(), MAX_SANS);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics_and_accepted_names_are_stable(text in "\\PC{0,60}|[a-z0-9.*@:/-]{0,40}") {
            if let Ok(name) = San::parse(&text) {
                prop_assert!(name.to_string().is_ascii());
                prop_assert_eq!(San::parse(&name.to_string()), Ok(name));
            }
        }
    }
}
