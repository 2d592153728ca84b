//! What an ID token must say (OpenID Connect Core section 3.1.3.7), once its signature is verified.
//!
//! Pure checks over the claims, in a fixed order, each with its own [`Failure`]. Values that an attacker could guess
//! at octet by octet are compared in constant time.

use crate::Failure;
use certctl_kernel::{Secret, Timestamp};
use data_encoding::BASE64URL_NOPAD;
use ring::digest;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

/// Seconds that clocks may differ by, for `exp` and for an `iat` in the future.
pub const SKEW: i64 = 60;
/// Seconds that `nbf` may lie ahead.
const NOT_BEFORE_SKEW: i64 = 300;
/// Octets of a subject (OpenID Connect Core section 2).
const LONGEST_SUBJECT: usize = 255;
/// Characters kept of names and addresses.
const LONGEST_TEXT: usize = 320;

/// Signature algorithms that tokens may use (RFC 7518, RFC 8037). There is no other in the product: what is not listed
/// can't be named, so neither `none` nor a MAC keyed with a public key can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// EdDSA, with Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every one of them.
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Rs512, Self::Es256, Self::Es384, Self::EdDsa];

    /// Its name in headers and metadata.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads its name, by the letter.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// The hash whose left half `at_hash` is (OpenID Connect Core section 3.1.3.6); for EdDSA that of Ed25519.
    const fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::Rs256 | Self::Es256 => &digest::SHA256,
            Self::Es384 => &digest::SHA384,
            Self::Rs512 | Self::EdDsa => &digest::SHA512,
        }
    }
}

/// The `at_hash` that belongs to an access token.
pub fn at_hash(algorithm: Algorithm, access_token: &str) -> String {
    let hash = digest::digest(algorithm.hash(), access_token.as_bytes());
    let octets = hash.as_ref();
    BASE64URL_NOPAD.encode(&octets[..octets.len() / 2])
}

/// What a sign-in expects of its ID token.
pub struct Expected<'a> {
    /// The issuer, by the letter.
    pub issuer: &'a str,
    /// Our client id.
    pub client_id: &'a str,
    /// The nonce that the sign-in was begun with.
    pub nonce: &'a Secret<String>,
    /// The access token that came beside the ID token.
    pub access_token: Option<&'a Secret<String>>,
    /// Whether a token without `at_hash` is refused. The code flow makes it optional.
    pub require_at_hash: bool,
    /// Seconds that a token may be old.
    pub iat_window: u32,
    /// Domains that e-mail addresses must be of; empty for any address, or none.
    pub allowed_email_domains: &'a [String],
    /// Whether an address counts only when the provider has verified it.
    pub require_verified_email: bool,
    /// Now.
    pub now: Timestamp,
}

/// Who an ID token speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `sub`: the provider's name for the person, never reused.
    pub subject: String,
    /// `email`, trimmed, if it was told.
    pub email: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `preferred_username`.
    pub preferred_username: Option<String>,
    /// `sid`: the provider's name for its session.
    pub sid: Option<String>,
    /// `hd`: the domain that Google says the account belongs to.
    pub hosted_domain: Option<String>,
}

/// Checks the claims of an ID token that was signed with `algorithm`.
pub fn check(claims: &Map<String, Value>, algorithm: Algorithm, expected: &Expected<'_>) -> Result<Identity, Failure> {
    check_issuer(claims, expected.issuer)?;
    check_audience(claims, expected.client_id)?;
    check_access_token(claims, algorithm, expected)?;
    check_times(claims, expected)?;
    match claims.get("nonce") {
        Some(Value::String(nonce)) if expected.nonce.matches(nonce.as_bytes()) => {}
        _ => return Err(Failure::NonceMismatch),
    }
    let subject = subject(claims).ok_or(Failure::Unspecified)?;
    let email = text(claims, "email");
    check_email(claims, email.as_deref(), expected)?;
    Ok(Identity {
        subject: subject.to_owned(),
        email,
        name: text(claims, "name"),
        preferred_username: text(claims, "preferred_username"),
        sid: sid(claims).map(ToOwned::to_owned),
        hosted_domain: text(claims, "hd"),
    })
}

/// `sub`, if it can be one: 1 to 255 octets without control characters.
pub fn subject(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("sub")?.as_str().filter(|sub| plain(sub))
}

/// `sid`, under the same rule.
pub fn sid(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("sid")?.as_str().filter(|sid| plain(sid))
}

fn plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_SUBJECT && !text.chars().any(char::is_control)
}

/// `iss` is the issuer by the letter: no slash is added, no case folded.
pub fn check_issuer(claims: &Map<String, Value>, issuer: &str) -> Result<(), Failure> {
    match claims.get("iss") {
        Some(Value::String(iss)) if bool::from(iss.as_bytes().ct_eq(issuer.as_bytes())) => Ok(()),
        _ => Err(Failure::IdTokenIssMismatch),
    }
}

/// `aud` as the list that it stands for; `None` when it is neither a text nor a list of texts.
pub fn audience(claims: &Map<String, Value>) -> Option<Vec<&str>> {
    match claims.get("aud")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(many) => many.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), Failure> {
    let audience = audience(claims).ok_or(Failure::AudienceMismatch)?;
    if !audience.contains(&client_id) {
        return Err(Failure::AudienceMismatch);
    }
    match claims.get("azp") {
        Some(Value::String(azp)) if azp == client_id => Ok(()),
        None if audience.len() == 1 => Ok(()),
        _ => Err(Failure::AzpMismatch),
    }
}

fn check_access_token(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    expected: &Expected<'_>,
) -> Result<(), Failure> {
    let Some(access_token) = expected.access_token else { return Ok(()) };
    match claims.get("at_hash") {
        None if !expected.require_at_hash => Ok(()),
        Some(Value::String(told)) => {
            let wanted = at_hash(algorithm, access_token.expose());
            if bool::from(wanted.as_bytes().ct_eq(told.as_bytes())) { Ok(()) } else { Err(Failure::AtHashMismatch) }
        }
        _ => Err(Failure::AtHashMismatch),
    }
}

/// A NumericDate (RFC 7519 section 2) in whole seconds; a fraction is cut.
pub fn numeric_date(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    match claims.get(name)? {
        Value::Number(number) => number.as_i64().or_else(|| {
            // Year 9999 and beyond is no time that anything here can mean.
            let seconds = number.as_f64().filter(|s| s.abs() < 253_402_300_800.0)?;
            #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
            Some(seconds as i64)
        }),
        _ => None,
    }
}

fn check_times(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Failure> {
    let now = expected.now.unix_timestamp();
    let expires = numeric_date(claims, "exp").ok_or(Failure::TokenExpired)?;
    if expires.saturating_add(SKEW) < now {
        return Err(Failure::TokenExpired);
    }
    let issued = numeric_date(claims, "iat").ok_or(Failure::IatWindow)?;
    if issued > now + SKEW || issued.saturating_add(i64::from(expected.iat_window)) < now {
        return Err(Failure::IatWindow);
    }
    if claims.contains_key("nbf") {
        let not_before = numeric_date(claims, "nbf").ok_or(Failure::IatWindow)?;
        if not_before > now + NOT_BEFORE_SKEW {
            return Err(Failure::IatWindow);
        }
    }
    Ok(())
}

fn check_email(claims: &Map<String, Value>, email: Option<&str>, expected: &Expected<'_>) -> Result<(), Failure> {
    if expected.allowed_email_domains.is_empty() {
        return Ok(());
    }
    let email = email.ok_or(Failure::EmailMissingButRequired)?;
    let (local, domain) = email.rsplit_once('@').ok_or(Failure::EmailDomainNotAllowed)?;
    let listed = expected.allowed_email_domains.iter().any(|allowed| allowed.trim().eq_ignore_ascii_case(domain));
    if local.is_empty() || local.contains('@') || domain.is_empty() || !listed {
        return Err(Failure::EmailDomainNotAllowed);
    }
    // Some providers write the truth value as a text.
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => text == "true",
        _ => false,
    };
    if expected.require_verified_email && !verified { Err(Failure::EmailUnverified) } else { Ok(()) }
}

/// A text for people: trimmed, without control characters, cut; `None` when nothing is left of it.
fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let raw = claims.get(name)?.as_str()?;
    let clean: String = raw.trim().chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
    (!clean.is_empty()).then_some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::OffsetDateTime;

    const NOW: i64 = 1_900_000_000;
    const ISSUER: &str = "https://idp.example/realms/pki";

    struct Case {
        nonce: Secret<String>,
        access: Option<Secret<String>>,
        domains: Vec<String>,
        require_at_hash: bool,
        require_verified: bool,
    }

    impl Case {
        fn new() -> Self {
            Self {
                nonce: Secret::new("n-1".to_owned()),
                access: None,
                domains: Vec::new(),
                require_at_hash: false,
                require_verified: true,
            }
        }

        fn run(&self, algorithm: Algorithm, changes: &Value) -> Result<Identity, Failure> {
            let mut claims = json!({
                "iss": ISSUER, "aud": "certctl", "sub": "s-1", "exp": NOW + 300, "iat": NOW - 5, "nonce": "n-1",
            });
            for (name, value) in changes.as_object().expect("changes are members") {
                let members = claims.as_object_mut().expect("claims are members");
                if *value == json!("absent") {
                    members.remove(name);
                } else {
                    members.insert(name.clone(), value.clone());
                }
            }
            let expected = Expected {
                issuer: ISSUER,
                client_id: "certctl",
                nonce: &self.nonce,
                access_token: self.access.as_ref(),
                require_at_hash: self.require_at_hash,
                iat_window: 300,
                allowed_email_domains: &self.domains,
                require_verified_email: self.require_verified,
                now: OffsetDateTime::from_unix_timestamp(NOW).expect("an instant"),
            };
            check(claims.as_object().expect("members"), algorithm, &expected)
        }

        fn fails(&self, changes: &Value) -> Failure {
            self.run(Algorithm::Rs256, changes).expect_err(&changes.to_string())
        }

        fn passes(&self, changes: &Value) -> Identity {
            self.run(Algorithm::Rs256, changes).unwrap_or_else(|failure| panic!("{changes}: {failure}"))
        }
    }

    #[test]
    fn at_hash_of_the_known_tokens() {
        let token = "access-token-0001";
        for (algorithm, hash) in [
            (Algorithm::Rs256, "DlljrBP4Pmya82EKsPjc8w"),
            (Algorithm::Es256, "DlljrBP4Pmya82EKsPjc8w"),
            (Algorithm::Es384, "jU2GWSoHl-Eo5E4bbY0amziqDyv41NQK"),
            (Algorithm::Rs512, "pQ4xjYdcx2o_gJRfG0XsQK9fWUEWKlUhXb10_fA9piM"),
            (Algorithm::EdDsa, "pQ4xjYdcx2o_gJRfG0XsQK9fWUEWKlUhXb10_fA9piM"),
        ] {
            assert_eq!(at_hash(algorithm, token), hash, "{algorithm:?}");
        }
    }

    #[test]
    fn no_other_algorithm_has_a_name() {
        for name in ["none", "None", "HS256", "HS384", "HS512", "PS256", "RS384", "ES512", "ES256K", "rs256", ""] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
    }

    #[test]
    fn a_sound_token_names_the_person() {
        let told = json!({"email": " a@x.example ", "preferred_username": "al", "sid": "sid-1", "hd": "x.example"});
        let identity = Case::new().passes(&told);
        assert_eq!(identity.subject, "s-1");
        assert_eq!(identity.email.as_deref(), Some("a@x.example"));
        assert_eq!(identity.preferred_username.as_deref(), Some("al"));
        assert_eq!(identity.sid.as_deref(), Some("sid-1"));
        assert_eq!(identity.hosted_domain.as_deref(), Some("x.example"));
        let named = Case::new().passes(&json!({"name": "Al\u{0} B", "email": " "}));
        assert_eq!((named.name.as_deref(), named.email), (Some("Al B"), None));
    }

    #[test]
    fn tf_08_the_issuer_is_compared_by_the_letter() {
        for iss in [
            json!("absent"),
            json!(7),
            json!(format!("{ISSUER}/")),
            json!("https://IDP.example/realms/pki"),
            json!("https://idp.other/realms/pki"),
            json!([ISSUER]),
        ] {
            assert_eq!(Case::new().fails(&json!({"iss": iss})), Failure::IdTokenIssMismatch);
        }
    }

    #[test]
    fn tf_06_tf_07_audience_and_authorized_party() {
        let case = Case::new();
        for aud in [
            json!("absent"),
            json!("other"),
            json!(["other"]),
            json!([]),
            json!(7),
            json!(["certctl", 7]),
            json!("certctl2"),
        ] {
            assert_eq!(case.fails(&json!({"aud": aud})), Failure::AudienceMismatch);
        }
        assert_eq!(case.fails(&json!({"aud": ["certctl", "other"]})), Failure::AzpMismatch);
        assert_eq!(case.fails(&json!({"aud": ["certctl", "other"], "azp": "other"})), Failure::AzpMismatch);
        assert_eq!(case.fails(&json!({"azp": "other"})), Failure::AzpMismatch);
        assert_eq!(case.fails(&json!({"azp": 7})), Failure::AzpMismatch);
        case.passes(&json!({"aud": ["certctl"]}));
        case.passes(&json!({"aud": ["other", "certctl"], "azp": "certctl"}));
    }

    #[test]
    fn tf_20_tf_21_the_access_token_belongs_to_the_id_token() {
        let mut case = Case::new();
        case.access = Some(Secret::new("access-token-0001".to_owned()));
        for algorithm in Algorithm::ALL {
            let right = at_hash(algorithm, "access-token-0001");
            assert!(case.run(algorithm, &json!({"at_hash": right})).is_ok());
            let swapped = at_hash(algorithm, "access-token-0002");
            let refused = case.run(algorithm, &json!({"at_hash": swapped}));
            assert_eq!(refused.expect_err("refused"), Failure::AtHashMismatch, "{algorithm:?}");
        }
        for wrong in [json!(""), json!(null), json!(7), json!("DlljrBP4Pmya82EKsPjc8")] {
            assert_eq!(case.fails(&json!({"at_hash": wrong})), Failure::AtHashMismatch);
        }
        case.passes(&json!({}));
        case.require_at_hash = true;
        assert_eq!(case.fails(&json!({})), Failure::AtHashMismatch);
    }

    #[test]
    fn tf_22_tf_23_times_have_one_rule() {
        let case = Case::new();
        case.passes(&json!({"exp": NOW - 30}));
        case.passes(&json!({"exp": NOW - 60}));
        for exp in [json!(NOW - 61), json!("absent"), json!("1900000300"), json!(1e300), json!(null)] {
            assert_eq!(case.fails(&json!({"exp": exp})), Failure::TokenExpired);
        }
        case.passes(&json!({"iat": NOW + 60}));
        case.passes(&json!({"iat": NOW - 300}));
        for iat in [json!(NOW + 61), json!(NOW - 301), json!("absent"), json!("x")] {
            assert_eq!(case.fails(&json!({"iat": iat})), Failure::IatWindow);
        }
        case.passes(&json!({"nbf": NOW + 300}));
        assert_eq!(case.fails(&json!({"nbf": NOW + 301})), Failure::IatWindow);
        assert_eq!(case.fails(&json!({"nbf": "x"})), Failure::IatWindow);
        case.passes(&json!({"iat": 1_899_999_999.75, "exp": 1_900_000_300.5}));
    }

    #[test]
    fn tf_11_the_nonce_is_that_of_the_sign_in() {
        for nonce in [json!("absent"), json!("n-2"), json!(""), json!(null), json!(["n-1"])] {
            assert_eq!(Case::new().fails(&json!({"nonce": nonce})), Failure::NonceMismatch);
        }
    }

    #[test]
    fn a_token_without_a_usable_subject_names_nobody() {
        for sub in [json!("absent"), json!(""), json!(7), json!("s".repeat(256)), json!("a\nb")] {
            assert_eq!(Case::new().fails(&json!({"sub": sub})), Failure::Unspecified);
        }
    }

    #[test]
    fn tf_32_addresses_are_of_a_listed_domain_and_verified() {
        let mut case = Case::new();
        case.domains = vec![" Corp.Example ".to_owned()];
        let with = |email: &str| json!({"email": email, "email_verified": true});
        case.passes(&with("a@corp.example"));
        case.passes(&with("a@CORP.example"));
        case.passes(&json!({"email": "a@corp.example", "email_verified": "true"}));
        for email in
            ["a@other.example", "a@sub.corp.example", "a@example", "a@x@corp.example", "@corp.example", "a", "a@"]
        {
            assert_eq!(case.fails(&with(email)), Failure::EmailDomainNotAllowed, "{email}");
        }
        for none in [json!({}), json!({"email": ""}), json!({"email": 7}), json!({"email": null})] {
            assert_eq!(case.fails(&none), Failure::EmailMissingButRequired);
        }
        for verified in [json!(false), json!("absent"), json!("yes"), json!(1)] {
            let told = json!({"email": "a@corp.example", "email_verified": verified});
            assert_eq!(case.fails(&told), Failure::EmailUnverified);
        }
        case.require_verified = false;
        case.passes(&json!({"email": "a@corp.example"}));
    }
}
