//! Where providers, mappings and traces of sign-ins are kept.

use crate::{GroupMapping, MappedRole, MappingFilter, Provider, ProviderFilter};
use async_trait::async_trait;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};

/// What refers to a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProviderUsage {
    /// People it ever vouched for.
    pub users: i64,
    /// Those whose personal data is still there.
    pub unpurged_users: i64,
    /// Sessions through it that are not over at the moment.
    pub live_sessions: i64,
}

/// Keeps providers, mappings and what must not be used twice. Replicas are told of each change of a provider with the
/// commit (`Change::IdentityProvider`).
#[async_trait]
pub trait OidcStore: Send {
    /// The provider with this id.
    async fn provider(&mut self, id: &str) -> Result<Option<Provider>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn provider_for_update(&mut self, id: &str) -> Result<Option<Provider>, StoreError>;
    /// The provider with this name, without regard to case.
    async fn provider_by_name(&mut self, name: &str) -> Result<Option<Provider>, StoreError>;
    /// One page, oldest first.
    async fn providers_page(&mut self, filter: &ProviderFilter, list: &ListQuery)
    -> Result<Page<Provider>, StoreError>;
    /// Those that people may sign in through, oldest first.
    async fn usable_providers(&mut self) -> Result<Vec<Provider>, StoreError>;
    /// Those of this issuer that are not archived, disabled ones too: their logouts still count.
    async fn providers_of_issuer(&mut self, issuer_url: &str) -> Result<Vec<Provider>, StoreError>;
    /// Adds a provider.
    async fn insert_provider(&mut self, provider: &Provider) -> Result<(), StoreError>;
    /// Writes over the stored provider and bumps the row version.
    async fn update_provider(&mut self, provider: &Provider) -> Result<(), StoreError>;
    /// Removes a provider with its mappings.
    async fn delete_provider(&mut self, id: &str) -> Result<(), StoreError>;
    /// What refers to it.
    async fn provider_usage(&mut self, id: &str, now: Timestamp) -> Result<ProviderUsage, StoreError>;
    /// How many providers are not archived.
    async fn count_providers(&mut self) -> Result<i64, StoreError>;

    /// The mapping with this id.
    async fn mapping(&mut self, id: &str) -> Result<Option<GroupMapping>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn mapping_for_update(&mut self, id: &str) -> Result<Option<GroupMapping>, StoreError>;
    /// One page, by the group's name.
    async fn mappings_page(
        &mut self,
        filter: &MappingFilter,
        list: &ListQuery,
    ) -> Result<Page<GroupMapping>, StoreError>;
    /// All of a provider, by the group's name.
    async fn mappings_of(&mut self, provider_id: &str) -> Result<Vec<GroupMapping>, StoreError>;
    /// What these groups of a provider are worth, by group and role.
    async fn mapped_roles(&mut self, provider_id: &str, groups: &[String]) -> Result<Vec<MappedRole>, StoreError>;
    /// Adds mappings; one that is there already is a [`StoreError::Duplicate`].
    async fn insert_mappings(&mut self, mappings: &[GroupMapping]) -> Result<(), StoreError>;
    /// Writes over the stored mapping and bumps the row version.
    async fn update_mapping(&mut self, mapping: &GroupMapping) -> Result<(), StoreError>;
    /// Removes mappings.
    async fn delete_mappings(&mut self, ids: &[Id]) -> Result<(), StoreError>;

    /// Takes back what sign-ins through a provider gave and its mappings, by the groups that each person's last sign-in
    /// told of, and its default role give no more; returns how many grants.
    async fn end_unmapped_grants(&mut self, provider_id: &str) -> Result<u64, StoreError>;

    /// Uses up a sign-in that was begun; false when it was used before. Kept until `expires_at`, after which the
    /// sign-in is refused for its age.
    async fn use_sign_in(&mut self, id: &str, expires_at: Timestamp) -> Result<bool, StoreError>;
    /// Uses up a logout token; false when it was acted on before.
    async fn consume_logout_jti(
        &mut self,
        issuer_url: &str,
        jti: &str,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;
}
