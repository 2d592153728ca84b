//! CSRF tokens: derived from the session and its epoch, so that none is stored and any tab can be given it again.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

fn input(session_id: &str, epoch: i32) -> String {
    format!("csrf:{}:{session_id}:{epoch}", session_id.len())
}

/// The token of a session in an epoch: 43 characters.
pub(crate) fn token(key: &hmac::Key, session_id: &str, epoch: i32) -> String {
    BASE64URL_NOPAD.encode(hmac::sign(key, input(session_id, epoch).as_bytes()).as_ref())
}

/// Compares in constant time.
pub(crate) fn matches(key: &hmac::Key, session_id: &str, epoch: i32, presented: &str) -> bool {
    BASE64URL_NOPAD
        .decode(presented.as_bytes())
        .is_ok_and(|mac| hmac::verify(key, input(session_id, epoch).as_bytes(), &mac).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_session_and_one_epoch() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let first = token(&key, "ses-a", 0);
        assert_eq!(first.len(), 43);
        assert!(matches(&key, "ses-a", 0, &first));
        assert!(!matches(&key, "ses-a", 1, &first));
        assert!(!matches(&key, "ses-b", 0, &first));
        for bent in ["", "A", &first[1..], &format!("{first}A")] {
            assert!(!matches(&key, "ses-a", 0, bent), "{bent}");
        }
    }
}
