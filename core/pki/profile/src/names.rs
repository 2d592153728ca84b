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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::profile;
    use proptest::prelude::*;

    fn dns(value: &str) -> RequestedName {
        RequestedName { kind: NameKind::Dns, value: value.to_owned() }
    }

    fn uri(value: &str) -> RequestedName {
        RequestedName { kind: NameKind::Uri, value: value.to_owned() }
    }

    fn codes(profile: &Profile, names: &[RequestedName]) -> Vec<String> {
        profile.name_violations(names).into_iter().map(|error| error.code).collect()
    }

    #[test]
    fn a_pattern_holds_for_the_whole_name_with_or_without_anchors() {
        for pattern in [r"[a-z]+\.example\.com", r"^[a-z]+\.example\.com$", r"^[a-z]+\.example\.com"] {
            let strict = Profile { required_san_patterns: vec![pattern.to_owned()], ..profile() };
            assert_eq!(codes(&strict, &[dns("web.example.com")]), Vec::<String>::new(), "{pattern}");
            assert_eq!(codes(&strict, &[dns("web.example.com.evil.org")]), ["san_not_allowed"], "{pattern}");
            assert_eq!(codes(&strict, &[dns("evil.org/web.example.com")]), ["san_not_allowed"], "{pattern}");
        }
    }

    #[test]
    fn alternatives_in_a_pattern_are_anchored_together() {
        let strict = Profile { required_san_patterns: vec!["a|b".to_owned()], ..profile() };
        assert_eq!(codes(&strict, &[dns("ax")]), ["san_not_allowed"]);
        assert_eq!(codes(&strict, &[dns("xb")]), ["san_not_allowed"]);
        assert_eq!(codes(&strict, &[dns("b")]), Vec::<String>::new());
    }

    #[test]
    fn an_escaped_dollar_at_the_end_stays_a_dollar() {
        assert!(compile(r"a\$").expect("compiles").is_match("a$"));
        assert!(!compile(r"a\$").expect("compiles").is_match("a"));
    }

    #[test]
    fn a_stored_pattern_that_no_longer_compiles_shuts_the_gate() {
        let broken = Profile { required_san_patterns: vec!["(".to_owned()], ..profile() };
        assert_eq!(codes(&broken, &[dns("web.example.com")]), ["san_pattern_broken", "san_not_allowed"]);
    }

    #[test]
    fn wildcards_need_the_profiles_leave() {
        let strict = Profile { allow_wildcards: false, ..profile() };
        assert_eq!(codes(&strict, &[dns("*.example.com")]), ["wildcard_not_allowed"]);
        assert_eq!(codes(&profile(), &[dns("*.example.com")]), Vec::<String>::new());
    }

    #[test]
    fn uris_answer_to_the_spiffe_pattern_alone() {
        let strict = Profile {
            required_san_patterns: vec!["web".to_owned()],
            spiffe_uri_pattern: "spiffe://example.org/ns/*/sa/web".to_owned(),
            ..profile()
        };
        let fitting = uri("spiffe://example.org/ns/prod/sa/web");
        assert_eq!(codes(&strict, &[dns("web"), fitting.clone()]), Vec::<String>::new());
        assert_eq!(codes(&strict, &[dns("web")]), ["spiffe_required"]);
        assert_eq!(codes(&strict, &[fitting.clone(), fitting]), ["spiffe_one_uri"]);
        assert_eq!(codes(&strict, &[uri("https://example.org/")]), ["spiffe_not_allowed"]);
    }

    #[test]
    fn stars_stand_for_whole_segments() {
        let fits = |pattern, uri| spiffe_matches(pattern, uri);
        assert!(fits("spiffe://a/*", "spiffe://a/x/y"));
        assert!(!fits("spiffe://a/*", "spiffe://a"));
        assert!(!fits("spiffe://a/*", "spiffe://a/"));
        assert!(!fits("spiffe://a/*", "spiffe://a/x//y"));
        assert!(!fits("spiffe://a/*/z", "spiffe://a/x/y/z"));
        assert!(!fits("spiffe://a/x", "spiffe://b/x"));
        assert!(!fits("spiffe://a/x", "spiffe://a/x/y"));
    }

    proptest! {
        #[test]
        fn a_literal_pattern_matches_itself_and_nothing_longer(name in "[a-z]{1,12}\\.[a-z]{2,5}", extra in "[a-z.]{1,5}") {
            let pattern = compile(&regex::escape(&name)).expect("escaped text compiles");
            prop_assert!(pattern.is_match(&name));
            let longer = [format!("{name}{extra}"), format!("{extra}{name}")];
            prop_assert!(!pattern.is_match(&longer[0]) && !pattern.is_match(&longer[1]));
        }

        #[test]
        fn no_pattern_makes_the_matcher_panic(pattern in ".{0,80}", name in ".{0,40}") {
            if let Ok(pattern) = compile(&pattern) {
                let _ = pattern.is_match(&name);
            }
        }
    }
}
