//! `cctl_<12-character id>_<43-character secret>`: found by its id, proven by its hash, easy for secret scanners.

use certctl_kernel::Secret;
use certctl_ports::Ambient;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::digest;

const PREFIX: &str = "cctl_";
const ID_OCTETS: usize = 9;

/// A freshly made key: the text to show once, and what is kept of it.
pub struct KeyMaterial {
    /// The whole key.
    pub secret: Secret<String>,
    /// Its public part, by which it is found.
    pub lookup_id: String,
    /// SHA-256 of the whole key, hex.
    pub hash: String,
}

/// Makes a key from 41 random octets.
pub fn mint(ambient: &Ambient) -> KeyMaterial {
    // The id must not hold the separator, so `_` of the alphabet is replaced; nine octets stay far from collisions.
    let lookup_id = BASE64URL_NOPAD.encode(&ambient.octets::<ID_OCTETS>()).replace(['_', '-'], "0");
    let secret = BASE64URL_NOPAD.encode(&ambient.octets::<32>());
    let text = format!("{PREFIX}{lookup_id}_{secret}");
    KeyMaterial { hash: hash_of(&text), lookup_id, secret: Secret::new(text) }
}

/// SHA-256 of a key, hex.
pub fn hash_of(key: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, key.as_bytes()).as_ref())
}

/// The public part of a key in our format; `None` for keys of operators' own making.
pub(crate) fn lookup_id(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).map(|(id, _)| id).filter(|id| id.len() == 12)
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_ports::fakes::{CountingRandom, FixedClock};
    use std::sync::Arc;

    #[test]
    fn a_key_has_the_documented_form() {
        let ambient = Ambient {
            clock: Arc::new(FixedClock::new(time::OffsetDateTime::UNIX_EPOCH)),
            random: Arc::new(CountingRandom::new(3)),
        };
        let key = mint(&ambient);
        let text = key.secret.expose();
        assert_eq!(text.len(), 5 + 12 + 1 + 43);
        assert_eq!(lookup_id(text), Some(key.lookup_id.as_str()));
        assert_eq!(key.hash, hash_of(text));
        assert_ne!(mint(&ambient).hash, key.hash);
        assert_eq!(lookup_id("an-operators-own-key"), None);
    }
}
