//! Roles of operators' own making.

use crate::grants::{require_scope, scope_details};
use crate::{
    Caller, EffectivePermission, Permission, RbacStore, Role, RolePermission, Scope, current,
    guard_against_giving_more, resolve_role,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, FieldError, IdKind};
use certctl_ports::Ambient;
use serde_json::{Map, Value, json};

/// A role to make.
#[derive(Debug, Clone, Default)]
pub struct CreateRole {
    /// Unique without regard to case.
    pub name: String,
    /// For people.
    pub description: String,
    /// A role whose permissions it starts with: an id, or a default role's short name.
    pub clone_of: Option<String>,
}

/// A change of a role.
#[derive(Debug, Clone, Default)]
pub struct UpdateRole {
    /// Which.
    pub id: String,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// New name; empty means unchanged.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
}

/// A permission to add to a role or to take from it.
#[derive(Debug, Clone)]
pub struct EditPermission {
    /// The role.
    pub role_id: String,
    /// The row version of the role that the caller has seen.
    pub expected_version: Option<i64>,
    /// The permission.
    pub permission: Permission,
    /// Where it holds.
    pub scope: Scope,
}

/// A role with what it permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleInFull {
    /// The role.
    pub role: Role,
    /// By permission and scope.
    pub permissions: Vec<RolePermission>,
}

fn check(name: &str, description: &str) -> Result<(), DomainError> {
    let mut errors = Vec::new();
    let control = |text: &str| text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    if name.is_empty() {
        errors.push(FieldError::new("name", "required", "is required"));
    } else if name.chars().count() > 255 {
        errors.push(FieldError::new("name", "too_long", "must have at most 255 characters"));
    } else if name.chars().any(char::is_control) {
        errors.push(FieldError::new("name", "invalid", "must not contain control characters"));
    }
    if description.chars().count() > 2000 {
        errors.push(FieldError::new("description", "too_long", "must have at most 2000 characters"));
    } else if control(description) {
        errors.push(FieldError::new("description", "invalid", "must not contain control characters"));
    }
    if errors.is_empty() { Ok(()) } else { Err(DomainError::Validation(errors)) }
}

/// The role, locked, if it may be changed and is still the one that the caller has seen.
async fn editable(
    tx: &mut (impl RbacStore + ?Sized),
    id: &str,
    expected_version: Option<i64>,
) -> Result<Role, DomainError> {
    let role = tx.role_for_update(id).await?.ok_or_else(|| DomainError::not_found("role", id))?;
    if role.system {
        return Err(DomainError::conflict(
            "system_role",
            format!("{} comes with the product and can't be changed; clone it and change the clone", role.id),
        ));
    }
    if expected_version.is_some_and(|expected| expected != role.row_version) {
        return Err(DomainError::PreconditionFailed);
    }
    Ok(role)
}

/// Every role, by name.
pub async fn list_roles(tx: &mut (impl RbacStore + ?Sized), caller: &Caller) -> Result<Vec<Role>, DomainError> {
    caller.require(Permission::AuthRoleList, &[])?;
    Ok(tx.roles().await?)
}

/// A role with what it permits.
pub async fn get_role(
    tx: &mut (impl RbacStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<RoleInFull, DomainError> {
    caller.require(Permission::AuthRoleList, &[])?;
    let role = tx.role(id).await?.ok_or_else(|| DomainError::not_found("role", id))?;
    let mut permissions = tx.permissions_of(std::slice::from_ref(&role.id)).await?;
    permissions.sort_by(|a, b| (a.permission.as_str(), &a.scope).cmp(&(b.permission.as_str(), &b.scope)));
    Ok(RoleInFull { role, permissions })
}

/// Makes a role, empty or with the permissions of another. The caller must hold all that the role will permit.
pub async fn create_role(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateRole,
) -> Result<Role, DomainError> {
    caller.require(Permission::AuthRoleCreate, &[])?;
    let now = ambient.now();
    let name = command.name.trim().to_owned();
    check(&name, &command.description)?;
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthRoleCreate, &[])?;
    let source = match command.clone_of.as_deref().filter(|role| !role.is_empty()) {
        Some(role) => Some(resolve_role(tx, role).await?),
        None => None,
    };
    let copied: Vec<EffectivePermission> = match &source {
        Some(role) => tx
            .permissions_of(std::slice::from_ref(&role.id))
            .await?
            .into_iter()
            .map(|entry| EffectivePermission { permission: entry.permission, scope: entry.scope })
            .collect(),
        None => Vec::new(),
    };
    guard_against_giving_more(caller, copied.iter().cloned())?;
    let role = Role {
        id: ambient.id(IdKind::Role),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name,
        description: command.description,
        system: false,
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    tx.insert_role(&role).await?;
    tx.add_role_permissions(&role.id, &copied).await?;
    let details = json!({
        "name": role.name, "description": role.description, "tenant_id": role.tenant_id,
        "clone_of": source.map(|role| role.id),
        "permissions": copied.iter().map(|held| held.permission.as_str()).collect::<Vec<_>>(),
    });
    tx.record(AuditEvent::new(Action::RoleCreate, &caller.context, &role.id, details)).await?;
    Ok(role)
}

/// Changes a role's name and description.
pub async fn update_role(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: UpdateRole,
) -> Result<Role, DomainError> {
    caller.require(Permission::AuthRoleEdit, &[])?;
    let stored = editable(tx, &command.id, command.expected_version).await?;
    let mut role = stored.clone();
    if let Some(name) = command.name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
        name.clone_into(&mut role.name);
    }
    if let Some(description) = command.description {
        role.description = description;
    }
    role.updated_at = ambient.now();
    check(&role.name, &role.description)?;
    tx.update_role(&role).await?;
    role.row_version += 1;
    let mut changes = Map::new();
    for (field, old, new) in
        [("name", &stored.name, &role.name), ("description", &stored.description, &role.description)]
    {
        if old != new {
            changes.insert(field.to_owned(), json!([old, new]));
        }
    }
    let details = json!({"name": role.name, "changes": changes});
    tx.record(AuditEvent::new(Action::RoleUpdate, &caller.context, &role.id, details)).await?;
    Ok(role)
}

/// Removes a role that nobody holds.
pub async fn delete_role(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthRoleDelete, &[])?;
    tx.lock_identity().await?;
    let role = editable(tx, id, expected_version).await?;
    let usage = tx.role_usage(id, ambient.now()).await?;
    if usage.grants > 0 {
        return Err(DomainError::conflict(
            "dependency_blocked",
            format!("the role is granted {} times; revoke it first", usage.grants),
        ));
    }
    let permissions = tx.permissions_of(std::slice::from_ref(&role.id)).await?;
    tx.delete_role(id).await?;
    let details = json!({"name": role.name, "permissions": permissions.iter().map(entry_details).collect::<Vec<_>>()});
    tx.record(AuditEvent::new(Action::RoleDelete, &caller.context, id, details)).await?;
    Ok(())
}

fn entry_details(entry: &RolePermission) -> Value {
    let mut details = json!({"permission": entry.permission.as_str()});
    scope_details(&mut details, &entry.scope);
    details
}

/// Adds a permission to a role. The caller must hold it itself; and because whoever holds the role gains it with that,
/// adding to a role that is granted to somebody needs the right to assign as well.
pub async fn add_permission(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: EditPermission,
) -> Result<Role, DomainError> {
    caller.require(Permission::AuthRoleEdit, &[])?;
    let now = ambient.now();
    tx.lock_identity().await?;
    let caller = &current(tx, caller, now).await?;
    caller.require(Permission::AuthRoleEdit, &[])?;
    let role = editable(tx, &command.role_id, command.expected_version).await?;
    require_scope(tx, &command.scope).await?;
    let added = EffectivePermission { permission: command.permission, scope: command.scope };
    guard_against_giving_more(caller, [added.clone()])?;
    if tx.role_usage(&role.id, now).await?.live_grants > 0 {
        caller.require(Permission::AuthRoleAssign, &[])?;
    }
    let new = tx.add_role_permissions(&role.id, std::slice::from_ref(&added)).await? > 0;
    edited(tx, ambient, caller, role, &added, Action::RolePermissionAdd, new).await
}

/// Takes a permission from a role; it is no error when the role does not have it.
pub async fn remove_permission(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: EditPermission,
) -> Result<Role, DomainError> {
    caller.require(Permission::AuthRoleEdit, &[])?;
    tx.lock_identity().await?;
    let role = editable(tx, &command.role_id, command.expected_version).await?;
    let removed = EffectivePermission { permission: command.permission, scope: command.scope };
    let had = tx.remove_role_permission(&role.id, &removed).await?;
    edited(tx, ambient, caller, role, &removed, Action::RolePermissionRemove, had).await
}

async fn edited(
    tx: &mut (impl RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    mut role: Role,
    entry: &EffectivePermission,
    action: Action,
    changed: bool,
) -> Result<Role, DomainError> {
    let mut details = json!({
        "role_id": role.id, "permission": entry.permission.as_str(),
    });
    scope_details(&mut details, &entry.scope);
    if changed {
        let adds = action == Action::RolePermissionAdd;
        details["changes"] = json!({"held": [!adds, adds]});
        role.updated_at = ambient.now();
        tx.update_role(&role).await?;
        role.row_version += 1;
    }
    tx.record(AuditEvent::new(action, &caller.context, &role.id, details)).await?;
    Ok(role)
}
