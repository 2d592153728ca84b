//! Signed cookie values: `v1.<id>.<key id>.<base64url of HMAC-SHA256>`.
//!
//! The MAC is over `<len(id)>:<id>:<len(key id)>:<key id>` with lengths as decimal octet counts, so that no two pairs
//! share one however their parts are cut.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

/// What an id in a cookie begins with, by the cookie's purpose: one can't be offered as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A session: `ses-`.
    Session,
    /// A sign-in that was begun: `pl-`.
    PreLogin,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "ses-",
            Self::PreLogin => "pl-",
        }
    }
}

const VERSION: &str = "v1";
const KEY_PREFIX: &str = "sk-";
/// Longest segment that is looked at.
const LONGEST: usize = 4096;

/// A cookie's parts, whose MAC nobody has looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified<'a> {
    /// Id of the session or the begun sign-in.
    pub id: &'a str,
    /// Id of the key that signed.
    pub key_id: &'a str,
    mac: [u8; 32],
}

/// The cookie is not one. Tells no more: the difference would help only an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cookie is not valid")]
pub struct CookieError;

fn input(id: &str, key_id: &str) -> String {
    format!("{}:{id}:{}:{key_id}", id.len(), key_id.len())
}

/// The value for `id` under a key.
pub fn sign(id: &str, key_id: &str, key: &hmac::Key) -> String {
    let mac = hmac::sign(key, input(id, key_id).as_bytes());
    format!("{VERSION}.{id}.{key_id}.{}", BASE64URL_NOPAD.encode(mac.as_ref()))
}

/// Takes a value apart.
pub fn parse(value: &str, purpose: Purpose) -> Result<Unverified<'_>, CookieError> {
    let mut segments = value.split('.');
    let (Some(version), Some(id), Some(key_id), Some(mac), None) =
        (segments.next(), segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return Err(CookieError);
    };
    let short = [id, key_id, mac].iter().all(|segment| segment.len() <= LONGEST);
    let named = id.len() > purpose.prefix().len() && id.starts_with(purpose.prefix()) && key_id.starts_with(KEY_PREFIX);
    if version != VERSION || !short || !named {
        return Err(CookieError);
    }
    let mac = BASE64URL_NOPAD.decode(mac.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
    Ok(Unverified { id, key_id, mac: mac.ok_or(CookieError)? })
}

impl Unverified<'_> {
    /// Compares the MAC in constant time.
    pub fn verify(&self, key: &hmac::Key) -> Result<(), CookieError> {
        hmac::verify(key, input(self.id, self.key_id).as_bytes(), &self.mac).map_err(|_| CookieError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(first: u8) -> hmac::Key {
        let octets: Vec<u8> = (first..first + 32).collect();
        hmac::Key::new(hmac::HMAC_SHA256, &octets)
    }

    const ID: &str = "ses-AAAAAAAAAAAAAAAAAAAAAA";
    const KEY_ID: &str = "sk-BBBBBBBBBBBBBBBBBBBBBB";

    #[test]
    fn the_published_vector_holds() {
        let value = sign(ID, KEY_ID, &key(0));
        assert_eq!(value, format!("v1.{ID}.{KEY_ID}.5aSHYrh28u_mWpQREJUDSSTvMeUa8-GPtgMcuHUkP2c"));
        let cookie = parse(&value, Purpose::Session).expect("a cookie");
        assert_eq!((cookie.id, cookie.key_id), (ID, KEY_ID));
        assert_eq!(cookie.verify(&key(0)), Ok(()));
        assert_eq!(cookie.verify(&key(1)), Err(CookieError));
    }

    #[test]
    fn sh_06_parts_cut_elsewhere_have_another_mac() {
        let slid = |id, key_id| sign(id, key_id, &key(0)).rsplit('.').next().map(ToOwned::to_owned);
        assert_ne!(slid("ses-ABC", "sk-XYZ"), slid("ses-ABCs", "k-XYZ"));
        assert_ne!(input("a", "bc"), input("ab", "c"));
    }

    #[test]
    fn sh_07_anything_bent_is_refused() {
        let good = sign(ID, KEY_ID, &key(0));
        let whole = |value: &str| parse(value, Purpose::Session).and_then(|cookie| cookie.verify(&key(0)));
        assert_eq!(whole(&good), Ok(()));
        for place in 3..good.len() {
            let mut bent = good.clone().into_bytes();
            bent[place] = if bent[place] == b'A' { b'Q' } else { b'A' };
            let bent = String::from_utf8(bent).expect("ASCII");
            // The last character carries bits beyond the 256 of the MAC; they must be zero as well.
            assert!(bent == good || whole(&bent).is_err(), "{bent}");
        }
        let rest = good.strip_prefix("v1.").expect("the version");
        for bent in [rest.to_owned(), format!("v2.{rest}"), format!("{good}."), format!("{good}=="), String::new()] {
            assert_eq!(whole(&bent), Err(CookieError), "{bent}");
        }
        let long = format!("v1.ses-{}.{KEY_ID}.{}", "A".repeat(5000), "A".repeat(43));
        assert_eq!(whole(&long), Err(CookieError));
    }

    #[test]
    fn tf_16_a_cookie_serves_its_purpose_only() {
        let session = sign(ID, KEY_ID, &key(0));
        let begun = sign("pl-AAAAAAAAAAAAAAAAAAAAAA", KEY_ID, &key(0));
        assert_eq!(parse(&session, Purpose::PreLogin), Err(CookieError));
        assert_eq!(parse(&begun, Purpose::Session), Err(CookieError));
        assert!(parse(&begun, Purpose::PreLogin).is_ok());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_only_signed_values_verify(text in ".{0,200}") {
            if let Ok(cookie) = parse(&text, Purpose::Session) {
                prop_assert!(cookie.verify(&key(0)).is_err());
            }
        }
    }
}
