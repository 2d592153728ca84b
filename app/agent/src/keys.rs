//! Private keys, made here and never sent anywhere. A certificate has up to three: the live one (`<id>.key`), the one
//! whose certificate is not installed yet (`.key.new`), and the one before (`.key.prev`). The live key changes only
//! when the certificate that goes with its successor is in place.

use crate::private_file;
use certctl_kernel::{IdKind, Secret};
use certctl_ports::{KeyAlgorithm, KeyError, KeyGenerator, SigningKey};
use certctl_signers::RingKeys;
use certctl_x509::pem;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why a key can't be made, found or moved.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The id can't be part of a file name.
    #[error("the certificate id {0}")]
    Id(#[from] certctl_kernel::IdError),
    /// The file can't be used.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The key can't be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No slot holds the key of this leaf.
    #[error("no private key of {0} on this host belongs to the certificate")]
    NoMatch(String),
}

/// Where a key lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Not installed yet.
    Pending,
    /// In use.
    Live,
    /// Used before.
    Previous,
}

impl Slot {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Pending => ".key.new",
            Self::Live => ".key",
            Self::Previous => ".key.prev",
        }
    }
}

/// The directory of keys.
pub struct KeyStore {
    folder: PathBuf,
    ring: RingKeys,
}

impl KeyStore {
    /// Opens the directory, closing it to others.
    pub fn open(folder: &Path) -> Result<Self, KeyStoreError> {
        private_file::directory(folder).map_err(|error| KeyStoreError::File(folder.to_owned(), error))?;
        Ok(Self { folder: folder.to_owned(), ring: RingKeys::new() })
    }

    fn path(&self, certificate_id: &str, slot: Slot) -> Result<PathBuf, KeyStoreError> {
        IdKind::check_supplied(certificate_id)?;
        Ok(self.folder.join(format!("{certificate_id}{}", slot.suffix())))
    }

    fn read(&self, certificate_id: &str, slot: Slot) -> Result<Option<Secret<String>>, KeyStoreError> {
        let path = self.path(certificate_id, slot)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KeyStoreError::File(path, error)),
        }
    }

    /// The key to ask a certificate for. One that waits for its certificate is used again: the control plane may have
    /// signed for it while its answer was lost.
    pub fn pending(&self, certificate_id: &str, algorithm: KeyAlgorithm) -> Result<Box<dyn SigningKey>, KeyStoreError> {
        if let Some(text) = self.read(certificate_id, Slot::Pending)?
            && let Ok(key) = self.ring.load_pem(text.expose())
            && key.key_algorithm() == algorithm
        {
            return Ok(key);
        }
        let path = self.path(certificate_id, Slot::Pending)?;
        let der = self.ring.generate(algorithm)?;
        let text = Secret::new(pem::encode(pem::PRIVATE_KEY, &der));
        private_file::write(&path, text.expose().as_bytes()).map_err(|error| KeyStoreError::File(path, error))?;
        Ok(self.ring.load_der(&der)?)
    }

    /// Removes a pending key that the control plane refused for good.
    pub fn give_up(&self, certificate_id: &str) -> Result<(), KeyStoreError> {
        let from = self.path(certificate_id, Slot::Pending)?;
        match std::fs::remove_file(&from) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(KeyStoreError::File(from, error)),
            _ => Ok(()),
        }
    }

    /// The key that belongs to a leaf, by its public key.
    pub fn matching(&self, certificate_id: &str, spki: &[u8]) -> Result<(Slot, Secret<String>), KeyStoreError> {
        for slot in [Slot::Pending, Slot::Live, Slot::Previous] {
            if let Some(text) = self.read(certificate_id, slot)?
                && self.ring.load_pem(text.expose()).is_ok_and(|key| key.public_key_spki() == spki)
            {
                return Ok((slot, text));
            }
        }
        Err(KeyStoreError::NoMatch(certificate_id.to_owned()))
    }

    /// Makes the key of a slot the live one, now that its certificate is in place; the live one becomes the previous.
    /// A crash between the two moves leaves both keys where [`Self::matching`] finds them.
    pub fn promote(&self, certificate_id: &str, slot: Slot) -> Result<(), KeyStoreError> {
        if slot != Slot::Pending {
            return Ok(());
        }
        let (live, previous) = (self.path(certificate_id, Slot::Live)?, self.path(certificate_id, Slot::Previous)?);
        let pending = self.path(certificate_id, Slot::Pending)?;
        let moved = match std::fs::rename(&live, &previous) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => std::fs::rename(&pending, &live).and_then(|()| private_file::sync(&self.folder)),
        };
        moved.map_err(|error| KeyStoreError::File(live, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn store() -> (tempfile::TempDir, KeyStore) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = KeyStore::open(&folder.path().join("keys")).expect("opens");
        (folder, store)
    }

    fn spki(store: &KeyStore) -> Vec<u8> {
        store.pending("mc-1", KeyAlgorithm::EcdsaP256).expect("makes").public_key_spki().to_vec()
    }

    #[test]
    fn the_live_key_stays_until_its_successor_is_promoted() {
        let (_folder, store) = store();
        let first = spki(&store);
        assert_eq!(spki(&store), first, "a key that waits is asked with again");
        store.promote("mc-1", Slot::Pending).expect("promotes");
        let second = spki(&store);
        assert_ne!(second, first);
        assert_eq!(store.matching("mc-1", &first).expect("kept").0, Slot::Live);
        assert_eq!(store.matching("mc-1", &second).expect("kept").0, Slot::Pending);
        store.promote("mc-1", Slot::Pending).expect("promotes");
        assert_eq!(store.matching("mc-1", &second).expect("kept").0, Slot::Live);
        assert_eq!(store.matching("mc-1", &first).expect("kept").0, Slot::Previous);
        assert!(matches!(store.matching("mc-1", b"other"), Err(KeyStoreError::NoMatch(_))));
    }

    #[test]
    fn a_refused_key_is_not_asked_with_again_and_the_live_one_stays() {
        let (_folder, store) = store();
        let live = spki(&store);
        store.promote("mc-1", Slot::Pending).expect("promotes");
        let refused = spki(&store);
        store.give_up("mc-1").expect("gives up");
        assert_ne!(spki(&store), refused);
        assert_eq!(store.matching("mc-1", &live).expect("kept").0, Slot::Live);
    }

    #[test]
    fn keys_are_for_the_agent_only_and_ids_never_leave_the_directory() {
        let (folder, store) = store();
        spki(&store);
        let keys = folder.path().join("keys");
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&keys), mode(&keys.join("mc-1.key.new"))), (0o700, 0o600));
        assert!(matches!(store.pending("../mc-1", KeyAlgorithm::EcdsaP256), Err(KeyStoreError::Id(_))));
        assert!(matches!(store.matching("a/b", b""), Err(KeyStoreError::Id(_))));
    }
}
