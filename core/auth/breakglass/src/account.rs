//! Emergency accounts and their passwords.

use crate::{BreakglassStore, Person, StoredCredential, may_sign_in};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, IdKind, Secret, Timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{
    Caller, GrantRole, Permission, RbacStore, Scope, current, grant_role, guard_against_taking_over, reserved,
};
use certctl_session::{RevokedReason, SessionStore, revoke_of};
use serde_json::json;

/// An emergency account to make: a person whom no identity provider vouches for.
pub struct CreateAccount {
    /// The actor's id; what is typed at sign-in.
    pub id: String,
    /// For people; may be empty.
    pub name: String,
    /// The stored form of its password.
    pub hash: Secret<String>,
    /// Ids or short names of roles, granted everywhere.
    pub roles: Vec<String>,
}

/// Makes an account with its own roles and its password. Only the host's commands do: whoever can run them can read
/// the database anyway.
pub async fn create_account(
    tx: &mut (impl BreakglassStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateAccount,
) -> Result<StoredCredential, DomainError> {
    caller.require(Permission::AuthBreakglassAdmin, &[])?;
    let CreateAccount { id, name, hash, roles } = command;
    IdKind::check_supplied(&id).map_err(|error| DomainError::invalid("id", "invalid", error.to_string()))?;
    let actor = Actor::new(&id, ActorType::User);
    reserved(&actor)?;
    if name.len() > 128 || name.chars().any(char::is_control) {
        return Err(DomainError::invalid("name", "invalid", "must have at most 128 octets and no control characters"));
    }
    if roles.is_empty() {
        return Err(DomainError::invalid("role", "required", "name at least one role, such as admin"));
    }
    let now = ambient.now();
    tx.lock_identity().await?;
    if let Some(person) = tx.person(&id).await? {
        return Err(taken(&person));
    }
    tx.insert_emergency_person(&id, &name, now).await?;
    tx.put_breakglass_password(&id, &hash, now).await?;
    let details = json!({"caller_actor_id": caller.context.actor.id, "target_actor_id": id, "roles": roles});
    tx.record(AuditEvent::new(Action::BreakglassAccountCreated, &caller.context, &id, details)).await?;
    for role in roles {
        let grant = GrantRole { actor: actor.clone(), role, scope: Scope::Global, expires_at: None };
        grant_role(tx, ambient, caller, grant).await?;
    }
    if !may_sign_in(tx, &actor, now).await? {
        let rule =
            "these roles don't permit auth.breakglass.login, so nobody could sign in; add one that does, such as admin";
        return Err(DomainError::invalid("role", "insufficient", rule));
    }
    require_credential(tx, &id).await
}

fn taken(person: &Person) -> DomainError {
    let state = match (person.federated, person.active) {
        (true, _) => "an identity provider vouches for it; set-password gives it a password",
        (false, true) => "set-password changes its password",
        (false, false) => "it was removed, and ids are not used again; choose another",
    };
    DomainError::conflict("conflict", format!("there is an account {}: {state}", person.id))
}

async fn require_person(tx: &mut (impl BreakglassStore + ?Sized), id: &str) -> Result<Person, DomainError> {
    tx.person(id).await?.ok_or_else(|| DomainError::not_found("user", id))
}

async fn require_credential(
    tx: &mut (impl BreakglassStore + ?Sized),
    id: &str,
) -> Result<StoredCredential, DomainError> {
    let found = tx.breakglass_credential(id).await?;
    found.ok_or_else(|| DomainError::not_found("credential", id))
}

/// Every credential, by actor.
pub async fn list_credentials(
    tx: &mut (impl BreakglassStore + ?Sized),
    caller: &Caller,
) -> Result<Vec<StoredCredential>, DomainError> {
    caller.require(Permission::AuthBreakglassAdmin, &[])?;
    Ok(tx.breakglass_credentials().await?)
}

/// Sets or rotates a person's emergency password. Whoever sets it can act as that person, so must hold all that the
/// person may do. The person's sessions end with it. Returns when the credential was made.
pub async fn set_password(
    tx: &mut (impl BreakglassStore + RbacStore + SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    actor_id: &str,
    hash: &Secret<String>,
) -> Result<Timestamp, DomainError> {
    caller.require(Permission::AuthBreakglassAdmin, &[])?;
    let actor = Actor::new(actor_id, ActorType::User);
    reserved(&actor)?;
    let now = ambient.now();
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthBreakglassAdmin, &[])?;
    require_person(tx, actor_id).await?;
    guard_against_taking_over(tx, caller, &actor, now).await?;
    let rotated = tx.breakglass_credential(actor_id).await?.is_some();
    let created_at = tx.put_breakglass_password(actor_id, hash, now).await?;
    let details = json!({"caller_actor_id": caller.context.actor.id, "target_actor_id": actor_id, "rotated": rotated});
    tx.record(AuditEvent::new(Action::BreakglassPasswordSet, &caller.context, actor_id, details)).await?;
    revoke_of(tx, ambient, &caller.context, &actor, RevokedReason::CredentialChanged).await?;
    Ok(created_at)
}

/// Forgets failures and lock.
pub async fn unlock(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    caller: &Caller,
    actor_id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthBreakglassAdmin, &[])?;
    let before = require_credential(tx, actor_id).await?;
    tx.forget_failures(actor_id).await?;
    let details = json!({
        "caller_actor_id": caller.context.actor.id, "target_actor_id": actor_id,
        "failure_count": before.lockout.failures, "was_locked": before.lockout.locked_until.is_some(),
    });
    tx.record(AuditEvent::new(Action::BreakglassUnlocked, &caller.context, actor_id, details)).await?;
    Ok(())
}

/// Removes a credential with its security keys; the person stays, the person's sessions end.
pub async fn remove_credential(
    tx: &mut (impl BreakglassStore + SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    actor_id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthBreakglassAdmin, &[])?;
    require_credential(tx, actor_id).await?;
    let keys = tx.security_keys(actor_id).await?;
    for key in &keys {
        tx.remove_security_key(actor_id, &key.id).await?;
    }
    tx.remove_breakglass_credential(actor_id).await?;
    let details = json!({
        "caller_actor_id": caller.context.actor.id, "target_actor_id": actor_id, "security_keys": keys.len(),
    });
    tx.record(AuditEvent::new(Action::BreakglassCredentialRemoved, &caller.context, actor_id, details)).await?;
    let actor = Actor::new(actor_id, ActorType::User);
    revoke_of(tx, ambient, &caller.context, &actor, RevokedReason::CredentialChanged).await?;
    Ok(())
}

/// Removes an emergency account for good: its credential, its roles, and its right to sign in. The row stays for the
/// trail. A person whom a provider vouches for only loses the credential.
pub async fn remove_account(
    tx: &mut (impl BreakglassStore + RbacStore + SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    actor_id: &str,
) -> Result<(), DomainError> {
    tx.lock_identity().await?;
    let person = require_person(tx, actor_id).await?;
    remove_credential(tx, ambient, caller, actor_id).await?;
    if person.federated {
        return Ok(());
    }
    let roles = tx.revoke_grants(&Actor::new(actor_id, ActorType::User)).await?;
    tx.end_emergency_person(actor_id, ambient.now()).await?;
    let details = json!({"user_id": actor_id, "emergency_account": true, "roles": roles});
    tx.record(AuditEvent::new(Action::UserDeactivated, &caller.context, actor_id, details)).await?;
    Ok(())
}
