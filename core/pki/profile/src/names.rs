//! Whether requested names fit a profile.

use crate::Profile;
use certctl_kernel::FieldError;
use regex::Regex;

/// Kinds of name in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// The subject's common name.
    CommonName,
    /// A DNS name.
    Dns,
    /// An IP address.
    Ip,
    /// A mail address.
    Email,
    /// A URI.
    Uri,
}

/// A requested name in canonical form: lower-case A-labels, compressed IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedName {
    /// What kind of name it is.
    pub kind: NameKind,
    /// Its text.
    pub value: String,
}

/// Compiles a SAN pattern: anchored at both ends after one explicit `^` and `$` are taken away.
pub(crate) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let body = pattern.strip_prefix('^').unwrap_or(pattern);
    // A `\$` at the end is a literal dollar, not an anchor.
    let escaped =
        body.strip_suffix('$').is_some_and(|head| head.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1);
    let body = if escaped { body } else { body.strip_suffix('$').unwrap_or(body) };
    regex::RegexBuilder::new(&format!("^(?:{body})$")).size_limit(1 << 20).build()
}

/// Whether `uri` fits `spiffe://<trust domain>/<path>` where `*` stands for one segment and a final `/*` for one or
/// more.
pub(crate) fn spiffe_matches(pattern: &str, uri: &str) -> bool {
    let split = |text: &str| -> Option<Vec<String>> {
        let rest = text.strip_prefix("spiffe://")?;
        Some(rest.split('/').map(ToOwned::to_owned).collect())
    };
    let (Some(wanted), Some(given)) = (split(pattern), split(uri)) else { return false };
    let open_ended = wanted.len() > 1 && wanted.last().is_some_and(|segment| segment == "*");
    if given.len() < wanted.len() || (given.len() > wanted.len() && !open_ended) {
        return false;
    }
    given.iter().enumerate().all(|(at, segment)| match wanted.get(at) {
        // The trust domain is literal.
        Some(expected) if at == 0 => expected == segment,
        Some(expected) if expected == "*" => !segment.is_empty(),
        Some(expected) => expected == segment,
        None => !segment.is_empty(),
    })
}

impl Profile {
    /// The rules that the names break; empty when they fit.
    pub fn name_violations(&self, names: &[RequestedName]) -> Vec<FieldError> {
        let mut broken = Vec::new();
        let mut refuse = |code: &str, message: String| broken.push(FieldError::new("sans", code, message));
        if !self.allow_wildcards {
            for name in names.iter().filter(|name| name.value.starts_with("*.")) {
                refuse(
                    "wildcard_not_allowed",
                    format!("{} is a wildcard; profile {} allows none", name.value, self.name),
                );
            }
        }
        let mut patterns = Vec::new();
        for text in &self.required_san_patterns {
            match compile(text) {
                Ok(pattern) => patterns.push(pattern),
                // Checked on save; a stored one that no longer compiles must not open the gate.
                Err(_) => refuse("san_pattern_broken", format!("the profile's pattern {text} does not compile")),
            }
        }
        let by_spiffe = |name: &RequestedName| name.kind == NameKind::Uri && !self.spiffe_uri_pattern.is_empty();
        if !self.required_san_patterns.is_empty() {
            for name in names.iter().filter(|name| !by_spiffe(name)) {
                if !patterns.iter().any(|pattern| pattern.is_match(&name.value)) {
                    let message = format!("{} matches none of profile {}'s name patterns", name.value, self.name);
                    refuse("san_not_allowed", message);
                }
            }
        }
        if !self.spiffe_uri_pattern.is_empty() {
            let uris: Vec<_> = names.iter().filter(|name| name.kind == NameKind::Uri).collect();
            if uris.len() > 1 {
                refuse("spiffe_one_uri", format!("profile {} allows one URI name", self.name));
            }
            for uri in uris.iter().filter(|uri| !spiffe_matches(&self.spiffe_uri_pattern, &uri.value)) {
                refuse("spiffe_not_allowed", format!("{} does not match {}", uri.value, self.spiffe_uri_pattern));
            }
            if uris.is_empty() && self.spiffe_uri_pattern.contains('*') {
                refuse("spiffe_required", format!("a URI name matching {} is required", self.spiffe_uri_pattern));
            }
        }
        broken
    }
}
