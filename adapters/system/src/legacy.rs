//! Blobs of the Go certctl, readable so that its data can be taken over: AES-256-GCM without associated data, under
//! keys that PBKDF2-HMAC-SHA256 (RFC 8018 section 5.2) makes of the passphrase for each blob.
//!
//! - third form: `0x03 ‖ salt (16) ‖ nonce (12) ‖ ciphertext and tag`, 600,000 rounds;
//! - second form: `0x02`, the same layout, 100,000 rounds;
//! - first form: `nonce (12) ‖ ciphertext and tag`, a fixed salt, 100,000 rounds.

use certctl_kernel::Secret;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::pbkdf2;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

const SALT: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;
const FIXED_SALT: &[u8] = b"certctl-config-encryption-v1";
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
const ROUNDS_OF_V3: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");

/// Opens a blob in whichever form it has. One without a mark may begin with any octet, so it is tried last and always.
pub(crate) fn open(passphrase: &Secret<String>, blob: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let marked = match blob.first()? {
        3 => with_salt(passphrase, blob, ROUNDS_OF_V3),
        2 => with_salt(passphrase, blob, ROUNDS),
        _ => None,
    };
    marked.or_else(|| decrypt(passphrase, FIXED_SALT, ROUNDS, blob))
}

fn with_salt(passphrase: &Secret<String>, blob: &[u8], rounds: NonZeroU32) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, sealed) = blob.get(1..)?.split_at_checked(SALT)?;
    decrypt(passphrase, salt, rounds, sealed)
}

/// `sealed` is the nonce with ciphertext and tag.
fn decrypt(passphrase: &Secret<String>, salt: &[u8], rounds: NonZeroU32, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if sealed.len() < NONCE + TAG {
        return None;
    }
    let (nonce, ciphertext) = sealed.split_at(NONCE);
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let length =
        cipher(passphrase, salt, rounds)?.open_in_place(nonce, Aad::empty(), buffer.as_mut_slice()).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

fn cipher(passphrase: &Secret<String>, salt: &[u8], rounds: NonZeroU32) -> Option<LessSafeKey> {
    let mut key = Zeroizing::new([0u8; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, passphrase.expose().as_bytes(), key.as_mut());
    UnboundKey::new(&AES_256_GCM, key.as_ref()).ok().map(LessSafeKey::new)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    const PASSPHRASE: &str = "0123456789abcdef0123456789abcdef";

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    /// Seals as the given form does, with a salt and nonce of one octet.
    pub(crate) fn blob(form: u8, passphrase: &str, plaintext: &[u8]) -> Vec<u8> {
        let (salt, rounds): (&[u8], _) = match form {
            3 => (&[7; SALT], ROUNDS_OF_V3),
            2 => (&[7; SALT], ROUNDS),
            _ => (FIXED_SALT, ROUNDS),
        };
        let cipher = cipher(&secret(passphrase), salt, rounds).expect("a key");
        // A first form that happens to begin like a third must still open.
        let nonce = [3u8; NONCE];
        let mut sealed = plaintext.to_vec();
        let tag = cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .expect("seals");
        let head: Vec<u8> = if form == 1 { Vec::new() } else { [&[form], salt].concat() };
        [head.as_slice(), &nonce, &sealed, tag.as_ref()].concat()
    }

    #[test]
    fn a_blob_opens_with_its_passphrase_only_and_whole_only() {
        // The third form differs in the number of rounds alone, and takes long in an unoptimised build.
        for form in [1, 2] {
            let sealed = blob(form, PASSPHRASE, b"{\"token\":\"hunter2\"}");
            let opened = open(&secret(PASSPHRASE), &sealed).expect("opens");
            assert_eq!(opened.as_slice(), b"{\"token\":\"hunter2\"}", "v{form}");
            assert!(open(&secret("another passphrase of 32 letters"), &sealed).is_none(), "v{form}");
            let mut damaged = sealed.clone();
            *damaged.last_mut().expect("octets") ^= 1;
            assert!(open(&secret(PASSPHRASE), &damaged).is_none(), "v{form}");
        }
    }

    /// Made with Python's hashlib and cryptography, so that both directions can't be wrong together.
    #[test]
    fn blobs_of_another_implementation_open() {
        let cases = [
            "6465666768696a6b6c6d6e6f6bd5b4854450d064ac55d15e2c51d9ec0ad4aaf034d4a4631d7592",
            "02000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f6f88694dd579fb28f3262f8e944e7a3dc2b55eebb16a950c5c7c57",
            "03000102030405060708090a0b0c0d0e0f6465666768696a6b6c6d6e6f563964d8638bc68b51dc033f12a01332235532d401997f2a7f5261",
        ];
        for hex in cases {
            let sealed = HEXLOWER.decode(hex.as_bytes()).expect("hex");
            assert_eq!(open(&secret(PASSPHRASE), &sealed).expect("opens").as_slice(), b"independent");
        }
    }

    #[test]
    fn what_is_too_short_is_none() {
        for length in 0..28 {
            assert!(open(&secret(PASSPHRASE), &vec![3; length]).is_none(), "{length}");
        }
    }
}
