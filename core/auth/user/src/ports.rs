//! Where people are kept.

use crate::{User, UserFilter};
use async_trait::async_trait;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};

/// Keeps people together with their principals: a person who is shut out is a principal that is disabled.
#[async_trait]
pub trait UserStore: Send {
    /// The person with this id.
    async fn user(&mut self, id: &str) -> Result<Option<User>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn user_for_update(&mut self, id: &str) -> Result<Option<User>, StoreError>;
    /// Whoever is recognised by this lookup.
    async fn user_by_lookup(&mut self, lookup: &str) -> Result<Option<User>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn user_by_lookup_for_update(&mut self, lookup: &str) -> Result<Option<User>, StoreError>;
    /// Lets one transaction at a time make the person of this lookup; held until it ends.
    async fn lock_lookup(&mut self, lookup: &str) -> Result<(), StoreError>;
    /// One page, oldest first.
    async fn users_page(&mut self, filter: &UserFilter, list: &ListQuery) -> Result<Page<User>, StoreError>;
    /// Adds a person with its principal.
    async fn insert_user(&mut self, user: &User) -> Result<(), StoreError>;
    /// Writes over the stored person and bumps the row version; the principal's name follows, and it is disabled
    /// exactly while the person is deactivated.
    async fn update_user(&mut self, user: &User) -> Result<(), StoreError>;
    /// People who were shut out at `before` or earlier and whose data is still there, longest ago first, locked; those
    /// that another transaction holds are left out. `limit` of 0 means all.
    async fn take_users_to_purge(&mut self, before: Timestamp, limit: i64) -> Result<Vec<User>, StoreError>;
    /// Switches off the working keys that name the person as their owner; returns their ids.
    async fn disable_keys_of(&mut self, user_id: &str, by: &str, at: Timestamp) -> Result<Vec<Id>, StoreError>;
    /// Removes where from and with what a person came: from sessions with the ID token, and from keys that name the
    /// person as their owner; returns how many rows.
    async fn scrub_traces_of(&mut self, user: &User) -> Result<u64, StoreError>;
}
