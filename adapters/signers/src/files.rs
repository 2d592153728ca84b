//! Keys in files.

use crate::RingKeys;
use certctl_ports::{KeyError, KeyGenerator as _, SigningKey};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No key file is longer; anything else named by mistake is not read into memory.
const MAX_SIZE: u64 = 64 * 1024;

/// A key file can't be used; names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file can't be read.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is a symbolic link out of its folder.
    #[error("{0}: a symbolic link that leaves its folder; name the key file itself")]
    Link(PathBuf),
    /// It is a folder or device, or far too long for a key.
    #[error("{0}: not a regular file of at most 64 KiB")]
    Kind(PathBuf),
    /// It is known under a second name, whose folder may be open to others.
    #[error("{0}: has more than one name (hard links)")]
    HardLink(PathBuf),
    /// Others may read it.
    #[error("{0}: readable by others; run chmod 600 on it")]
    Mode(PathBuf),
    /// Somebody else owns it.
    #[error("{0}: owned by another user")]
    Owner(PathBuf),
    /// It holds no usable key.
    #[error("{path}: {source}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
}

/// Loads a PEM key that only its owner, ourselves, may read. A symbolic link is followed within its own folder only.
/// Everything is checked on the opened file, so that no exchange of the name in between matters.
pub fn load_key_file(path: &Path) -> Result<Box<dyn SigningKey>, KeyFileError> {
    let text = read_secret(path)?;
    RingKeys::new().load_pem(&text).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

/// Reads a short text that only its owner, ourselves, may read; see [`load_key_file`].
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = open(path)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() || metadata.len() > MAX_SIZE {
        return Err(KeyFileError::Kind(path.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyFileError::Mode(path.to_owned()));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(KeyFileError::Owner(path.to_owned()));
    }
    if metadata.nlink() > 1 {
        return Err(KeyFileError::HardLink(path.to_owned()));
    }
    // Reserved ahead, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    file.by_ref().take(MAX_SIZE).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

fn open(path: &Path) -> Result<File, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(io)?;
    let target = path.canonicalize().map_err(io)?;
    if !target.starts_with(&folder) {
        return Err(KeyFileError::Link(path.to_owned()));
    }
    // NONBLOCK: a pipe put in the key's place must not hold the start up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(&target, flags, Mode::empty()).map(File::from).map_err(|source| io(source.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_ports::KeyAlgorithm;
    use certctl_x509::pem;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn key(&self, name: &str, mode: u32) -> PathBuf {
            let der = RingKeys::new().generate(KeyAlgorithm::EcdsaP256).expect("makes a key");
            self.file(name, &pem::encode(pem::PRIVATE_KEY, &der), mode)
        }

        fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
            let path = self.path(name);
            std::fs::write(&path, content).expect("writes");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("sets the mode");
            path
        }
    }

    #[test]
    fn a_key_for_its_owner_only_is_loaded_also_through_a_link_in_its_folder() {
        let folder = Folder::new();
        let path = folder.key("a.key", 0o600);
        let key = load_key_file(&path).expect("loads");
        assert_eq!(key.key_algorithm(), KeyAlgorithm::EcdsaP256);
        symlink("a.key", folder.path("link.key")).expect("links");
        assert_eq!(load_key_file(&folder.path("link.key")).expect("loads").public_key_spki(), key.public_key_spki());
        assert!(load_key_file(&folder.key("read-only.key", 0o400)).is_ok());
    }

    #[test]
    fn a_key_that_others_may_reach_is_refused() {
        let (folder, other) = (Folder::new(), Folder::new());
        for mode in [0o640, 0o604, 0o660, 0o610] {
            assert!(matches!(load_key_file(&folder.key("open.key", mode)), Err(KeyFileError::Mode(_))), "{mode:o}");
        }
        let outside = other.key("b.key", 0o600);
        symlink(&outside, folder.path("out.key")).expect("links");
        assert!(matches!(load_key_file(&folder.path("out.key")), Err(KeyFileError::Link(_))));
        std::fs::hard_link(&outside, folder.path("hard.key")).expect("links");
        assert!(matches!(load_key_file(&outside), Err(KeyFileError::HardLink(_))));
    }

    #[test]
    fn what_is_not_a_key_file_is_refused_without_showing_its_content() {
        let folder = Folder::new();
        assert!(matches!(load_key_file(&folder.path("absent.key")), Err(KeyFileError::Io { .. })));
        assert!(matches!(load_key_file(&folder.path("")), Err(KeyFileError::Link(_) | KeyFileError::Kind(_))));
        let long = folder.file("long.key", &"x".repeat(64 * 1024 + 1), 0o600);
        assert!(matches!(load_key_file(&long), Err(KeyFileError::Kind(_))));
        let secret =
            folder.file("junk.key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", 0o600);
        let Err(error) = load_key_file(&secret) else { panic!("junk is refused") };
        let text = format!("{error} {error:?}");
        assert!(text.contains("junk.key") && !text.contains("c2VjcmV0") && !text.contains("secret"), "{text}");
    }
}
