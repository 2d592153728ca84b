//! The data directory: private, and used by one server at a time.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where data go when nothing is configured: `/var/lib/certctl` for root, else `$XDG_DATA_HOME/certctl`.
pub(crate) fn default_path() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/certctl");
    }
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from).join(".local/share");
    std::env::var_os("XDG_DATA_HOME").map_or_else(home, PathBuf::from).join("certctl")
}

/// The directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("CERTCTL_DATA_DIR {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("CERTCTL_DATA_DIR {path} is in use by process {holder}; stop it, or choose another directory")]
    InUse { path: PathBuf, holder: String },
}

/// The directory, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory (0700) if it is not there and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, DataDirError> {
        let io = |source| DataDirError::Io { path: path.to_owned(), source };
        if !path.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        }
        let path = path.canonicalize().map_err(io)?;
        let io = |source| DataDirError::Io { path: path.clone(), source };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(io)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            lock.read_to_string(&mut holder).map_err(io)?;
            return Err(DataDirError::InUse { path: path.clone(), holder: holder.trim().to_owned() });
        }
        lock.set_len(0).map_err(io)?;
        lock.rewind().map_err(io)?;
        writeln!(lock, "{}", std::process::id()).map_err(io)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_refused_and_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let first = DataDir::lock(dir.path()).expect("locks");
        let error = DataDir::lock(dir.path()).expect_err("refused");
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(first);
        assert!(DataDir::lock(dir.path()).is_ok());
    }
}
