//! Constraints that CA certificates put on what stands below them: names (RFC 5280 §4.2.1.10) and purposes (§4.2.1.12).

use crate::asn1::{self, Signed, Tbs, decode_extension, oid};
use crate::{Error, San};
use core::net::IpAddr;
use der::asn1::{Ia5String, ObjectIdentifier, OctetString};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, NameConstraints};

/// One subtree of names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subtree {
    /// A domain with everything below it; with a leading dot, only what is below.
    Dns(String),
    /// A network: address and prefix length.
    Ip(IpAddr, u8),
    /// A mailbox, a host, or with a leading dot the hosts below one.
    Email(String),
    /// A host of URIs, or with a leading dot the hosts below one.
    Uri(String),
    /// A directory name, DER; all of its parts must come first.
    Directory(Vec<u8>),
}

fn invalid(text: &str, rule: &str) -> Error {
    let shown: String = text.chars().take(80).collect();
    Error::rule("name_constraints", format!("{shown:?}: {rule}"))
}

impl std::fmt::Display for Subtree {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => formatter.write_str(name),
            Self::Ip(address, prefix) => write!(formatter, "{address}/{prefix}"),
            Self::Email(name) => write!(formatter, "email:{name}"),
            Self::Uri(name) => write!(formatter, "uri:{name}"),
            Self::Directory(der) => {
                write!(formatter, "dirName:{}", crate::name::display(der).unwrap_or_else(|_| "?".to_owned()))
            }
        }
    }
}

/// Whether `host` is `domain` or stands below it; with a leading dot, below it only.
fn within(host: &str, domain: &str) -> bool {
    match domain.strip_prefix('.') {
        Some(parent) => host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
    }
}

/// A host constraint of e-mail addresses and URIs: the host itself, or with a leading dot those below it.
fn at_host(host: &str, constraint: &str) -> bool {
    if constraint.starts_with('.') { within(host, constraint) } else { host == constraint }
}

fn domain(text: &str) -> Result<String, Error> {
    let (dot, rest) = text.strip_prefix('.').map_or(("", text), |rest| (".", rest));
    match San::parse_dns(rest) {
        Ok(San::Dns(name)) if !name.contains('*') => Ok(format!("{dot}{name}")),
        _ => Err(invalid(text, "not a domain, such as example.com")),
    }
}

impl Subtree {
    /// Reads a subtree as operators write it: a domain, a network in CIDR form, `email:` or `uri:` before a host.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(rest) = text.strip_prefix("email:") {
            if rest.contains('@') {
                return match San::parse(rest) {
                    Ok(San::Email(mailbox)) => Ok(Self::Email(mailbox)),
                    _ => Err(invalid(text, "not a mailbox")),
                };
            }
            return domain(rest).map(Self::Email);
        }
        if let Some(rest) = text.strip_prefix("uri:") {
            return domain(rest).map(Self::Uri);
        }
        if let Some((address, prefix)) = text.split_once('/') {
            let network = || -> Option<Self> {
                let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
                let most = if address.is_ipv4() { 32 } else { 128 };
                (prefix <= most).then(|| Self::Ip(masked(address, prefix), prefix))
            };
            return network().ok_or_else(|| invalid(text, "not a network, such as 10.0.0.0/8"));
        }
        domain(text).map(Self::Dns)
    }

    /// The kinds that a permitted list restricts.
    const fn kind(&self) -> u8 {
        match self {
            Self::Dns(_) => 0,
            Self::Ip(..) => 1,
            Self::Email(_) => 2,
            Self::Uri(_) => 3,
            Self::Directory(_) => 4,
        }
    }

    fn read(name: &GeneralName) -> Result<Self, Error> {
        let lower = |text: &Ia5String| text.as_str().to_ascii_lowercase();
        match name {
            GeneralName::DnsName(text) => Ok(Self::Dns(lower(text).trim_end_matches('.').to_owned())),
            GeneralName::Rfc822Name(text) => Ok(Self::Email(match text.as_str().rsplit_once('@') {
                Some((local, host)) => format!("{local}@{}", host.to_ascii_lowercase()),
                None => lower(text),
            })),
            GeneralName::UniformResourceIdentifier(text) => Ok(Self::Uri(lower(text))),
            GeneralName::IpAddress(octets) => network(octets.as_bytes())
                .ok_or_else(|| Error::malformed("name constraints", "a network has 8 or 32 octets and a prefix mask")),
            GeneralName::DirectoryName(name) => Ok(Self::Directory(asn1::write(name, "a name")?)),
            _ => Err(Error::malformed("name constraints", "this kind of name can't be checked")),
        }
    }

    fn to_general_name(&self) -> Result<GeneralName, Error> {
        const WHAT: &str = "name constraints";
        let text = |value: &str| Ia5String::new(value).map_err(|_| Error::Encode(WHAT));
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(text(name)?),
            Self::Email(name) => GeneralName::Rfc822Name(text(name)?),
            Self::Uri(name) => GeneralName::UniformResourceIdentifier(text(name)?),
            Self::Directory(der) => GeneralName::DirectoryName(asn1::read(der, WHAT)?),
            Self::Ip(address, prefix) => {
                let octets = match address {
                    IpAddr::V4(v4) => [v4.octets(), mask4(*prefix)].concat(),
                    IpAddr::V6(v6) => [v6.octets(), mask6(*prefix)].concat(),
                };
                GeneralName::IpAddress(OctetString::new(octets).map_err(|_| Error::Encode(WHAT))?)
            }
        })
    }

    /// Whether every name of `other` is one of this.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dns(outer), Self::Dns(inner)) => {
                outer == inner
                    || within(inner.trim_start_matches('.'), outer) && !(outer.starts_with('.') && inner == &outer[1..])
            }
            (Self::Ip(outer, wide), Self::Ip(inner, narrow)) => {
                outer.is_ipv4() == inner.is_ipv4() && wide <= narrow && masked(*inner, *wide) == *outer
            }
            (Self::Email(outer), Self::Email(inner)) => {
                outer == inner || at_host(inner.rsplit('@').next().unwrap_or(inner), outer)
            }
            (Self::Uri(outer), Self::Uri(inner)) => outer == inner || at_host(inner, outer),
            (Self::Directory(outer), Self::Directory(inner)) => outer == inner,
            _ => false,
        }
    }

    fn holds(&self, name: &San) -> bool {
        match (self, name) {
            (Self::Dns(domain), San::Dns(host)) => match host.strip_prefix("*.") {
                // A wildcard stands for the names below its parent.
                Some(parent) => within(parent, domain.trim_start_matches('.')),
                None => within(host, domain),
            },
            (Self::Ip(network, prefix), San::Ip(address)) => {
                network.is_ipv4() == address.is_ipv4() && masked(*address, *prefix) == *network
            }
            (Self::Email(constraint), San::Email(mailbox)) => {
                mailbox == constraint || mailbox.rsplit('@').next().is_some_and(|host| at_host(host, constraint))
            }
            (Self::Uri(constraint), San::Uri(uri)) => uri_host(uri).is_some_and(|host| at_host(&host, constraint)),
            _ => false,
        }
    }

    /// Whether a name reaches into this subtree: a wildcard may even when it is not wholly within.
    fn touches(&self, name: &San) -> bool {
        let wildcard = match (self, name) {
            (Self::Dns(domain), San::Dns(host)) => host.strip_prefix("*.").is_some_and(|parent| {
                let domain = domain.trim_start_matches('.');
                domain
                    .strip_suffix(parent)
                    .and_then(|rest| rest.strip_suffix('.'))
                    .is_some_and(|label| !label.contains('.'))
            }),
            _ => false,
        };
        wildcard || self.holds(name)
    }
}

fn uri_host(uri: &str) -> Option<String> {
    match url::Url::parse(uri).ok()?.host()? {
        url::Host::Domain(host) => Some(host.to_ascii_lowercase()),
        // RFC 5280: a URI constraint is about host names.
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

fn mask4(prefix: u8) -> [u8; 4] {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0).to_be_bytes()
}

fn mask6(prefix: u8) -> [u8; 16] {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0).to_be_bytes()
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::from((u32::from(v4) & u32::from_be_bytes(mask4(prefix.min(32)))).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) & u128::from_be_bytes(mask6(prefix.min(128)))).to_be_bytes()),
    }
}

fn network(octets: &[u8]) -> Option<Subtree> {
    let (address, mask) = octets.split_at_checked(octets.len() / 2)?;
    let prefix: u32 = mask.iter().map(|octet| octet.leading_ones()).sum();
    let prefix = u8::try_from(prefix).ok()?;
    if let (Ok(address), Ok(mask)) = (<[u8; 4]>::try_from(address), <[u8; 4]>::try_from(mask)) {
        return (mask == mask4(prefix)).then(|| Subtree::Ip(masked(IpAddr::from(address), prefix), prefix));
    }
    let (address, mask) = (<[u8; 16]>::try_from(address).ok()?, <[u8; 16]>::try_from(mask).ok()?);
    (mask == mask6(prefix)).then(|| Subtree::Ip(masked(IpAddr::from(address), prefix), prefix))
}

/// Name constraints of one CA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameRules {
    /// Names must be within one of the entries of their kind, where there is one.
    pub permitted: Vec<Subtree>,
    /// Names must be in none of these.
    pub excluded: Vec<Subtree>,
}

impl NameRules {
    /// True when nothing is constrained.
    pub fn is_empty(&self) -> bool {
        self.permitted.is_empty() && self.excluded.is_empty()
    }

    /// The rules of a CA below one with these: what the child permits must lie within, kinds that it does not speak of
    /// are taken over, and exclusions add up. Rule: `name_constraints`.
    pub fn narrowed(&self, child: &Self) -> Result<Self, Error> {
        let mut out = child.clone();
        for entry in &child.permitted {
            let same: Vec<_> = self.permitted.iter().filter(|outer| outer.kind() == entry.kind()).collect();
            if !same.is_empty() && !same.iter().any(|outer| outer.covers(entry)) {
                let message = format!("{entry} lies outside what the parent permits");
                return Err(Error::rule("name_constraints", message));
            }
        }
        let spoken: Vec<u8> = child.permitted.iter().map(Subtree::kind).collect();
        out.permitted.extend(self.permitted.iter().filter(|outer| !spoken.contains(&outer.kind())).cloned());
        let more = self.excluded.iter().filter(|outer| !child.excluded.iter().any(|inner| inner.covers(outer)));
        out.excluded.extend(more.cloned().collect::<Vec<_>>());
        Ok(out)
    }

    /// The constraints in a CA certificate in DER; empty where there are none.
    pub fn of_certificate(der: &[u8]) -> Result<Self, Error> {
        Ok(PathConstraints::of(&[der.to_vec()])?.nearest())
    }

    pub(crate) fn extension(&self) -> Result<Option<Extension>, Error> {
        let trees = |list: &[Subtree]| -> Result<Option<Vec<GeneralSubtree>>, Error> {
            let trees =
                list.iter().map(|tree| Ok(GeneralSubtree { base: tree.to_general_name()?, minimum: 0, maximum: None }));
            let trees = trees.collect::<Result<Vec<_>, Error>>()?;
            Ok((!trees.is_empty()).then_some(trees))
        };
        if self.is_empty() {
            return Ok(None);
        }
        let value =
            NameConstraints { permitted_subtrees: trees(&self.permitted)?, excluded_subtrees: trees(&self.excluded)? };
        asn1::extension(oid::NAME_CONSTRAINTS, true, &value).map(Some)
    }

    fn violation(&self, name: &San) -> Option<&'static str> {
        if self.excluded.iter().any(|tree| tree.touches(name)) {
            return Some("is excluded");
        }
        let kind = match name {
            San::Dns(_) => 0,
            San::Ip(_) => 1,
            San::Email(_) => 2,
            San::Uri(_) => 3,
        };
        let mut same = self.permitted.iter().filter(|tree| tree.kind() == kind).peekable();
        if same.peek().is_some() && !same.any(|tree| tree.holds(name)) {
            return Some("is not permitted");
        }
        None
    }
}

/// What the CAs of a chain allow below them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathConstraints {
    names: Vec<NameRules>,
    purposes: Vec<Vec<ObjectIdentifier>>,
    /// How many CAs may still follow below the first; none means no limit.
    pub path_len: Option<u8>,
}

impl PathConstraints {
    /// Reads the certificates of a chain, the lowest CA first.
    pub(crate) fn of(chain: &[Vec<u8>]) -> Result<Self, Error> {
        let mut out = Self::default();
        for (below, der) in chain.iter().enumerate() {
            let signed: Signed<'_> = asn1::read(der, "CA certificate")?;
            let tbs_der = asn1::write(&signed.tbs, "a certificate")?;
            let tbs: Tbs<'_> = asn1::read(&tbs_der, "CA certificate")?;
            let extensions = tbs.extensions.as_deref().unwrap_or_default();
            if let Some(constraints) = decode_extension::<NameConstraints>(extensions, oid::NAME_CONSTRAINTS)? {
                let read = |trees: Option<Vec<GeneralSubtree>>| -> Result<Vec<Subtree>, Error> {
                    trees.unwrap_or_default().iter().map(|tree| Subtree::read(&tree.base)).collect()
                };
                out.names.push(NameRules {
                    permitted: read(constraints.permitted_subtrees)?,
                    excluded: read(constraints.excluded_subtrees)?,
                });
            }
            let usage: Option<ExtendedKeyUsage> = decode_extension(extensions, oid::EXTENDED_KEY_USAGE)?;
            if let Some(usage) = usage.filter(|usage| !usage.0.contains(&oid::ANY_PURPOSE)) {
                out.purposes.push(usage.0);
            }
            let limits: Option<x509_cert::ext::pkix::BasicConstraints> =
                decode_extension(extensions, oid::BASIC_CONSTRAINTS)?;
            if let Some(most) = limits.and_then(|limits| limits.path_len_constraint) {
                // The CAs between this one and the lowest use up its allowance.
                let used = u8::try_from(below).unwrap_or(u8::MAX);
                let left = most.checked_sub(used).ok_or_else(|| {
                    Error::rule("path_len", "a CA above allows fewer CAs below it than the chain has")
                })?;
                out.path_len = Some(out.path_len.map_or(left, |known| known.min(left)));
            }
        }
        Ok(out)
    }

    /// The names that the nearest constrained CA allows, for narrowing.
    pub fn nearest(&self) -> NameRules {
        self.names.first().cloned().unwrap_or_default()
    }

    /// Every name that a CA of the chain does not allow, with the reason, and the subject where directory names are
    /// constrained.
    pub fn violations(&self, names: &[San], has_subject: bool) -> Vec<String> {
        let mut found = Vec::new();
        for rules in &self.names {
            for name in names {
                if let Some(reason) = rules.violation(name) {
                    found.push(format!("{name} {reason} by the name constraints of the CA"));
                }
            }
            // Our subjects are common names alone, which no directory subtree but the empty one holds.
            let directory = rules.permitted.iter().any(|tree| matches!(tree, Subtree::Directory(der) if der.len() > 2));
            if directory && has_subject {
                found.push("the subject is not permitted by the name constraints of the CA".to_owned());
            }
        }
        found
    }

    /// Whether every CA of the chain allows this purpose.
    pub fn allows(&self, purpose: crate::leaf::ExtendedUsage) -> bool {
        self.purposes.iter().all(|allowed| allowed.contains(&purpose.oid()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(permitted: &[&str], excluded: &[&str]) -> NameRules {
        let read = |list: &[&str]| list.iter().map(|text| Subtree::parse(text).expect(text)).collect();
        NameRules { permitted: read(permitted), excluded: read(excluded) }
    }

    fn allowed(rules: &NameRules, name: &str) -> bool {
        let chain = PathConstraints { names: vec![rules.clone()], ..PathConstraints::default() };
        chain.violations(&[San::parse(name).expect(name)], false).is_empty()
    }

    #[test]
    fn p04_names_outside_what_is_permitted_are_found_for_every_kind() {
        let rules = rules(&["a.example", "10.0.0.0/8", "2001:db8::/32", "email:mail.example", "uri:.web.example"], &[]);
        for (name, fine) in [
            ("a.example", true),
            ("x.y.a.example", true),
            ("*.a.example", true),
            ("ba.example", false),
            ("b.example", false),
            ("*.example.com", false),
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("ops@mail.example", true),
            ("ops@x.mail.example", false),
            ("spiffe://x.web.example/a", true),
            ("spiffe://web.example/a", false),
            ("urn:uuid:f81d4fae", false),
        ] {
            assert_eq!(allowed(&rules, name), fine, "{name}");
        }
        assert!(allowed(&self::rules(&["a.example"], &[]), "192.0.2.1"), "kinds not spoken of are free");
    }

    #[test]
    fn p05_exclusion_wins_and_wildcards_that_reach_in_are_found() {
        let rules = rules(&["a.example"], &["secret.a.example", "email:boss@a.example"]);
        for (name, fine) in [
            ("www.a.example", true),
            ("SECRET.a.example", false),
            ("x.secret.a.example", false),
            ("*.secret.a.example", false),
            ("*.a.example", false),
            ("*.b.a.example", true),
            ("boss@a.example", false),
            ("staff@a.example", true),
        ] {
            assert_eq!(allowed(&rules, name), fine, "{name}");
        }
    }

    #[test]
    fn a_child_narrows_inherits_and_adds_exclusions() {
        let parent = rules(&["a.example", "10.0.0.0/8"], &["x.a.example"]);
        let child = parent.narrowed(&rules(&["b.a.example"], &["c.b.a.example"])).expect("within");
        assert_eq!(child, rules(&["b.a.example", "10.0.0.0/8"], &["c.b.a.example", "x.a.example"]));
        for outside in ["b.example", "11.0.0.0/8", "10.0.0.0/7"] {
            let error = parent.narrowed(&rules(&[outside], &[])).expect_err(outside);
            assert_eq!(error.code(), "name_constraints");
        }
        assert_eq!(rules(&[], &[]).narrowed(&parent).expect("a free parent"), parent);
    }

    #[test]
    fn subtrees_that_are_none_are_refused() {
        for text in ["", "*.a.example", "a..b", "10.0.0.0/33", "10.0.0/8", "email:a@b@c", "uri:http://x"] {
            assert!(Subtree::parse(text).is_err(), "{text}");
        }
    }
}
