//! Keys in files.

use crate::RingKeys;
use certctl_ports::{KeyError, KeyGenerator as _, SigningKey};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

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

/// Loads a PEM key that only its owner, ourselves, may read.
pub fn load_key_file(path: &Path) -> Result<Box<dyn SigningKey>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Mode(path.to_owned()));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(KeyFileError::Owner(path.to_owned()));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
    RingKeys::new().load_pem(&text).map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}
