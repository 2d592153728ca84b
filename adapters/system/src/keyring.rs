//! Sealing at rest: AES-256-GCM under keys derived from the operator's passphrases.
//!
//! A blob is `0x04 ‖ key id (4) ‖ salt (16) ‖ nonce (12) ‖ ciphertext and tag`. Each passphrase is stretched once, at
//! start, with Argon2id and the installation's salt; each blob has a key of its own by HKDF-SHA256 over that and the
//! blob's salt. The cell that the blob lives in is authenticated with it.

use crate::legacy;
use argon2::{Algorithm, Argon2, Params, Version};
use certctl_kernel::Secret;
use certctl_ports::{KeyId, Random, SealContext, SealError, Sealer, SealingKeys};
use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use std::sync::Arc;
use zeroize::Zeroizing;

const VERSION: u8 = 0x04;
const KID: usize = 4;
const SALT: usize = 16;
const NONCE: usize = 12;
const HEADER: usize = 1 + KID + SALT;
const TAG: usize = 16;
const MIN_PASSPHRASE: usize = 32;

/// The keyring can't be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// No passphrase at all.
    #[error("no encryption key is configured: set CERTCTL_CONFIG_ENCRYPTION_KEY")]
    Empty,
    /// A passphrase is too short to stretch.
    #[error("an encryption key has fewer than 32 characters; `certctl-server keys init` makes one")]
    TooShort,
    /// An id has no room in a blob.
    #[error("an encryption key's id has 1 to 4 printable ASCII characters")]
    BadId,
    /// Key ids are told apart by their four octets.
    #[error("two encryption keys have the same id")]
    DuplicateId,
    /// Argon2id refused.
    #[error("the encryption key could not be derived")]
    Derivation,
}

/// How hard passphrases are stretched.
#[derive(Debug, Clone, Copy)]
pub struct Strength {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Strength {
    /// What the server uses: 64 MiB, three passes, four lanes.
    pub const FULL: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
}

/// A passphrase with its id; an empty id is derived from the stretched passphrase, so it is stable for one
/// installation.
pub struct MasterKey {
    /// Up to four characters, or empty.
    pub id: String,
    /// The passphrase.
    pub passphrase: Secret<String>,
}

struct Derived {
    kid: [u8; KID],
    prk: hkdf::Prk,
    /// For blobs of the Go certctl, which stretches it in its own way.
    passphrase: Secret<String>,
}

/// Passphrases, stretched: the first seals, all open.
pub struct Keyring {
    keys: Vec<Derived>,
    random: Arc<dyn Random>,
}

impl Keyring {
    /// Stretches the passphrases with the installation's salt.
    pub fn new(
        keys: &[MasterKey],
        salt: &[u8; 16],
        strength: Strength,
        random: Arc<dyn Random>,
    ) -> Result<Self, KeyringError> {
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        let mut derived: Vec<Derived> = Vec::with_capacity(keys.len());
        for key in keys {
            if key.passphrase.expose().len() < MIN_PASSPHRASE {
                return Err(KeyringError::TooShort);
            }
            let named = named_id(&key.id)?;
            let prk = stretch(&key.passphrase, salt, strength)?;
            let kid = match named {
                Some(kid) => kid,
                None => derived_id(&prk)?,
            };
            if derived.iter().any(|other| other.kid == kid) {
                return Err(KeyringError::DuplicateId);
            }
            derived.push(Derived { kid, prk, passphrase: key.passphrase.clone() });
        }
        Ok(Self { keys: derived, random })
    }

    /// A passphrase of 256 random bits.
    pub fn generate_passphrase(random: &dyn Random) -> Secret<String> {
        let mut octets = Zeroizing::new([0u8; 32]);
        random.fill(octets.as_mut());
        Secret::new(BASE64URL_NOPAD.encode(octets.as_ref()))
    }
}

fn named_id(id: &str) -> Result<Option<[u8; KID]>, KeyringError> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > KID || !id.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(KeyringError::BadId);
    }
    let mut kid = [0u8; KID];
    kid[..id.len()].copy_from_slice(id.as_bytes());
    Ok(Some(kid))
}

/// Taken from behind the stretching: an id made from the bare passphrase would stand in every blob and let a thief of
/// the database try passphrases without Argon2id's cost.
fn derived_id(prk: &hkdf::Prk) -> Result<[u8; KID], KeyringError> {
    struct IdLength;
    impl hkdf::KeyType for IdLength {
        fn len(&self) -> usize {
            KID
        }
    }
    let mut kid = [0u8; KID];
    prk.expand(&[b"certctl key id v4"], IdLength)
        .and_then(|okm| okm.fill(&mut kid))
        .map_err(|_| KeyringError::Derivation)?;
    Ok(kid)
}

fn stretch(passphrase: &Secret<String>, salt: &[u8; 16], strength: Strength) -> Result<hkdf::Prk, KeyringError> {
    let params = Params::new(strength.memory_kib, strength.passes, strength.lanes, Some(32))
        .map_err(|_| KeyringError::Derivation)?;
    let mut master = Zeroizing::new([0u8; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, master.as_mut())
        .map_err(|_| KeyringError::Derivation)?;
    Ok(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, master.as_ref()))
}

impl Derived {
    fn blob_key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let info = [b"certctl seal v4".as_slice(), salt];
        let okm = self.prk.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

fn aad(context: SealContext<'_>) -> Aad<Vec<u8>> {
    Aad::from(format!("{}.{}:{}", context.table, context.column, context.row_id).into_bytes())
}

impl Sealer for Keyring {
    fn seal(&self, plaintext: &[u8], context: SealContext<'_>) -> Result<Vec<u8>, SealError> {
        let key = self.keys.first().ok_or(SealError::NoKey)?;
        let mut fresh = [0u8; SALT + NONCE];
        self.random.fill(&mut fresh);
        let (salt, nonce) = fresh.split_at(SALT);
        let nonce_octets: [u8; NONCE] = nonce.try_into().map_err(|_| SealError::Broken)?;
        let cipher = key.blob_key(salt).ok_or(SealError::Broken)?;
        let mut sealed = Zeroizing::new(plaintext.to_vec());
        let tag = cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce_octets), aad(context), sealed.as_mut_slice())
            .map_err(|_| SealError::Broken)?;
        let mut blob = Vec::with_capacity(HEADER + NONCE + sealed.len() + TAG);
        blob.push(VERSION);
        blob.extend_from_slice(&key.kid);
        blob.extend_from_slice(&fresh);
        blob.extend_from_slice(&sealed);
        blob.extend_from_slice(tag.as_ref());
        Ok(blob)
    }

    fn open(&self, blob: &[u8], context: SealContext<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if blob.len() < HEADER + NONCE + TAG || blob[0] != VERSION {
            return Err(SealError::Broken);
        }
        let key = self.keys.iter().find(|key| key.kid == blob[1..=KID]).ok_or(SealError::UnknownKey)?;
        let cipher = key.blob_key(&blob[1 + KID..HEADER]).ok_or(SealError::Broken)?;
        let nonce: [u8; NONCE] = blob[HEADER..HEADER + NONCE].try_into().map_err(|_| SealError::Broken)?;
        let mut buffer = Zeroizing::new(blob[HEADER + NONCE..].to_vec());
        let length = cipher
            .open_in_place(Nonce::assume_unique_for_key(nonce), aad(context), buffer.as_mut_slice())
            .map_err(|_| SealError::Broken)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

impl SealingKeys for Keyring {
    fn writing(&self) -> KeyId {
        // `new` refuses an empty list.
        self.keys.first().map_or(KeyId([0; KID]), |key| KeyId(key.kid))
    }

    fn keys(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| KeyId(key.kid)).collect()
    }

    fn open_any(&self, blob: &[u8], context: SealContext<'_>) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let ours = self.open(blob, context);
        let Err(error) = ours else { return ours };
        let opened = self.keys.iter().find_map(|key| legacy::open(&key.passphrase, blob));
        opened.ok_or(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    const WEAK: Strength = Strength { memory_kib: 64, passes: 1, lanes: 1 };

    fn master(id: &str, passphrase: &str) -> MasterKey {
        MasterKey { id: id.to_owned(), passphrase: Secret::new(passphrase.to_owned()) }
    }

    fn ring(keys: &[MasterKey], salt: u8) -> Keyring {
        Keyring::new(keys, &[salt; 16], WEAK, Arc::new(SystemRandom::new())).expect("a keyring")
    }

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    const CELL: SealContext<'_> = SealContext { table: "ca.issuers", column: "sealed_config", row_id: "iss-1" };

    #[test]
    fn it_keeps_the_contract() {
        certctl_ports::contract::sealer(&ring(&[master("", OLD)], 1));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let before = ring(&[master("k1", OLD)], 1).seal(b"secret", CELL).expect("seals");
        let rotated = ring(&[master("k2", NEW), master("k1", OLD)], 1);
        assert_eq!(rotated.open(&before, CELL).expect("opens").as_slice(), b"secret");
        let after = rotated.seal(b"secret", CELL).expect("seals");
        assert_eq!(ring(&[master("k1", OLD)], 1).open(&after, CELL).err(), Some(SealError::UnknownKey));
    }

    #[test]
    fn another_installations_salt_or_passphrase_opens_nothing() {
        let blob = ring(&[master("k1", OLD)], 1).seal(b"secret", CELL).expect("seals");
        assert_eq!(ring(&[master("k1", OLD)], 2).open(&blob, CELL).err(), Some(SealError::Broken));
        assert_eq!(ring(&[master("k1", NEW)], 1).open(&blob, CELL).err(), Some(SealError::Broken));
    }

    #[test]
    fn short_passphrases_are_refused() {
        let outcome = Keyring::new(&[master("", "short")], &[0; 16], WEAK, Arc::new(SystemRandom::new()));
        assert!(matches!(outcome, Err(KeyringError::TooShort)));
    }

    #[test]
    fn an_id_is_stable_within_an_installation_and_tells_nothing_across_two() {
        let kid = |salt| ring(&[master("", OLD)], salt).seal(b"x", CELL).expect("seals")[1..=KID].to_vec();
        assert_eq!(kid(1), kid(1));
        assert_ne!(kid(1), kid(2));
    }

    #[test]
    fn ids_that_do_not_fit_or_clash_are_refused() {
        let make = |keys: &[MasterKey]| Keyring::new(keys, &[0; 16], WEAK, Arc::new(SystemRandom::new())).err();
        for id in ["k2026", "k 1", "\u{e4}"] {
            assert!(matches!(make(&[master(id, OLD)]), Some(KeyringError::BadId)), "{id}");
        }
        assert!(matches!(make(&[master("k1", OLD), master("k1", NEW)]), Some(KeyringError::DuplicateId)));
        assert!(matches!(make(&[]), Some(KeyringError::Empty)));
    }

    #[test]
    fn made_passphrases_are_long_enough_and_differ() {
        let made = || Keyring::generate_passphrase(&SystemRandom::new());
        assert!(made().expose().len() >= MIN_PASSPHRASE);
        assert_ne!(made().expose(), made().expose());
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let keyring = ring(&[master("k1", OLD)], 1);
        let blob = keyring.seal(b"secret", CELL).expect("seals");
        for index in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[index] ^= 1;
            assert!(keyring.open(&damaged, CELL).is_err(), "octet {index}");
        }
    }

    #[test]
    fn it_tells_its_keys_and_opens_what_the_go_certctl_sealed() {
        let rotated = ring(&[master("k2", NEW), master("k1", OLD)], 1);
        assert_eq!(rotated.writing().to_string(), "k2");
        assert_eq!(rotated.keys().iter().map(ToString::to_string).collect::<Vec<_>>(), ["k2", "k1"]);
        let blob = legacy::tests::blob(2, OLD, b"secret");
        assert_eq!(rotated.open_any(&blob, CELL).expect("opens").as_slice(), b"secret");
        assert_eq!(rotated.open(&blob, CELL).err(), Some(SealError::Broken), "but not at run time");
        let ours = rotated.seal(b"secret", CELL).expect("seals");
        assert_eq!(rotated.open_any(&ours, CELL).expect("opens").as_slice(), b"secret");
        let other = SealContext { row_id: "iss-2", ..CELL };
        assert_eq!(rotated.open_any(&ours, other).err(), Some(SealError::Broken), "ours stay tied to their cell");
    }
}
