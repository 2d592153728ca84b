//! What a provider's groups are worth here.

use certctl_kernel::{Id, Timestamp};
use certctl_rbac::Scope;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Members of a provider's group hold a role. The group's name is compared octet by octet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMapping {
    /// `grm-…`
    pub id: Id,
    /// Whose.
    pub tenant_id: Id,
    /// The provider.
    pub provider_id: Id,
    /// The group as the provider names it.
    pub group_name: String,
    /// The role.
    pub role_id: Id,
    /// Where it holds.
    pub scope: Scope,
    /// For people: what an opaque group id stands for.
    pub description: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Bumped by each update.
    pub row_version: i64,
}

/// What a group of a sign-in is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedRole {
    /// The mapping that says so.
    pub mapping_id: Id,
    /// The group.
    pub group_name: String,
    /// The role.
    pub role_id: Id,
    /// Where it holds.
    pub scope: Scope,
}

/// Filters of the list of mappings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MappingFilter {
    /// The provider.
    pub provider_id: Id,
    /// Part of the group's name or of the description, without regard to case.
    pub q: Option<String>,
    /// The role.
    pub role_id: Option<Id>,
}

impl MappingFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("group_role_mappings", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
