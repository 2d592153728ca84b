//! Logout tokens (Back-Channel Logout 1.0 sections 2.4 and 2.6).

use certctl_kernel::Timestamp;
use certctl_oidc::{SignedToken, claims, strict_json};
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use time::Duration;

/// The member of `events` that makes a token a logout token.
pub const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Octets of a token that are looked at.
const LONGEST: usize = 16 * 1024;
/// Octets of a `jti`.
const LONGEST_JTI: usize = 255;

/// Why a token is not one to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Invalid {
    /// It is no token in compact form with claims that can be read.
    #[error("malformed")]
    Malformed,
    /// `iss` is not the issuer of a provider here.
    #[error("issuer_unknown")]
    Issuer,
    /// `aud` names no client id that certctl has at that issuer.
    #[error("audience_mismatch")]
    Audience,
    /// Its signature is not the provider's, or by an algorithm that is not accepted.
    #[error("signature_invalid")]
    Signature,
    /// `typ` names another kind of token.
    #[error("typ")]
    Type,
    /// `iat` is missing, too old or in the future; or `exp` has passed.
    #[error("iat_window")]
    Age,
    /// `jti` is missing.
    #[error("jti_missing")]
    Jti,
    /// `events` does not say logout.
    #[error("events")]
    Events,
    /// It carries a nonce, as ID tokens do.
    #[error("nonce_present")]
    Nonce,
    /// It names neither a person nor a session.
    #[error("sub_and_sid_missing")]
    Target,
}

/// What a token says of itself before anything of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: Vec<String>,
}

/// Reads `iss` and `aud` without verifying anything: only to know whose keys to ask.
pub fn peek(token: &str) -> Result<Claimed, Invalid> {
    if token.len() > LONGEST {
        return Err(Invalid::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Invalid::Malformed);
    };
    let octets = BASE64URL_NOPAD.decode(payload.as_bytes()).map_err(|_| Invalid::Malformed)?;
    let members = strict_json::object(&octets).map_err(|_| Invalid::Malformed)?;
    let issuer = members.get("iss").and_then(Value::as_str).ok_or(Invalid::Issuer)?.to_owned();
    let audience = claims::audience(&members).ok_or(Invalid::Audience)?;
    Ok(Claimed { issuer, audience: audience.into_iter().map(ToOwned::to_owned).collect() })
}

/// A logout token to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// Its own name, for single use.
    pub jti: String,
    /// `sub`: all sessions of this person, or only those of `sid`.
    pub subject: Option<String>,
    /// `sid`: the sessions that came from this session of the provider.
    pub sid: Option<String>,
}

/// Checks a token whose signature was verified.
pub fn check(
    token: &SignedToken,
    issuer: &str,
    client_id: &str,
    now: Timestamp,
    max_age: Duration,
) -> Result<LogoutToken, Invalid> {
    let members = &token.claims;
    // Older providers write the generic type of any token.
    let typed =
        |typ: &str| ["logout+jwt", "application/logout+jwt", "jwt"].iter().any(|ok| typ.eq_ignore_ascii_case(ok));
    if token.typ.as_deref().is_some_and(|typ| !typed(typ)) {
        return Err(Invalid::Type);
    }
    claims::check_issuer(members, issuer).map_err(|_| Invalid::Issuer)?;
    if !claims::audience(members).is_some_and(|audience| audience.contains(&client_id)) {
        return Err(Invalid::Audience);
    }
    let seconds = now.unix_timestamp();
    let issued = claims::numeric_date(members, "iat").ok_or(Invalid::Age)?;
    if issued.abs_diff(seconds) > max_age.whole_seconds().unsigned_abs() {
        return Err(Invalid::Age);
    }
    if members.contains_key("exp") {
        let expires = claims::numeric_date(members, "exp").ok_or(Invalid::Age)?;
        if expires.saturating_add(claims::SKEW) < seconds {
            return Err(Invalid::Age);
        }
    }
    let jti = members.get("jti").and_then(Value::as_str).filter(|jti| !jti.is_empty() && jti.len() <= LONGEST_JTI);
    let jti = jti.ok_or(Invalid::Jti)?.to_owned();
    if !members.get("events").and_then(|events| events.get(LOGOUT_EVENT)).is_some_and(Value::is_object) {
        return Err(Invalid::Events);
    }
    if members.contains_key("nonce") {
        return Err(Invalid::Nonce);
    }
    let (subject, sid) = (claims::subject(members), claims::sid(members));
    let unusable = |name: &str, read: Option<&str>| members.contains_key(name) && read.is_none();
    if unusable("sub", subject) || unusable("sid", sid) || (subject.is_none() && sid.is_none()) {
        return Err(Invalid::Target);
    }
    Ok(LogoutToken { jti, subject: subject.map(ToOwned::to_owned), sid: sid.map(ToOwned::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_oidc::Algorithm;
    use serde_json::json;
    use time::OffsetDateTime;

    const NOW: i64 = 1_900_000_000;
    const ISSUER: &str = "https://idp.example";

    fn checked(typ: Option<&str>, changes: &Value) -> Result<LogoutToken, Invalid> {
        let mut claims = json!({
            "iss": ISSUER, "aud": ["certctl"], "iat": NOW, "jti": "j-1", "events": {LOGOUT_EVENT: {}}, "sub": "s-1",
        });
        for (name, value) in changes.as_object().expect("members") {
            let members = claims.as_object_mut().expect("members");
            if *value == json!("absent") {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        let Value::Object(claims) = claims else { unreachable!("made above") };
        let token = SignedToken { algorithm: Algorithm::Es256, typ: typ.map(ToOwned::to_owned), claims };
        let now = OffsetDateTime::from_unix_timestamp(NOW).expect("an instant");
        check(&token, ISSUER, "certctl", now, Duration::minutes(1))
    }

    #[test]
    fn a_sound_token_names_whom_to_log_out() {
        let token = checked(Some("logout+jwt"), &json!({"sid": "x"})).expect("sound");
        assert_eq!(
            (token.jti.as_str(), token.subject.as_deref(), token.sid.as_deref()),
            ("j-1", Some("s-1"), Some("x"))
        );
        assert_eq!(checked(None, &json!({"sub": "absent", "sid": "x"})).expect("sound").subject, None);
        assert!(checked(Some("JWT"), &json!({})).is_ok());
    }

    #[test]
    fn bl_02_to_bl_06_every_rule_refuses_by_itself() {
        let events = |value: Value| json!({ "events": value });
        for (changes, why) in [
            (json!({"iss": "https://other.example"}), Invalid::Issuer),
            (json!({"iss": "https://idp.example/"}), Invalid::Issuer),
            (json!({"aud": "other"}), Invalid::Audience),
            (json!({"aud": "absent"}), Invalid::Audience),
            (json!({"iat": "absent"}), Invalid::Age),
            (json!({"iat": NOW - 61}), Invalid::Age),
            (json!({"iat": NOW + 61}), Invalid::Age),
            (json!({"iat": i64::MIN}), Invalid::Age),
            (json!({"exp": NOW - 61}), Invalid::Age),
            (json!({"exp": "soon"}), Invalid::Age),
            (json!({"jti": "absent"}), Invalid::Jti),
            (json!({"jti": ""}), Invalid::Jti),
            (json!({"jti": 7}), Invalid::Jti),
            (json!({"jti": "j".repeat(256)}), Invalid::Jti),
            (json!({"events": "absent"}), Invalid::Events),
            (events(json!({})), Invalid::Events),
            (events(json!([LOGOUT_EVENT])), Invalid::Events),
            (events(json!({LOGOUT_EVENT: "yes"})), Invalid::Events),
            (events(json!({LOGOUT_EVENT: null})), Invalid::Events),
            (json!({"nonce": "n"}), Invalid::Nonce),
            (json!({"nonce": ""}), Invalid::Nonce),
            (json!({"nonce": null}), Invalid::Nonce),
            (json!({"sub": "absent"}), Invalid::Target),
            (json!({"sub": ""}), Invalid::Target),
            (json!({"sid": 7}), Invalid::Target),
        ] {
            assert_eq!(checked(None, &changes), Err(why), "{changes}");
        }
        for typ in ["at+jwt", "id_token", ""] {
            assert_eq!(checked(Some(typ), &json!({})), Err(Invalid::Type), "{typ}");
        }
    }

    #[test]
    fn what_a_token_says_of_itself_is_read_strictly() {
        let token = |payload: &str| format!("h.{}.s", BASE64URL_NOPAD.encode(payload.as_bytes()));
        let claimed = peek(&token(r#"{"iss":"i","aud":"a"}"#)).expect("read");
        assert_eq!((claimed.issuer.as_str(), claimed.audience), ("i", vec!["a".to_owned()]));
        assert_eq!(peek(&token(r#"{"iss":"i","iss":"j","aud":"a"}"#)), Err(Invalid::Malformed));
        assert_eq!(peek(&token(r#"{"aud":"a"}"#)), Err(Invalid::Issuer));
        assert_eq!(peek(&token(r#"{"iss":"i"}"#)), Err(Invalid::Audience));
        for bad in ["", "a", "a.b", "a.b.c.d", "h.%.s", &token("[]"), &format!("h.{}.s", "A".repeat(LONGEST))] {
            assert_eq!(peek(bad), Err(Invalid::Malformed), "{bad}");
        }
    }
}
