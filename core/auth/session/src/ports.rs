//! Where sessions and their signing keys are kept.

use crate::{RevokedReason, Session, Standing, StoredSigningKey};
use async_trait::async_trait;
use certctl_kernel::{Actor, Id, ListQuery, Page, StoreError, Timestamp};

/// Parts of a session that only the store sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSecrets {
    /// The provider's own name for its session.
    pub idp_sid: Option<String>,
    /// The ID token, sealed.
    pub sealed_id_token: Option<Vec<u8>>,
    /// The API key it stands for.
    pub api_key_id: Option<Id>,
}

/// Whose live sessions are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// One actor's; everybody's when left out.
    pub actor: Option<Actor>,
    /// Of one provider.
    pub provider_id: Option<Id>,
}

/// Rows that a collection took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Sessions past their end.
    pub sessions: u64,
    /// Begun sign-ins that can't be repeated any more.
    pub sign_ins: u64,
    /// Logout tokens that would be too old by now.
    pub logout_tokens: u64,
    /// Signing keys past their retention.
    pub keys: u64,
}

/// Keeps sessions and signing keys. A session's end, and another CSRF epoch, count as changes of access, which every
/// replica hears of.
#[async_trait]
pub trait SessionStore: Send {
    /// Serialises changes of the signing keys; held until the transaction ends.
    async fn lock_signing_keys(&mut self) -> Result<(), StoreError>;
    /// Every key, newest first.
    async fn signing_keys(&mut self) -> Result<Vec<StoredSigningKey>, StoreError>;
    /// Adds the key that signs; there must be none.
    async fn insert_signing_key(&mut self, key: &StoredSigningKey) -> Result<(), StoreError>;
    /// Retires the key that signs; returns its id.
    async fn retire_signing_key(&mut self, at: Timestamp) -> Result<Option<Id>, StoreError>;
    /// Marks every retired key as leaked and ends its sessions; returns how many.
    async fn distrust_signing_keys(&mut self, at: Timestamp) -> Result<u64, StoreError>;

    /// Adds a session.
    async fn insert_session(&mut self, session: &Session, secrets: &SessionSecrets) -> Result<(), StoreError>;
    /// A session with what else decides whether it is good; one indexed query.
    async fn session_standing(&mut self, id: &str) -> Result<Option<Standing>, StoreError>;
    /// A session, locked.
    async fn session_for_update(&mut self, id: &str) -> Result<Option<Session>, StoreError>;
    /// The parts of a session that only the store sees; empty when it is not there.
    async fn session_secrets(&mut self, id: &str) -> Result<SessionSecrets, StoreError>;
    /// Notes that another id took over.
    async fn replace_session(&mut self, id: &str, by: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Live sessions, newest first: neither ended, replaced nor past their end, idle ones left out by `used_since`.
    async fn sessions_page(
        &mut self,
        filter: &SessionFilter,
        now: Timestamp,
        used_since: Timestamp,
        list: &ListQuery,
    ) -> Result<Page<Session>, StoreError>;
    /// Notes a use, unless a later one is noted.
    async fn touch_session(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Ends one; false when it had ended already.
    async fn revoke_session(&mut self, id: &str, at: Timestamp, reason: RevokedReason) -> Result<bool, StoreError>;
    /// Ends all live sessions of an actor but one; returns their ids.
    async fn revoke_sessions_of(
        &mut self,
        actor: &Actor,
        except: Option<&str>,
        at: Timestamp,
        reason: RevokedReason,
    ) -> Result<Vec<Id>, StoreError>;
    /// Whether a session, live or not, came from this session of the provider.
    async fn sid_known(&mut self, provider_id: &str, sid: &str) -> Result<bool, StoreError>;
    /// Ends the live sessions that a provider names by `sid`, of `user_id` only when given; returns their ids.
    async fn revoke_sessions_by_sid(
        &mut self,
        provider_id: &str,
        sid: &str,
        user_id: Option<&str>,
        at: Timestamp,
    ) -> Result<Vec<Id>, StoreError>;
    /// Ends every live session of a provider; returns how many.
    async fn revoke_sessions_of_provider(&mut self, provider_id: &str, at: Timestamp) -> Result<u64, StoreError>;
    /// Ends the oldest live sessions of an actor beyond `keep`; returns their ids.
    async fn revoke_oldest_sessions(&mut self, actor: &Actor, keep: i64, at: Timestamp) -> Result<Vec<Id>, StoreError>;
    /// Removes what is past its end: sessions past `now`, ended ones since `revoked_before`, keys retired before
    /// `keys_before` that no session names.
    async fn collect_sessions(
        &mut self,
        now: Timestamp,
        revoked_before: Timestamp,
        keys_before: Timestamp,
    ) -> Result<Collected, StoreError>;
}
