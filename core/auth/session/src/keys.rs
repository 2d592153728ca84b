//! The keys that cookies are signed with: one signs, retired ones verify for a while.

use crate::{CookieError, Purpose, SessionError, SessionStore, cookie, csrf};
use arc_swap::ArcSwap;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Id, IdKind, RequestContext, Timestamp};
use certctl_ports::{Ambient, Sealer};
use certctl_secrets::SealedColumn;
use ring::hmac;
use serde_json::json;
use std::sync::Arc;
use time::Duration;
use zeroize::Zeroizing;

/// A key as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSigningKey {
    /// `sk-…`
    pub id: Id,
    /// Its 32 octets, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When another took over.
    pub retired_at: Option<Timestamp>,
    /// It leaked: it verifies nothing.
    pub compromised: bool,
}

/// An opened key.
struct OpenKey {
    id: Id,
    retired_at: Option<Timestamp>,
    compromised: bool,
    key: hmac::Key,
}

/// The opened keys of the installation in memory. Opening costs a round trip and a decryption, so it happens when keys
/// change and never for a request.
pub struct SessionKeys {
    keys: ArcSwap<Vec<OpenKey>>,
    retention: Duration,
}

/// A cookie that this installation signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Id of the session or the begun sign-in.
    pub id: Id,
    /// Id of the key that signed.
    pub key_id: Id,
}

impl SessionKeys {
    /// No keys yet; `retention` is how long retired ones verify.
    pub fn new(retention: Duration) -> Self {
        Self { keys: ArcSwap::default(), retention }
    }

    /// Reads and opens every key. On a failure the ones in memory stay.
    pub async fn load(
        &self,
        store: &mut (impl SessionStore + ?Sized),
        sealer: &dyn Sealer,
    ) -> Result<(), SessionError> {
        let mut open = Vec::new();
        for stored in store.signing_keys().await? {
            let octets = sealer.open(&stored.sealed, SealedColumn::SESSION_KEY.cell(&stored.id))?;
            open.push(OpenKey {
                key: hmac::Key::new(hmac::HMAC_SHA256, &octets),
                id: stored.id,
                retired_at: stored.retired_at,
                compromised: stored.compromised,
            });
        }
        self.keys.store(Arc::new(open));
        Ok(())
    }

    /// Whether the key is in memory.
    pub fn knows(&self, key_id: &str) -> bool {
        self.keys.load().iter().any(|key| key.id == key_id)
    }

    /// The value for a cookie about `id`, and the id of the key.
    pub(crate) fn sign(&self, id: &str) -> Result<(String, Id), SessionError> {
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.retired_at.is_none()).ok_or(SessionError::NoKey)?;
        Ok((cookie::sign(id, &key.id, &key.key), key.id.clone()))
    }

    /// The value of a cookie for a sign-in that was begun; `id` is a `pl-…`.
    pub fn sign_pre_login(&self, id: &str) -> Result<String, SessionError> {
        self.sign(id).map(|(value, _)| value)
    }

    /// Checks a cookie without asking the database.
    pub fn verify(&self, value: &str, purpose: Purpose, now: Timestamp) -> Result<Verified, CookieError> {
        let cookie = cookie::parse(value, purpose)?;
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.id == cookie.key_id).ok_or(CookieError)?;
        let over = key.retired_at.is_some_and(|at| now > at + self.retention);
        if key.compromised || over {
            return Err(CookieError);
        }
        cookie.verify(&key.key)?;
        Ok(Verified { id: cookie.id.to_owned(), key_id: cookie.key_id.to_owned() })
    }

    /// The CSRF token of a session, as its signing key derives it.
    pub fn csrf_token(&self, session_id: &str, key_id: &str, epoch: i32) -> Result<String, SessionError> {
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.id == key_id).ok_or(SessionError::NoKey)?;
        Ok(csrf::token(&key.key, session_id, epoch))
    }

    /// Whether a presented CSRF token is the session's; compared in constant time.
    pub fn csrf_matches(&self, session_id: &str, key_id: &str, epoch: i32, presented: &str) -> bool {
        let keys = self.keys.load();
        keys.iter()
            .find(|key| key.id == key_id)
            .is_some_and(|key| csrf::matches(&key.key, session_id, epoch, presented))
    }
}

fn fresh(ambient: &Ambient, sealer: &dyn Sealer) -> Result<StoredSigningKey, SessionError> {
    let id = ambient.id(IdKind::SessionSigningKey);
    let octets = Zeroizing::new(ambient.octets::<32>());
    let sealed = sealer.seal(octets.as_slice(), SealedColumn::SESSION_KEY.cell(&id))?;
    Ok(StoredSigningKey { id, sealed, created_at: ambient.now(), retired_at: None, compromised: false })
}

/// Sees to it that a key signs; of several replicas starting at once one makes it. True when it was made here.
pub async fn ensure_signing_key(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
    context: &RequestContext,
) -> Result<bool, SessionError> {
    tx.lock_signing_keys().await?;
    if tx.signing_keys().await?.iter().any(|key| key.retired_at.is_none()) {
        return Ok(false);
    }
    let key = fresh(ambient, sealer)?;
    tx.insert_signing_key(&key).await?;
    let details = json!({"key_id": key.id});
    tx.record(AuditEvent::new(Action::SessionSigningKeyBootstrap, context, &key.id, details)).await?;
    Ok(true)
}

/// Keys before and after a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key that signs from now on.
    pub new_key_id: Id,
    /// The key that does not any more.
    pub retired_key_id: Option<Id>,
    /// Sessions that ended with it.
    pub ended_sessions: u64,
}

/// Lets a new key sign. The old one goes on verifying for the retention; when it leaked, it and every older one verify
/// nothing from now on, and their sessions end.
pub async fn rotate_signing_key(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
    context: &RequestContext,
    compromised: bool,
) -> Result<Rotation, SessionError> {
    let now = ambient.now();
    tx.lock_signing_keys().await?;
    let retired_key_id = tx.retire_signing_key(now).await?;
    let ended_sessions = if compromised { tx.distrust_signing_keys(now).await? } else { 0 };
    let key = fresh(ambient, sealer)?;
    tx.insert_signing_key(&key).await?;
    let details = json!({
        "new_key_id": key.id, "retired_key_id": retired_key_id,
        "compromised": compromised, "ended_sessions": ended_sessions,
    });
    tx.record(AuditEvent::new(Action::SessionSigningKeyRotated, context, &key.id, details)).await?;
    Ok(Rotation { new_key_id: key.id, retired_key_id, ended_sessions })
}
