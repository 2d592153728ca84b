//! The data directory: private, and used by one server at a time.

use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

const SHARED: &str = "/var/lib/certctl";

/// Where data go when nothing is configured: `/var/lib/certctl` for root or when it is writable, else
/// `$XDG_DATA_HOME/certctl`.
pub(crate) fn default_path() -> PathBuf {
    if rustix::process::geteuid().is_root() || access(SHARED, Access::WRITE_OK).is_ok() {
        return PathBuf::from(SHARED);
    }
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from).join(".local/share");
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    data.unwrap_or_else(home).join("certctl")
}

/// The directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("CERTCTL_DATA_DIR {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("CERTCTL_DATA_DIR {path} is in use by process {holder}; stop it, or choose another directory")]
    InUse { path: PathBuf, holder: String },
    #[error(
        "CERTCTL_DATA_DIR {0} is open to others and holds files that are not certctl's; choose an empty directory, or \
         run chmod 700 on this one if it is meant"
    )]
    Shared(PathBuf),
    #[error("CERTCTL_DATA_DIR {0} belongs to another user and is open to everybody; run chmod 700 on it")]
    Foreign(PathBuf),
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
        close_to_others(&path)?;
        let io = |source| DataDirError::Io { path: path.clone(), source };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(io)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).map_err(io)?;
                return Err(DataDirError::InUse { path: path.clone(), holder: holder.trim().to_owned() });
            }
            Err(error) => return Err(io(error.into())),
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

const LOCK: &str = "lock";
/// What others must not do. The database's own group may pass through (0710), which is how it gets to its files when
/// the server runs as root.
const OTHERS: u32 = 0o067;
const EVERYBODY: u32 = 0o007;

/// Takes away what others may do. A directory that is not certctl's yet is left alone when files of somebody else lie
/// in it: a slip such as `/tmp` or `/home` must not be locked away from everybody.
fn close_to_others(path: &Path) -> Result<(), DataDirError> {
    let io = |source| DataDirError::Io { path: path.to_owned(), source };
    let metadata = path.metadata().map_err(io)?;
    let mode = metadata.permissions().mode();
    if mode & OTHERS == 0 {
        return Ok(());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        // A volume handed to our group, as Kubernetes does it, can't be changed by us and needs not be.
        return if mode & EVERYBODY == 0 { Ok(()) } else { Err(DataDirError::Foreign(path.to_owned())) };
    }
    if !path.join(LOCK).exists() {
        for entry in path.read_dir().map_err(io)? {
            if entry.map_err(io)?.file_name() != "lost+found" {
                return Err(DataDirError::Shared(path.to_owned()));
            }
        }
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("exists").permissions().mode() & 0o777
    }

    fn open_to_all(path: &Path) {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("chmod");
    }

    #[test]
    fn the_directory_is_made_and_kept_private() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("a/b");
        drop(DataDir::lock(&data).expect("makes it"));
        assert_eq!(mode(&data), 0o700);
        open_to_all(&data);
        drop(DataDir::lock(&data).expect("closes it again"));
        assert_eq!(mode(&data), 0o700);
        std::fs::set_permissions(&data, Permissions::from_mode(0o710)).expect("chmod");
        drop(DataDir::lock(&data).expect("leaves it"));
        assert_eq!(mode(&data), 0o710, "the database's group passes through");
    }

    #[test]
    fn a_folder_of_other_things_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        open_to_all(dir.path());
        std::fs::write(dir.path().join("letter"), "dear all").expect("written");
        assert!(matches!(DataDir::lock(dir.path()), Err(DataDirError::Shared(_))));
        assert_eq!(mode(dir.path()), 0o755);
    }

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
