//! Whom PostgreSQL runs as.

use crate::PrivatePostgresError;
use std::os::unix::fs::chown;
use std::path::Path;
use tokio::process::Command;

/// An unprivileged user when we are root; otherwise ourselves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RuntimeUser {
    Ourselves,
    Other { uid: u32, gid: u32 },
}

impl RuntimeUser {
    pub(crate) fn choose() -> Result<Self, PrivatePostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").map_err(PrivatePostgresError::io("reading /etc/passwd"))?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| entry(&passwd, name))
            .map(|(uid, gid)| Self::Other { uid, gid })
            .ok_or(PrivatePostgresError::NoUser)
    }

    pub(crate) fn own(self, path: &Path) -> Result<(), PrivatePostgresError> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid))
                .map_err(PrivatePostgresError::io(format!("changing the owner of {}", path.display()))),
        }
    }

    pub(crate) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }
}

fn entry(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_of_passwd_gives_uid_and_gid() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:105:113:x:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(super::entry(passwd, "postgres"), Some((105, 113)));
        assert_eq!(super::entry(passwd, "nobody"), None);
    }
}
