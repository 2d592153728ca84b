//! Who may read the files: explicit configuration, else what the old file had, else the connector's default.

use super::FileSpec;
use serde::{Deserialize, Serialize};

/// Mode and owner of a file; `None` leaves the owner as it comes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    pub mode: u32,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Access {
    /// For the agent's own files.
    pub fn private() -> Self {
        Self { mode: 0o600, uid: None, gid: None }
    }

    /// True when a file with this access needs no change; only what the target asks for by name counts.
    pub fn is_met_by(&self, existing: &Self, spec: &FileSpec) -> bool {
        (spec.mode.is_none() || self.mode == existing.mode)
            && (spec.owner.is_none() || self.uid == existing.uid)
            && (spec.group.is_none() || self.gid == existing.gid)
    }
}

/// One line of a colon-separated account file: name, number and, for users, the primary group.
fn lookup(file: &str, name: &str) -> Option<(u32, Option<u32>)> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let number = fields.nth(1)?.parse().ok()?;
        found.then(|| (number, fields.next().and_then(|field| field.parse().ok())))
    })
}

fn user(name: &str) -> Option<(u32, Option<u32>)> {
    name.parse().ok().map(|number| (number, None)).or_else(|| lookup("/etc/passwd", name))
}

fn group(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| lookup("/etc/group", name).map(|(number, _)| number))
}

/// The access that a file gets.
pub fn decide(spec: &FileSpec, existing: Option<&Access>) -> Result<Access, String> {
    let mode = spec.mode.or(existing.map(|access| access.mode)).unwrap_or(spec.default_mode);
    let mut access = Access { mode, uid: None, gid: None };
    if let Some(existing) = existing {
        access.uid = existing.uid;
        access.gid = existing.gid;
    } else if let Some((uid, gid)) = spec.default_owners.iter().find_map(|name| user(name)) {
        access.uid = Some(uid);
        access.gid = gid;
    }
    if let Some(name) = &spec.owner {
        let (uid, _) = user(name).ok_or_else(|| format!("this host has no user {name}"))?;
        access.uid = Some(uid);
    }
    if let Some(name) = &spec.group {
        access.gid = Some(group(name).ok_or_else(|| format!("this host has no group {name}"))?);
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_kernel::Secret;

    fn spec() -> FileSpec {
        FileSpec {
            path: "/x".into(),
            bytes: Secret::new(vec![]),
            mode: None,
            default_mode: 0o640,
            owner: None,
            group: None,
            default_owners: &["nobody-has-this-name", "root"],
        }
    }

    #[test]
    fn explicit_beats_existing_beats_default() {
        let default = decide(&spec(), None).expect("decides");
        assert_eq!(default, Access { mode: 0o640, uid: Some(0), gid: Some(0) });
        let existing = Access { mode: 0o604, uid: Some(7), gid: Some(8) };
        assert_eq!(decide(&spec(), Some(&existing)).expect("decides"), existing);
        let explicit = FileSpec { mode: Some(0o600), owner: Some("root".into()), group: Some("12".into()), ..spec() };
        let decided = decide(&explicit, Some(&existing)).expect("decides");
        assert_eq!(decided, Access { mode: 0o600, uid: Some(0), gid: Some(12) });
    }

    #[test]
    fn an_account_that_does_not_exist_is_an_error() {
        let strange = FileSpec { owner: Some("nobody-has-this-name".into()), ..spec() };
        assert!(decide(&strange, None).expect_err("unknown").contains("nobody-has-this-name"));
    }
}
