//! Teams and owners.

use certctl_kernel::{Id, Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A unit that owns certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// `team-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Unique name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A person who answers for certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `owner-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Name.
    pub name: String,
    /// Where notifications go, or empty.
    pub email: String,
    /// The owner's team.
    pub team_id: Id,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Filters of the team and owner lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OrgFilter {
    /// Part of the id or name, without regard to case.
    pub q: Option<String>,
}

impl OrgFilter {
    /// Binds a cursor to `list`.
    pub fn fingerprint(&self, list: &str) -> String {
        let mut hasher = DefaultHasher::new();
        (list, self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// What refers to a team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TeamUsage {
    /// Owners.
    pub owners: i64,
    /// Certificates.
    pub certificates: i64,
}
