//! Use cases of owners.

use crate::rules::{Broken, Changes, check_version, chosen, id_or_fresh, refuse_if_used, set_unless_empty};
use crate::{OrgFilter, OrgStore, Owner, Patch};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, IdKind, ListQuery, Page};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use certctl_x509::San;
use serde_json::json;

/// An owner to create.
#[derive(Debug, Clone, Default)]
pub struct CreateOwner {
    /// An id of the caller's choice.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// Where notifications go, or empty.
    pub email: String,
    /// The owner's team.
    pub team_id: String,
}

/// A change of an owner.
#[derive(Debug, Clone, Default)]
pub struct UpdateOwner {
    /// Which.
    pub id: String,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// New name.
    pub name: Option<String>,
    /// New address.
    pub email: Patch<String>,
    /// New team.
    pub team_id: Option<String>,
}

fn check(owner: &Owner) -> Result<(), DomainError> {
    let mut broken = Broken::default();
    broken.check_name("name", &owner.name);
    broken.check_reference("team_id", &owner.team_id);
    let sound =
        owner.email.is_empty() || (owner.email.len() <= 254 && matches!(San::parse(&owner.email), Ok(San::Email(_))));
    if !sound {
        broken.add("email", "invalid_email", "must be a mail address, such as pki@example.com, or empty");
    }
    broken.settle()
}

/// Creates an owner.
pub async fn create_owner(
    tx: &mut (impl OrgStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateOwner,
) -> Result<Owner, DomainError> {
    caller.require(Permission::OwnerEdit, &[])?;
    let id = chosen(command.id);
    let mut broken = Broken::default();
    broken.check_id(id.as_ref());
    broken.settle()?;
    let now = ambient.now();
    let owner = Owner {
        id: id_or_fresh(id, IdKind::Owner, ambient),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: command.name.trim().to_owned(),
        email: command.email.trim().to_owned(),
        team_id: command.team_id.trim().to_owned(),
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    check(&owner)?;
    tx.insert_owner(&owner).await?;
    let details = json!({"name": owner.name, "team_id": owner.team_id});
    tx.record(AuditEvent::new(Action::CreateOwner, &caller.context, &owner.id, details)).await?;
    Ok(owner)
}

/// The owner with this id.
pub async fn get_owner(tx: &mut (impl OrgStore + ?Sized), caller: &Caller, id: &str) -> Result<Owner, DomainError> {
    caller.require(Permission::OwnerRead, &[])?;
    tx.owner(id).await?.ok_or_else(|| DomainError::not_found("owner", id))
}

/// One page of owners, newest first.
pub async fn list_owners(
    tx: &mut (impl OrgStore + ?Sized),
    caller: &Caller,
    filter: &OrgFilter,
    list: &ListQuery,
) -> Result<Page<Owner>, DomainError> {
    caller.require(Permission::OwnerRead, &[])?;
    Ok(tx.owners_page(filter, list).await?)
}

/// Changes an owner.
pub async fn update_owner(
    tx: &mut (impl OrgStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: UpdateOwner,
) -> Result<Owner, DomainError> {
    caller.require(Permission::OwnerEdit, &[])?;
    let stored =
        tx.owner_for_update(&command.id).await?.ok_or_else(|| DomainError::not_found("owner", &*command.id))?;
    check_version(command.expected_version, stored.row_version)?;
    let mut owner = stored.clone();
    set_unless_empty(command.name, &mut owner.name);
    command.email.apply(&mut owner.email, String::new());
    owner.email = owner.email.trim().to_owned();
    set_unless_empty(command.team_id, &mut owner.team_id);
    owner.updated_at = ambient.now();
    check(&owner)?;
    tx.update_owner(&owner).await?;
    owner.row_version += 1;
    let mut changes = Changes::default();
    changes.note("name", &stored.name, &owner.name);
    changes.note("email", &stored.email, &owner.email);
    changes.note("team_id", &stored.team_id, &owner.team_id);
    tx.record(AuditEvent::new(Action::UpdateOwner, &caller.context, &owner.id, changes.into_details())).await?;
    Ok(owner)
}

/// Removes an owner that no certificate names.
pub async fn delete_owner(
    tx: &mut (impl OrgStore + AuditLog + ?Sized),
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    caller.require(Permission::OwnerDelete, &[])?;
    let owner = tx.owner_for_update(id).await?.ok_or_else(|| DomainError::not_found("owner", id))?;
    check_version(expected_version, owner.row_version)?;
    refuse_if_used("owner", &[("certificates", tx.owner_usage(id).await?)])?;
    tx.delete_owner(id).await?;
    tx.record(AuditEvent::new(Action::DeleteOwner, &caller.context, id, json!({"name": owner.name}))).await?;
    Ok(())
}
