//! Where profiles are kept.

use crate::Profile;
use async_trait::async_trait;
use certctl_kernel::{ListQuery, Page, StoreError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Filters of the profile list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ProfileFilter {
    /// Part of the id or name, without regard to case.
    pub q: Option<String>,
    /// Only these; what the caller may see is set by the use case.
    pub ids: Option<Vec<String>>,
}

impl ProfileFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("profiles", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// What refers to a profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProfileUsage {
    /// Certificates.
    pub certificates: i64,
    /// Renewal policies.
    pub renewal_policies: i64,
    /// Approval requests, decided ones included.
    pub approvals: i64,
    /// Grants, and permissions of roles, in its scope: another profile of the same id must not inherit them.
    pub grants: i64,
}

/// Keeps profiles.
#[async_trait]
pub trait ProfileStore: Send {
    /// The profile with this id.
    async fn profile(&mut self, id: &str) -> Result<Option<Profile>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn profile_for_update(&mut self, id: &str) -> Result<Option<Profile>, StoreError>;
    /// Adds a profile.
    async fn insert_profile(&mut self, profile: &Profile) -> Result<(), StoreError>;
    /// Writes a profile over the stored one and bumps its row version.
    async fn update_profile(&mut self, profile: &Profile) -> Result<(), StoreError>;
    /// Removes a profile; false when there is none.
    async fn delete_profile(&mut self, id: &str) -> Result<bool, StoreError>;
    /// What refers to it.
    async fn profile_usage(&mut self, id: &str) -> Result<ProfileUsage, StoreError>;
    /// Takes the profile from every certificate and renewal policy that has it.
    async fn detach_profile(&mut self, id: &str) -> Result<(), StoreError>;
    /// One page, newest first.
    async fn profiles_page(&mut self, filter: &ProfileFilter, list: &ListQuery) -> Result<Page<Profile>, StoreError>;
}
