//! Keys that the operator gives through the environment.

use crate::format::hash_of;
use crate::{IamStore, KeySource, NewKey};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, IdKind, RequestContext, Secret, StoreError};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{ADMIN_ROLE, DefaultRole, Scope};
use serde_json::json;

/// Recorded as the maker, and the one who switched off, of keys that came and went with the environment.
const ENVIRONMENT: &str = "environment";
/// Sixteen hex digits tell keys of one name apart and help nobody to guess them.
const FINGERPRINT_LENGTH: usize = 16;

/// A key from `CERTCTL_API_KEYS_NAMED` or `CERTCTL_AUTH_SECRET`.
pub struct EnvironmentKey {
    /// The actor's id.
    pub name: String,
    /// The whole key.
    pub key: Secret<String>,
    /// Whether it is an administrator's.
    pub admin: bool,
}

/// What seeding changed and found; all are names of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeedReport {
    /// Seen for the first time, or again after an absence.
    pub added: Vec<String>,
    /// No longer in the environment, so switched off.
    pub withdrawn: Vec<String>,
    /// In the environment, but not granted the role it asks for: administrators decided otherwise, and that stands.
    pub drifted: Vec<String>,
}

impl SeedReport {
    /// Whether the transaction changed anything, and so has events to save.
    pub const fn changed(&self) -> bool {
        !self.added.is_empty() || !self.withdrawn.is_empty()
    }
}

/// Brings the stored keys in line with the environment: new ones are stored and granted a role, absent ones switched
/// off. A role is granted when a key is first seen and never again, so that what administrators decide later stands.
pub async fn seed_environment_keys(
    tx: &mut (impl IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    keys: &[EnvironmentKey],
) -> Result<SeedReport, DomainError> {
    tx.lock_identity().await?;
    let mut report = SeedReport::default();
    let stored = tx.environment_keys().await?;
    for key in keys {
        let hash = hash_of(key.key.expose());
        let role = if key.admin { ADMIN_ROLE } else { DefaultRole::Viewer.id() };
        match stored.iter().find(|old| old.hash == hash) {
            Some(old) if old.disabled_by.as_deref() == Some(ENVIRONMENT) => {
                tx.enable_key(&old.id).await?;
                let details = json!({"name": old.name, "roles": old.roles, "source": ENVIRONMENT, "returned": true});
                tx.record(AuditEvent::new(Action::ApiKeyCreated, context, &old.id, details)).await?;
                report.added.push(key.name.clone());
            }
            Some(old) => {
                if old.disabled_at.is_some() || !old.roles.iter().any(|held| held == role) {
                    report.drifted.push(key.name.clone());
                }
            }
            None => {
                store_first(tx, ambient, context, key, hash, role).await?;
                report.added.push(key.name.clone());
            }
        }
    }
    let given: Vec<String> = keys.iter().map(|key| hash_of(key.key.expose())).collect();
    let now = ambient.now();
    for old in stored.iter().filter(|old| old.disabled_at.is_none() && !given.contains(&old.hash)) {
        tx.disable_key(&old.id, ENVIRONMENT, now).await?;
        let details = json!({"name": old.name, "reason": "no longer in the environment"});
        tx.record(AuditEvent::new(Action::ApiKeyRevoked, context, &old.id, details)).await?;
        report.withdrawn.push(old.name.clone());
    }
    if report.changed() {
        tx.announce(Change::Access).await?;
    }
    Ok(report)
}

async fn store_first(
    tx: &mut (impl IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    key: &EnvironmentKey,
    hash: String,
    role: &str,
) -> Result<(), DomainError> {
    let fingerprint = hash[..FINGERPRINT_LENGTH].to_owned();
    let new = NewKey {
        id: ambient.id(IdKind::ApiKey),
        name: key.name.clone(),
        lookup_id: None,
        hash,
        admin: key.admin,
        created_by: ENVIRONMENT.to_owned(),
        source: KeySource::Env,
        created_at: ambient.now(),
        expires_at: None,
        rotated_from: None,
        owner_user_id: None,
    };
    tx.insert_key(&new).await.map_err(|error| match error {
        StoreError::Duplicate { .. } => DomainError::conflict(
            "conflict",
            format!("the key given as {} is already in use under another name", key.name),
        ),
        other => other.into(),
    })?;
    let granted = tx.first_sight(&key.name, &fingerprint, role).await?;
    if granted {
        let actor = Actor::new(&key.name, ActorType::APIKey);
        tx.add_grant(&actor, role, &Scope::Global, "env", ENVIRONMENT, None).await?;
    }
    let roles: &[&str] = if granted { &[role] } else { &[] };
    let details = json!({"name": key.name, "roles": roles, "source": ENVIRONMENT});
    tx.record(AuditEvent::new(Action::ApiKeyCreated, context, &new.id, details)).await?;
    Ok(())
}
