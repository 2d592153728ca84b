//! Use cases of group mappings: who says what a group is worth gives rights away, and so gives only rights of its own.

use crate::{GroupMapping, LONGEST_GROUP, MappingFilter, OidcStore, Provider};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, FieldError, Id, IdKind, ListQuery, Page, StoreError};
use certctl_ports::Ambient;
use certctl_rbac::{
    Caller, Permission, RbacStore, Scope, current, guard_admins, guard_grant, require_scope, resolve_role,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Mappings that may be made at once.
pub const MOST_AT_ONCE: usize = 1000;
const LONGEST_DESCRIPTION: usize = 1024;

/// A mapping to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMapping {
    /// The group, as the provider names it.
    pub group_name: String,
    /// Id of the role.
    pub role_id: String,
    /// Where the role holds.
    pub scope: Scope,
    /// For people.
    pub description: String,
}

/// Mappings to make for a provider.
#[derive(Debug, Clone)]
pub struct AddMappings {
    /// The provider.
    pub provider_id: Id,
    /// What is made.
    pub mappings: Vec<NewMapping>,
    /// Those that are there already are left alone instead of being refused.
    pub skip_existing: bool,
}

/// A change of a mapping; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct EditMapping {
    /// Which.
    pub id: Id,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// The group.
    pub group_name: Option<String>,
    /// Id of the role.
    pub role_id: Option<String>,
    /// Where the role holds.
    pub scope: Option<Scope>,
    /// For people.
    pub description: Option<String>,
}

fn check(at: &str, wanted: &NewMapping) -> Result<(), FieldError> {
    let refuse = |field: &str, code: &str, message: String| Err(FieldError::new(format!("{at}{field}"), code, message));
    if wanted.group_name.trim().is_empty() {
        return refuse("group_name", "required", "group_name is required".to_owned());
    }
    if wanted.group_name.len() > LONGEST_GROUP {
        return refuse("group_name", "too_long", format!("must have at most {LONGEST_GROUP} bytes"));
    }
    if wanted.group_name.chars().any(char::is_control) {
        return refuse("group_name", "invalid", "must not contain control characters".to_owned());
    }
    if !wanted.role_id.starts_with("r-") {
        return refuse("role_id", "invalid_id", "must be the id of a role, which starts with r-".to_owned());
    }
    if wanted.description.chars().count() > LONGEST_DESCRIPTION {
        return refuse("description", "too_long", format!("must have at most {LONGEST_DESCRIPTION} characters"));
    }
    if wanted.description.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return refuse("description", "invalid", "must not contain control characters".to_owned());
    }
    Ok(())
}

fn details(mapping: &GroupMapping) -> Value {
    let mut out = json!({
        "mapping_id": mapping.id, "provider_id": mapping.provider_id, "group_name": mapping.group_name,
        "role_id": mapping.role_id, "scope_type": mapping.scope.kind().as_str(),
    });
    if let Some(id) = mapping.scope.id() {
        out["scope_id"] = json!(id);
    }
    out
}

fn clash(error: StoreError) -> DomainError {
    match error {
        StoreError::Duplicate { .. } => DomainError::conflict("conflict", "mapping already exists"),
        other => other.into(),
    }
}

fn missing(id: &str) -> DomainError {
    DomainError::not_found("mapping", id)
}

/// The caller as it stands now, when it may say what groups are worth; serialises with every other change of rights.
async fn giver(tx: &mut (impl RbacStore + ?Sized), ambient: &Ambient, caller: &Caller) -> Result<Caller, DomainError> {
    caller.require(Permission::AuthOidcEdit, &[])?;
    caller.require(Permission::AuthRoleAssign, &[])?;
    tx.lock_identity().await?;
    let caller = current(tx, caller, ambient.now()).await?;
    caller.require(Permission::AuthOidcEdit, &[])?;
    caller.require(Permission::AuthRoleAssign, &[])?;
    Ok(caller)
}

/// Whether the caller may give this role in this scope.
async fn guard(
    tx: &mut (impl RbacStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    role_id: &str,
    scope: &Scope,
) -> Result<(), DomainError> {
    let role = resolve_role(tx, role_id).await?;
    require_scope(tx, scope).await?;
    guard_grant(tx, caller, &role, scope, ambient.now()).await
}

async fn living(tx: &mut (impl OidcStore + ?Sized), provider_id: &str) -> Result<Provider, DomainError> {
    let found = tx.provider_for_update(provider_id).await?;
    match found {
        None => Err(DomainError::not_found("provider", provider_id)),
        Some(provider) if provider.archived_at.is_some() => {
            Err(DomainError::conflict("archived", "the provider is archived; its groups are worth nothing any more"))
        }
        Some(provider) => Ok(provider),
    }
}

/// Makes mappings, all or none; returns those that were made.
pub async fn add_mappings(
    tx: &mut (impl OidcStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: AddMappings,
) -> Result<Vec<GroupMapping>, DomainError> {
    caller.require(Permission::AuthOidcEdit, &[])?;
    if !command.provider_id.starts_with("op-") {
        return Err(DomainError::invalid(
            "provider_id",
            "invalid_id",
            "must be the id of a provider, which starts with op-",
        ));
    }
    if command.mappings.len() > MOST_AT_ONCE {
        return Err(DomainError::invalid("mappings", "too_many", format!("at most {MOST_AT_ONCE} at once")));
    }
    let several = command.mappings.len() != 1 || command.skip_existing;
    let at = |n: usize| if several { format!("mappings[{n}].") } else { String::new() };
    let broken: Vec<FieldError> =
        command.mappings.iter().enumerate().filter_map(|(n, wanted)| check(&at(n), wanted).err()).collect();
    if !broken.is_empty() {
        return Err(DomainError::Validation(broken));
    }
    let caller = &giver(tx, ambient, caller).await?;
    living(tx, &command.provider_id).await?;
    // Each role in each scope is looked at once, however many groups are worth it.
    let distinct: BTreeSet<(&str, &Scope)> =
        command.mappings.iter().map(|wanted| (wanted.role_id.as_str(), &wanted.scope)).collect();
    for (role_id, scope) in distinct {
        guard(tx, ambient, caller, role_id, scope).await?;
    }
    let mut there: BTreeSet<(String, String, Scope)> = BTreeSet::new();
    if command.skip_existing {
        let stored = tx.mappings_of(&command.provider_id).await?;
        there.extend(stored.into_iter().map(|mapping| (mapping.group_name, mapping.role_id, mapping.scope)));
    }
    let mut made = Vec::new();
    for wanted in command.mappings {
        let key = (wanted.group_name.clone(), wanted.role_id.clone(), wanted.scope.clone());
        if command.skip_existing && !there.insert(key) {
            continue;
        }
        made.push(GroupMapping {
            id: ambient.id(IdKind::GroupRoleMapping),
            tenant_id: DEFAULT_TENANT.to_owned(),
            provider_id: command.provider_id.clone(),
            group_name: wanted.group_name,
            role_id: wanted.role_id,
            scope: wanted.scope,
            description: wanted.description,
            created_by: caller.context.actor.id.clone(),
            created_at: ambient.now(),
            row_version: 1,
        });
    }
    tx.insert_mappings(&made).await.map_err(clash)?;
    for mapping in &made {
        let event = AuditEvent::new(Action::GroupMappingAdded, &caller.context, &mapping.id, details(mapping));
        tx.record(event).await?;
    }
    if made.is_empty() {
        let nothing = json!({"provider_id": command.provider_id, "already_there": true});
        let event = AuditEvent::new(Action::GroupMappingAdded, &caller.context, &command.provider_id, nothing);
        tx.record(event).await?;
    }
    Ok(made)
}

/// The mapping with this id.
pub async fn get_mapping(
    tx: &mut (impl OidcStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<GroupMapping, DomainError> {
    caller.require(Permission::AuthOidcList, &[])?;
    tx.mapping(id).await?.ok_or_else(|| missing(id))
}

/// One page of a provider's mappings, by the group's name.
pub async fn list_mappings(
    tx: &mut (impl OidcStore + ?Sized),
    caller: &Caller,
    filter: &MappingFilter,
    list: &ListQuery,
) -> Result<Page<GroupMapping>, DomainError> {
    caller.require(Permission::AuthOidcList, &[])?;
    Ok(tx.mappings_page(filter, list).await?)
}

/// Changes what a group is worth. Roles that nothing gives any more end at once, not at the next sign-in.
pub async fn update_mapping(
    tx: &mut (impl OidcStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: EditMapping,
) -> Result<GroupMapping, DomainError> {
    let caller = &giver(tx, ambient, caller).await?;
    let stored = tx.mapping_for_update(&command.id).await?.ok_or_else(|| missing(&command.id))?;
    if command.expected_version.is_some_and(|expected| expected != stored.row_version) {
        return Err(DomainError::PreconditionFailed);
    }
    let mut changed = stored.clone();
    changed.group_name = command.group_name.unwrap_or(changed.group_name);
    changed.role_id = command.role_id.unwrap_or(changed.role_id);
    changed.scope = command.scope.unwrap_or(changed.scope);
    changed.description = command.description.unwrap_or(changed.description);
    let as_new = NewMapping {
        group_name: changed.group_name.clone(),
        role_id: changed.role_id.clone(),
        scope: changed.scope.clone(),
        description: changed.description.clone(),
    };
    check("", &as_new).map_err(|error| DomainError::Validation(vec![error]))?;
    let worth = |mapping: &GroupMapping| (mapping.group_name.clone(), mapping.role_id.clone(), mapping.scope.clone());
    let mut ended = 0;
    if worth(&changed) == worth(&stored) {
        tx.update_mapping(&changed).await.map_err(clash)?;
    } else {
        guard(tx, ambient, caller, &changed.role_id, &changed.scope).await?;
        let before = tx.admins_until(ambient.now()).await?;
        tx.update_mapping(&changed).await.map_err(clash)?;
        ended = tx.end_unmapped_grants(&changed.provider_id).await?;
        guard_admins(before, tx.admins_until(ambient.now()).await?)?;
    }
    changed.row_version += 1;
    let mut told = details(&changed);
    told["before"] = details(&stored);
    told["described"] = json!(changed.description != stored.description);
    told["ended_grants"] = json!(ended);
    tx.record(AuditEvent::new(Action::GroupMappingUpdated, &caller.context, &changed.id, told)).await?;
    Ok(changed)
}

/// Removes a mapping. Roles that nothing gives any more end at once, not at the next sign-in.
pub async fn remove_mapping(
    tx: &mut (impl OidcStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthOidcEdit, &[])?;
    tx.lock_identity().await?;
    let stored = tx.mapping_for_update(id).await?.ok_or_else(|| missing(id))?;
    if expected_version.is_some_and(|expected| expected != stored.row_version) {
        return Err(DomainError::PreconditionFailed);
    }
    let before = tx.admins_until(ambient.now()).await?;
    tx.delete_mappings(std::slice::from_ref(&stored.id)).await?;
    let ended = tx.end_unmapped_grants(&stored.provider_id).await?;
    guard_admins(before, tx.admins_until(ambient.now()).await?)?;
    let mut told = details(&stored);
    told["ended_grants"] = json!(ended);
    tx.record(AuditEvent::new(Action::GroupMappingRemoved, &caller.context, id, told)).await?;
    Ok(())
}
