//! What keys need from a store.

use async_trait::async_trait;
use certctl_kernel::{ListQuery, Page, StoreError, Timestamp};
use certctl_rbac::RbacStore;

/// Whose credential it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// An operator's or machine's API key.
    ApiKey,
    /// An agent's own key.
    Agent,
}

/// A credential as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Row id.
    pub id: String,
    /// Whose.
    pub kind: CredentialKind,
    /// Key name or agent id: the actor's id.
    pub actor_id: String,
    /// SHA-256 of the key, hex.
    pub hash: String,
    /// When it ends by itself or by a rotation, whichever comes first.
    pub expires_at: Option<Timestamp>,
    /// Set when it, or its principal, was switched off.
    pub disabled_at: Option<Timestamp>,
    /// Last noted use.
    pub last_used_at: Option<Timestamp>,
}

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// Made through the API.
    Manual,
    /// Given by the environment.
    Env,
    /// Made by the bootstrap token.
    Bootstrap,
}

impl KeySource {
    /// The database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Env => "env",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// A key to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// `ak-…`
    pub id: String,
    /// The actor's id.
    pub name: String,
    /// Public part; `None` for keys of operators' own making.
    pub lookup_id: Option<String>,
    /// SHA-256 of the key, hex.
    pub hash: String,
    /// Whether it was made for an administrator; tells nothing of what it may do now.
    pub admin: bool,
    /// Who made it.
    pub created_by: String,
    /// Where it came from.
    pub source: KeySource,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// The key it takes over from.
    pub rotated_from: Option<String>,
    /// The person who holds it; without one it can't decide approvals.
    pub owner_user_id: Option<String>,
}

/// A key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// `ak-…`
    pub id: String,
    /// The actor's id.
    pub name: String,
    /// Public part.
    pub lookup_id: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// Where it came from.
    pub source: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it ends because another key took over.
    pub overlap_until: Option<Timestamp>,
    /// Last noted use.
    pub last_used_at: Option<Timestamp>,
    /// Where it was last used from.
    pub last_used_ip: Option<String>,
    /// When it was switched off.
    pub disabled_at: Option<Timestamp>,
    /// Who switched it off.
    pub disabled_by: Option<String>,
    /// When it was deleted; such a key never comes back.
    pub revoked_at: Option<Timestamp>,
    /// The key it took over from.
    pub rotated_from: Option<String>,
    /// The person who holds it.
    pub owner_user_id: Option<String>,
    /// SHA-256 of the key, hex; for comparison inside the product only.
    pub hash: String,
    /// Roles that its actor holds through live grants.
    pub roles: Vec<String>,
}

impl StoredKey {
    /// Whether the key is recognised at `now`.
    pub fn works(&self, now: Timestamp) -> bool {
        self.disabled_at.is_none() && !self.ended(now)
    }

    /// Whether the key was deleted or ran out: nothing brings it back.
    pub fn ended(&self, now: Timestamp) -> bool {
        self.revoked_at.is_some() || [self.expires_at, self.overlap_until].into_iter().flatten().any(|at| at <= now)
    }
}

/// Keys, principals and the catalogue.
#[async_trait]
pub trait IamStore: RbacStore {
    /// A credential by its public part, or by its hash when it has none.
    async fn credential(&mut self, lookup_id: Option<&str>, hash: &str) -> Result<Option<Credential>, StoreError>;
    /// Notes a use, unless one was noted less than a minute before.
    async fn touch(&mut self, credential: &Credential, at: Timestamp, ip: Option<&str>) -> Result<(), StoreError>;
    /// Stores a key and its principal.
    async fn insert_key(&mut self, key: &NewKey) -> Result<(), StoreError>;
    /// Keys of this name that still work, `except` left out.
    async fn working_keys_of(&mut self, name: &str, except: Option<&str>, now: Timestamp) -> Result<i64, StoreError>;
    /// One key, locked.
    async fn key_for_update(&mut self, id: &str) -> Result<Option<StoredKey>, StoreError>;
    /// Keys, newest first.
    async fn keys_page(&mut self, list: &ListQuery) -> Result<Page<StoredKey>, StoreError>;
    /// Every key that came from the environment, working or not.
    async fn environment_keys(&mut self) -> Result<Vec<StoredKey>, StoreError>;
    /// Deletes a key for good; its row stays.
    async fn revoke_key(&mut self, id: &str, by: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Gives a key another end, or none.
    async fn set_key_expiry(&mut self, id: &str, expires_at: Option<Timestamp>) -> Result<(), StoreError>;
    /// Keys that ran out by `now` and were not given out by this before; at most `limit`.
    async fn take_ended_keys(&mut self, now: Timestamp, limit: i64) -> Result<Vec<StoredKey>, StoreError>;
    /// Switches a key off.
    async fn disable_key(&mut self, id: &str, by: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Switches a key on again.
    async fn enable_key(&mut self, id: &str) -> Result<(), StoreError>;
    /// Lets a key end at `until`, because another took over.
    async fn end_by_overlap(&mut self, id: &str, until: Timestamp) -> Result<(), StoreError>;
    /// How many working keys with a live global administrator grant there are, `except` left out.
    async fn working_admins(&mut self, except: Option<&str>, now: Timestamp) -> Result<i64, StoreError>;
    /// Notes that an environment key was seen; true when it is the first time.
    async fn first_sight(&mut self, name: &str, fingerprint: &str, role_id: &str) -> Result<bool, StoreError>;
    /// Stores an agent's credential and its principal.
    async fn insert_agent_credential(
        &mut self,
        agent_id: &str,
        lookup_id: &str,
        hash: &str,
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Ends every credential of an agent.
    async fn revoke_agent_credentials(&mut self, agent_id: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Brings permissions, default roles and what these permit in line with the code; true when something changed.
    async fn sync_catalogue(&mut self) -> Result<bool, StoreError>;
}
