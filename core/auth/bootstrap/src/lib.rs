//! The first administrator, by a one-shot token or by a group of the identity provider, once for an installation.

mod group;
mod ports;
mod reopen;

pub use group::{AdminGroups, Newcomer, first_admin_by_group};
pub use ports::FirstAdminStore;
pub use reopen::reopen;

use certctl_apikey::{IamStore, KeySource, NewKey, mint};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, IdKind, RequestContext, Secret, StoreError, Timestamp};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{ADMIN_ROLE, AdminsUntil, RbacStore, Scope};
use serde_json::json;

/// Who is recorded as the actor of the bootstrap.
pub const ACTOR: &str = "bootstrap-token";

/// The administrator just made.
pub struct FirstAdmin {
    /// The actor's id.
    pub actor_id: String,
    /// `ak-…`
    pub api_key_id: String,
    /// The key, shown once.
    pub key: Secret<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why there is no first administrator for this request.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The name is not one. HTTP 400.
    #[error("actor_name must match ^[a-z0-9][a-z0-9_-]{{2,63}}$, such as admin")]
    Name,
    /// No token is configured, or an administrator exists. HTTP 410; tells no more.
    #[error("bootstrap is not available")]
    Closed,
    /// The token is wrong. HTTP 401.
    #[error("invalid bootstrap token")]
    Token,
    /// The name is taken. HTTP 409; the token stays usable.
    #[error("actor_name is already in use; choose another")]
    NameTaken,
    /// Anything else.
    #[error(transparent)]
    Domain(#[from] DomainError),
}

impl From<StoreError> for BootstrapError {
    fn from(error: StoreError) -> Self {
        Self::Domain(error.into())
    }
}

/// Whether nobody can become the first administrator any more: there was one, or somebody is one by other means. That
/// all of them were removed since opens nothing by itself.
pub(crate) async fn closed(
    tx: &mut (impl RbacStore + FirstAdminStore + ?Sized),
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(tx.first_admin_at().await?.is_some() || tx.admins_until(now).await? != AdminsUntil::Nobody)
}

/// Whether the token would work now; false on any doubt.
pub async fn available(
    tx: &mut (impl IamStore + FirstAdminStore + ?Sized),
    token: Option<&Secret<String>>,
    now: Timestamp,
) -> bool {
    token.is_some() && matches!(closed(tx, now).await, Ok(false))
}

/// Makes the first administrator. Of several callers at once exactly one succeeds: the check and the insertion happen
/// under one lock in one transaction. Whether an administrator exists is looked at before the token, so that nothing
/// tells a right token from a wrong one afterwards.
pub async fn consume(
    tx: &mut (impl IamStore + FirstAdminStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    configured: Option<&Secret<String>>,
    presented: &str,
    actor_name: &str,
) -> Result<FirstAdmin, BootstrapError> {
    let name = actor_name.trim();
    if !sound_name(name) {
        return Err(BootstrapError::Name);
    }
    let token = configured.ok_or(BootstrapError::Closed)?;
    let now = ambient.now();
    tx.lock_identity().await?;
    if closed(tx, now).await? {
        return Err(BootstrapError::Closed);
    }
    if !token.matches(presented.as_bytes()) {
        return Err(BootstrapError::Token);
    }
    if tx.working_keys_of(name, None, now).await? > 0 {
        return Err(BootstrapError::NameTaken);
    }
    let material = mint(ambient);
    let key = NewKey {
        id: ambient.id(IdKind::ApiKey),
        name: name.to_owned(),
        lookup_id: Some(material.lookup_id),
        hash: material.hash,
        admin: true,
        created_by: "bootstrap".to_owned(),
        source: KeySource::Bootstrap,
        created_at: now,
        expires_at: None,
        rotated_from: None,
        owner_user_id: None,
    };
    tx.insert_key(&key).await?;
    let actor = Actor::new(name, ActorType::APIKey);
    tx.add_grant(&actor, ADMIN_ROLE, &Scope::Global, "bootstrap", "bootstrap", None).await?;
    tx.set_first_admin_at(Some(now)).await?;
    let details = json!({"actor_name": name, "role_id": ADMIN_ROLE});
    let event = AuditEvent::new(Action::BootstrapConsume, context, &key.id, details);
    tx.record(event.by(Actor::new(ACTOR, ActorType::System))).await?;
    tx.announce(Change::Access).await?;
    Ok(FirstAdmin { actor_id: key.name, api_key_id: key.id, key: material.secret, created_at: now })
}

/// The event that tells of a refused attempt; the caller stores it in a transaction of its own.
pub fn refusal(context: &RequestContext, error: &BootstrapError) -> Option<AuditEvent> {
    let reason = match error {
        BootstrapError::Token => "wrong_token",
        BootstrapError::Closed => "closed",
        BootstrapError::NameTaken => "name_taken",
        BootstrapError::Domain(_) => "error",
        BootstrapError::Name => return None,
    };
    let event = AuditEvent::new(Action::BootstrapConsumeFailed, context, "bootstrap", json!({"reason": reason}));
    Some(event.by(Actor::new(ACTOR, ActorType::System)))
}

fn sound_name(name: &str) -> bool {
    (3..=64).contains(&name.len())
        && name
            .bytes()
            .enumerate()
            .all(|(i, b)| b.is_ascii_lowercase() || b.is_ascii_digit() || (i > 0 && matches!(b, b'_' | b'-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_words() {
        for good in ["adm", "admin", "7of9", "first_admin-2", &"a".repeat(64)] {
            assert!(sound_name(good), "{good}");
        }
        for bad in ["", "ab", "Admin", "-admin", "_admin", "ad.min", "ad min", "ädmin", "admin\n", &"a".repeat(65)] {
            assert!(!sound_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_refusal_is_told_without_the_token_and_only_where_it_matters() {
        let context = RequestContext::system("test");
        let event = refusal(&context, &BootstrapError::Token).expect("an event");
        assert_eq!((event.actor.id.as_str(), event.actor.kind), (ACTOR, ActorType::System));
        assert_eq!(serde_json::Value::Object(event.details), json!({"reason": "wrong_token"}));
        assert!(refusal(&context, &BootstrapError::Name).is_none());
    }
}
