//! Making, listing, rotating and ending keys.

use crate::format::{KeyMaterial, mint};
use crate::{IamStore, KeySource, NewKey, StoredKey};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{
    Actor, ActorType, DomainError, FieldError, IdKind, ListQuery, Page, Secret, Timestamp, timestamp,
};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{
    ADMIN_ROLE, ActorRoles, Caller, DefaultRole, EffectivePermission, Permission, Scope, current, guard_admins,
    guard_against_giving_more, guard_against_taking_over,
};
use serde_json::json;
use time::Duration;

/// Longest time for which an old key works beside its successor.
const LONGEST_OVERLAP: Duration = Duration::days(30);
const MOST_ROLES: usize = 32;

/// A key to make.
#[derive(Debug, Clone)]
pub struct CreateKey {
    /// The actor's id.
    pub name: String,
    /// Roles to grant globally; default roles also by their short names.
    pub roles: Vec<String>,
    /// When the key ends by itself.
    pub expires_at: Option<Timestamp>,
    /// The person who holds it. Two keys of one person are the same person to approvals, and a key without one can't
    /// decide any.
    pub owner_user_id: Option<String>,
}

/// How a key is taken over by a new one.
#[derive(Debug, Clone)]
pub struct RotateKey {
    /// How long the old key works on.
    pub overlap: Duration,
    /// When the new key ends by itself; left out, it lives as long as the old one was made to.
    pub expires_at: Option<Timestamp>,
    /// The person who holds the new key, where the old one names none; an owner once named stays.
    pub owner_user_id: Option<String>,
}

impl RotateKey {
    /// A day of overlap, and the old key's span of life.
    pub const DEFAULT: Self = Self { overlap: Duration::DAY, expires_at: None, owner_user_id: None };
}

/// A key just made; its text is shown once.
#[derive(Debug)]
pub struct MintedKey {
    /// `ak-…`
    pub id: String,
    /// The actor's id.
    pub name: String,
    /// Its public part.
    pub lookup_id: String,
    /// The whole key.
    pub secret: Secret<String>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// The key it takes over from.
    pub rotated_from: Option<String>,
    /// The person who holds it.
    pub owner_user_id: Option<String>,
    /// Roles of its actor.
    pub roles: Vec<String>,
}

fn check_name(name: &str) -> Result<(), FieldError> {
    let sound = (3..=64).contains(&name.len())
        && name.bytes().enumerate().all(|(index, b)| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || (index > 0 && matches!(b, b'_' | b'-' | b'.'))
        });
    if sound {
        Ok(())
    } else {
        Err(FieldError::new("name", "invalid_name", "must match ^[a-z0-9][a-z0-9_.-]{2,63}$, such as ci-deploy"))
    }
}

/// Lower case only, so that no person is two by spelling.
fn check_owner(owner: Option<&str>) -> Result<(), FieldError> {
    let part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let sound = |owner: &str| {
        (1..=128).contains(&owner.len())
            && owner
                .bytes()
                .enumerate()
                .all(|(index, b)| part(b) || (index > 0 && matches!(b, b'.' | b'_' | b'@' | b'+' | b'-')))
    };
    if owner.is_none_or(sound) {
        return Ok(());
    }
    let message = "must match ^[a-z0-9][a-z0-9._@+-]{0,127}$, such as ada or ada@example.com";
    Err(FieldError::new("owner_user_id", "invalid_owner", message))
}

fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), FieldError> {
    if expires_at.is_some_and(|at| at <= now) {
        return Err(FieldError::new("expires_at", "not_in_future", "must be in the future"));
    }
    Ok(())
}

/// Makes a key. The caller may give only what it has: every permission of the roles must be among its own.
pub async fn create_key(
    tx: &mut (impl IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateKey,
) -> Result<MintedKey, DomainError> {
    caller.require(Permission::AuthKeyCreate, &[])?;
    let now = ambient.now();
    let mut roles: Vec<String> = command
        .roles
        .iter()
        .map(|role| DefaultRole::parse(role).map_or_else(|| role.clone(), |known| known.id().to_owned()))
        .collect();
    roles.sort();
    roles.dedup();
    let mut errors: Vec<FieldError> = [
        check_name(&command.name),
        check_expiry(command.expires_at, now),
        check_owner(command.owner_user_id.as_deref()),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect();
    if roles.is_empty() || roles.len() > MOST_ROLES {
        errors.push(FieldError::new("roles", "out_of_range", "name 1 to 32 roles, such as viewer"));
    }
    if !errors.is_empty() {
        return Err(DomainError::Validation(errors));
    }
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthKeyCreate, &[])?;
    let known = tx.roles().await?;
    for role in &roles {
        if !known.iter().any(|stored| stored.id == *role) {
            return Err(DomainError::invalid("roles", "unknown_reference", format!("{role} is not a role")));
        }
    }
    let permitted = tx.permissions_of(&roles).await?.into_iter();
    let wanted = permitted.map(|entry| EffectivePermission { permission: entry.permission, scope: entry.scope });
    guard_against_giving_more(caller, wanted)?;
    if tx.working_keys_of(&command.name, None, now).await? > 0 {
        let message = format!("a key named {} exists; rotate it, or choose another name", command.name);
        return Err(DomainError::conflict("conflict", message));
    }
    let actor = Actor::new(&command.name, ActorType::APIKey);
    // An actor may still hold grants from a time before; whoever makes a key for it takes them over.
    guard_against_taking_over(tx, caller, &actor, now).await?;
    let material = mint(ambient);
    let mut key = new_key(ambient, &command.name, &material, caller);
    key.admin = roles.iter().any(|role| role == ADMIN_ROLE);
    key.expires_at = command.expires_at;
    key.owner_user_id = command.owner_user_id;
    tx.insert_key(&key).await?;
    for role in &roles {
        tx.add_grant(&actor, role, &Scope::Global, "manual", &caller.context.actor.id, None).await?;
    }
    let details = json!({
        "name": key.name, "roles": roles, "expires_at": key.expires_at.map(timestamp::to_rfc3339),
        "owner_user_id": key.owner_user_id,
    });
    tx.record(AuditEvent::new(Action::ApiKeyCreated, &caller.context, &key.id, details)).await?;
    tx.announce(Change::Access).await?;
    Ok(minted(key, material, roles))
}

/// Keys, newest first.
pub async fn list_keys(
    tx: &mut (impl IamStore + ?Sized),
    caller: &Caller,
    list: &ListQuery,
) -> Result<Page<StoredKey>, DomainError> {
    caller.require(Permission::AuthKeyList, &[])?;
    Ok(tx.keys_page(list).await?)
}

/// Actors of every kind that hold a role at the moment.
pub async fn list_actors(
    tx: &mut (impl IamStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
) -> Result<Vec<ActorRoles>, DomainError> {
    caller.require(Permission::AuthKeyList, &[])?;
    Ok(tx.actors_with_roles(ambient.now()).await?)
}

/// Makes a new key for the same actor; the old one works on for a while.
pub async fn rotate_key(
    tx: &mut (impl IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    command: RotateKey,
) -> Result<MintedKey, DomainError> {
    caller.require(Permission::AuthKeyRotate, &[])?;
    let now = ambient.now();
    let mut errors: Vec<FieldError> =
        [check_expiry(command.expires_at, now), check_owner(command.owner_user_id.as_deref())]
            .into_iter()
            .filter_map(Result::err)
            .collect();
    if command.overlap.is_negative() || command.overlap > LONGEST_OVERLAP {
        errors.push(FieldError::new("overlap_seconds", "out_of_range", "must be from 0 to 2592000 (30 days)"));
    }
    if !errors.is_empty() {
        return Err(DomainError::Validation(errors));
    }
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthKeyRotate, &[])?;
    let before = tx.admins_until(now).await?;
    let old = working_key(tx, id, now).await?;
    let actor = Actor::new(&old.name, ActorType::APIKey);
    guard_against_taking_over(tx, caller, &actor, now).await?;
    let owner = match (&old.owner_user_id, command.owner_user_id) {
        (Some(held), Some(named)) if *held != named => {
            let message = format!("the key's owner is {held}; make a key of another name for another person");
            return Err(DomainError::conflict("owner_fixed", message));
        }
        (Some(held), _) => Some(held.clone()),
        (None, named) => named,
    };
    let material = mint(ambient);
    let mut key = new_key(ambient, &old.name, &material, caller);
    key.owner_user_id = owner;
    key.admin = old.roles.iter().any(|role| role == ADMIN_ROLE);
    key.expires_at = command.expires_at.or_else(|| old.expires_at.map(|at| now + (at - old.created_at)));
    key.rotated_from = Some(old.id.clone());
    tx.insert_key(&key).await?;
    let ends = [old.expires_at, old.overlap_until].into_iter().flatten().fold(now + command.overlap, Timestamp::min);
    tx.end_by_overlap(&old.id, ends).await?;
    guard_admins(before, tx.admins_until(now).await?)?;
    let details = json!({
        "name": key.name, "rotated_from": old.id, "old_key_ends": timestamp::to_rfc3339(ends),
        "expires_at": key.expires_at.map(timestamp::to_rfc3339), "owner_user_id": key.owner_user_id,
    });
    tx.record(AuditEvent::new(Action::ApiKeyRotated, &caller.context, &key.id, details)).await?;
    tx.announce(Change::Access).await?;
    Ok(minted(key, material, old.roles))
}

/// Ends a key at once, and with the last key of an actor what the actor was granted.
pub async fn delete_key(
    tx: &mut (impl IamStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthKeyDelete, &[])?;
    let now = ambient.now();
    tx.lock_identity().await?;
    let before = tx.admins_until(now).await?;
    // One that is switched off can be deleted too; one that ended is no longer there to delete.
    let key = tx.key_for_update(id).await?.filter(|key| !key.ended(now));
    let key = key.ok_or_else(|| DomainError::not_found("API key", id))?;
    tx.revoke_key(id, &caller.context.actor.id, now).await?;
    let taken_back = if tx.working_keys_of(&key.name, Some(id), now).await? == 0 {
        tx.revoke_grants(&Actor::new(&key.name, ActorType::APIKey)).await?
    } else {
        Vec::new()
    };
    guard_admins(before, tx.admins_until(now).await?)?;
    let details = json!({"name": key.name, "roles_taken_back": taken_back});
    tx.record(AuditEvent::new(Action::ApiKeyRevoked, &caller.context, id, details)).await?;
    tx.announce(Change::Access).await?;
    Ok(())
}

/// Makes an agent's own key; the caller's use case records the enrolment.
pub async fn issue_agent_key(
    tx: &mut (impl IamStore + ?Sized),
    ambient: &Ambient,
    agent_id: &str,
) -> Result<Secret<String>, DomainError> {
    let material = mint(ambient);
    tx.insert_agent_credential(agent_id, &material.lookup_id, &material.hash, ambient.now()).await?;
    Ok(material.secret)
}

/// Ends every credential of an agent at once; the caller's use case records why.
pub async fn revoke_agent_keys(
    tx: &mut (impl IamStore + Announcer + ?Sized),
    ambient: &Ambient,
    agent_id: &str,
) -> Result<(), DomainError> {
    tx.revoke_agent_credentials(agent_id, ambient.now()).await?;
    tx.announce(Change::Access).await?;
    Ok(())
}

async fn working_key(tx: &mut (impl IamStore + ?Sized), id: &str, now: Timestamp) -> Result<StoredKey, DomainError> {
    tx.key_for_update(id).await?.filter(|key| key.works(now)).ok_or_else(|| DomainError::not_found("API key", id))
}

fn new_key(ambient: &Ambient, name: &str, material: &KeyMaterial, caller: &Caller) -> NewKey {
    NewKey {
        id: ambient.id(IdKind::ApiKey),
        name: name.to_owned(),
        lookup_id: Some(material.lookup_id.clone()),
        hash: material.hash.clone(),
        admin: false,
        created_by: caller.context.actor.id.clone(),
        source: KeySource::Manual,
        created_at: ambient.now(),
        expires_at: None,
        rotated_from: None,
        owner_user_id: None,
    }
}

fn minted(key: NewKey, material: KeyMaterial, roles: Vec<String>) -> MintedKey {
    MintedKey {
        id: key.id,
        name: key.name,
        lookup_id: material.lookup_id,
        secret: material.secret,
        created_by: key.created_by,
        created_at: key.created_at,
        expires_at: key.expires_at,
        rotated_from: key.rotated_from,
        owner_user_id: key.owner_user_id,
        roles,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_written_in_one_way() {
        for good in ["ada", "ada@example.com", "u-01jz", "a", &"a".repeat(128)] {
            assert_eq!(check_owner(Some(good)), Ok(()), "{good}");
        }
        assert_eq!(check_owner(None), Ok(()));
        for bad in ["", "Ada", "ada lovelace", "@ada", "käthe", &"a".repeat(129)] {
            assert!(check_owner(Some(bad)).is_err_and(|error| error.field == "owner_user_id"), "{bad}");
        }
    }

    #[test]
    fn names_are_plain_words_that_fit_a_path_and_a_log_line() {
        for good in ["ci-deploy", "a1b", "team.web_1", &"a".repeat(64)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "ab", "CI", ".hidden", "../etc", "a b c", "käse", &"a".repeat(65)] {
            assert!(check_name(bad).is_err_and(|error| error.field == "name"), "{bad}");
        }
    }
}
