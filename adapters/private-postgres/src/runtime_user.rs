//! Whom PostgreSQL runs as.

use crate::PrivatePostgresError;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::path::{Path, PathBuf};
use tokio::process::Command;

const PASSWD: &str = "/etc/passwd";

/// An unprivileged user when we are root; otherwise ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuntimeUser {
    Ourselves { uid: u32 },
    Other { uid: u32, gid: u32 },
}

impl RuntimeUser {
    /// The owner of an existing cluster keeps it, whatever users the machine has got since.
    pub(crate) fn choose(cluster: Option<&Metadata>) -> Result<Self, PrivatePostgresError> {
        let ourselves = rustix::process::geteuid();
        if !ourselves.is_root() {
            return Ok(Self::Ourselves { uid: ourselves.as_raw() });
        }
        if let Some(owner) = cluster.filter(|owner| owner.uid() != 0) {
            return Ok(Self::Other { uid: owner.uid(), gid: owner.gid() });
        }
        let passwd = std::fs::read_to_string(PASSWD).map_err(PrivatePostgresError::io("reading /etc/passwd"))?;
        ["postgres", "certctl", "nobody"]
            .iter()
            .find_map(|name| entry(&passwd, name))
            .map(|(uid, gid)| Self::Other { uid, gid })
            .ok_or(PrivatePostgresError::NoUser)
    }

    pub(crate) const fn uid(self) -> u32 {
        match self {
            Self::Ourselves { uid } | Self::Other { uid, .. } => uid,
        }
    }

    /// Gives the path itself, never what a link leads to, to the user.
    pub(crate) fn own(self, path: &Path) -> Result<(), PrivatePostgresError> {
        match self {
            Self::Ourselves { .. } => Ok(()),
            Self::Other { uid, gid } => lchown(path, Some(uid), Some(gid))
                .map_err(PrivatePostgresError::io(format!("changing the owner of {}", path.display()))),
        }
    }

    /// Makes the command run as the user. Supplementary groups are dropped with the privilege.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// The first folder on the way to `path` through which the user can't pass, as far as plain modes tell.
    pub(crate) fn blocked_at(self, path: &Path) -> Option<PathBuf> {
        let Self::Other { uid, gid } = self else { return None };
        let mut folders: Vec<&Path> = path.ancestors().collect();
        folders.reverse();
        folders.into_iter().find(|folder| folder.metadata().is_ok_and(|m| !may_pass(&m, uid, gid))).map(Path::to_owned)
    }
}

fn may_pass(folder: &Metadata, uid: u32, gid: u32) -> bool {
    let bit = if folder.uid() == uid {
        0o100
    } else if folder.gid() == gid {
        0o010
    } else {
        0o001
    };
    !folder.is_dir() || folder.permissions().mode() & bit != 0
}

/// The user's name for messages, or the bare number.
pub(crate) fn name_of(uid: u32) -> String {
    let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
    let number = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(number.as_str()));
    line.and_then(|line| line.split(':').next()).map_or_else(|| format!("user {uid}"), ToOwned::to_owned)
}

fn entry(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_gives_uid_and_gid() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:105:113:x:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(entry(passwd, "postgres"), Some((105, 113)));
        assert_eq!(entry(passwd, "nobody"), None);
    }

    #[test]
    fn a_folder_closed_to_the_user_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let closed = dir.path().join("closed");
        std::fs::create_dir_all(closed.join("data")).expect("mkdir");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).expect("chmod");
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        let stranger = RuntimeUser::Other { uid: u32::MAX - 7, gid: u32::MAX - 7 };
        assert_eq!(stranger.blocked_at(&closed.join("data")), Some(closed.clone()));
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o711)).expect("chmod");
        std::fs::set_permissions(closed.join("data"), std::fs::Permissions::from_mode(0o711)).expect("chmod");
        assert_eq!(stranger.blocked_at(&closed.join("data")), None);
    }
}
