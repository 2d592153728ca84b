//! Files and folders that nobody else may read.

use crate::PrivatePostgresError;
use crate::runtime_user::RuntimeUser;
use data_encoding::HEXLOWER;
use ring::digest;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The shortest `sun_path` of our platforms (104 octets with the final zero), less the `/.s.PGSQL.5432` in the folder.
const LONGEST_SOCKET_FOLDER: usize = 103 - "/.s.PGSQL.5432".len();

/// Makes a folder (0700) for the user, or takes the existing one. A link, or a folder of somebody else, is refused:
/// under `/tmp` anybody can put one there first.
pub(crate) fn private_folder(path: &Path, user: RuntimeUser) -> Result<(), PrivatePostgresError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let found =
                path.symlink_metadata().map_err(PrivatePostgresError::io(format!("looking at {}", path.display())))?;
            let ours = [user.uid(), rustix::process::geteuid().as_raw()].contains(&found.uid());
            if !found.is_dir() || !ours {
                return Err(PrivatePostgresError::Occupied(path.to_owned()));
            }
        }
        Err(error) => return Err(PrivatePostgresError::io(format!("making {}", path.display()))(error)),
    }
    set_mode(path, 0o700)?;
    user.own(path)
}

/// Where the socket goes: `<data>/run`; when that path is too long for a Unix socket, a folder named after a hash of
/// the data directory's path under `$XDG_RUNTIME_DIR` or, without one or as root, under `/tmp`.
pub(crate) fn socket_folder(data_dir: &Path) -> PathBuf {
    let usual = data_dir.join("run");
    if usual.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        return usual;
    }
    let hash = digest::digest(&digest::SHA256, data_dir.as_os_str().as_bytes());
    let name = format!("certctl-{}", HEXLOWER.encode(&hash.as_ref()[..8]));
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|folder| !rustix::process::geteuid().is_root() && folder.is_dir());
    let short = runtime.map(|folder| folder.join(&name));
    short
        .filter(|folder| folder.as_os_str().len() <= LONGEST_SOCKET_FOLDER)
        .unwrap_or_else(|| Path::new("/tmp").join(name))
}

/// Writes a file that only its owner reads, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), PrivatePostgresError> {
    let temporary = path.with_extension("new");
    let outcome = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    outcome.map_err(PrivatePostgresError::io(format!("writing {}", path.display())))
}

/// Makes renames in the folder survive a power cut.
pub(crate) fn sync(folder: &Path) -> Result<(), PrivatePostgresError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(PrivatePostgresError::io(format!("syncing {}", folder.display())))
}

/// Lets the user pass through the data directory; nobody else gains anything.
pub(crate) fn let_through(data_dir: &Path, user: RuntimeUser) -> Result<(), PrivatePostgresError> {
    if let RuntimeUser::Other { gid, .. } = user {
        std::os::unix::fs::chown(data_dir, None, Some(gid))
            .map_err(PrivatePostgresError::io(format!("changing the group of {}", data_dir.display())))?;
        set_mode(data_dir, 0o710)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), PrivatePostgresError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(PrivatePostgresError::io(format!("setting the mode of {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_lies_in_the_data_directory_or_in_a_short_stable_place() {
        assert_eq!(socket_folder(Path::new("/var/lib/certctl")), Path::new("/var/lib/certctl/run"));
        let long = PathBuf::from(format!("/srv/{}", "x".repeat(100)));
        let short = socket_folder(&long);
        assert!(short.as_os_str().len() <= LONGEST_SOCKET_FOLDER, "{}", short.display());
        assert_eq!(socket_folder(&long), short);
        assert_ne!(socket_folder(&long.join("y")), short);
    }

    #[test]
    fn a_link_in_the_folders_place_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ourselves = RuntimeUser::Ourselves { uid: rustix::process::geteuid().as_raw() };
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/", &link).expect("links");
        assert!(matches!(private_folder(&link, ourselves), Err(PrivatePostgresError::Occupied(_))));
        let folder = dir.path().join("folder");
        private_folder(&folder, ourselves).expect("made");
        private_folder(&folder, ourselves).expect("taken again");
        assert_eq!(folder.metadata().expect("exists").permissions().mode() & 0o777, 0o700);
    }
}
