//! Use cases of teams.

use crate::rules::{Broken, Changes, check_version, chosen, id_or_fresh, refuse_if_used, set_unless_empty};
use crate::{OrgFilter, OrgStore, Patch, Team};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, IdKind, ListQuery, Page};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;

/// A team to create.
#[derive(Debug, Clone, Default)]
pub struct CreateTeam {
    /// An id of the caller's choice.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// For people.
    pub description: String,
}

/// A change of a team.
#[derive(Debug, Clone, Default)]
pub struct UpdateTeam {
    /// Which.
    pub id: String,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Patch<String>,
}

fn check(team: &Team) -> Result<(), DomainError> {
    let mut broken = Broken::default();
    broken.check_name("name", &team.name);
    broken.check_text("description", &team.description, 4096);
    broken.settle()
}

/// Creates a team.
pub async fn create_team(
    tx: &mut (impl OrgStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateTeam,
) -> Result<Team, DomainError> {
    caller.require(Permission::TeamEdit, &[])?;
    let id = chosen(command.id);
    let mut broken = Broken::default();
    broken.check_id(id.as_ref());
    broken.settle()?;
    let now = ambient.now();
    let team = Team {
        id: id_or_fresh(id, IdKind::Team, ambient),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: command.name.trim().to_owned(),
        description: command.description,
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    check(&team)?;
    tx.insert_team(&team).await?;
    tx.record(AuditEvent::new(Action::CreateTeam, &caller.context, &team.id, json!({"name": team.name}))).await?;
    Ok(team)
}

/// The team with this id.
pub async fn get_team(tx: &mut (impl OrgStore + ?Sized), caller: &Caller, id: &str) -> Result<Team, DomainError> {
    caller.require(Permission::TeamRead, &[])?;
    tx.team(id).await?.ok_or_else(|| DomainError::not_found("team", id))
}

/// One page of teams, newest first.
pub async fn list_teams(
    tx: &mut (impl OrgStore + ?Sized),
    caller: &Caller,
    filter: &OrgFilter,
    list: &ListQuery,
) -> Result<Page<Team>, DomainError> {
    caller.require(Permission::TeamRead, &[])?;
    Ok(tx.teams_page(filter, list).await?)
}

/// Changes a team.
pub async fn update_team(
    tx: &mut (impl OrgStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: UpdateTeam,
) -> Result<Team, DomainError> {
    caller.require(Permission::TeamEdit, &[])?;
    let stored = tx.team_for_update(&command.id).await?.ok_or_else(|| DomainError::not_found("team", &*command.id))?;
    check_version(command.expected_version, stored.row_version)?;
    let mut team = stored.clone();
    set_unless_empty(command.name, &mut team.name);
    command.description.apply(&mut team.description, String::new());
    team.updated_at = ambient.now();
    check(&team)?;
    tx.update_team(&team).await?;
    team.row_version += 1;
    let mut changes = Changes::default();
    changes.note("name", &stored.name, &team.name);
    changes.note("description", &stored.description, &team.description);
    tx.record(AuditEvent::new(Action::UpdateTeam, &caller.context, &team.id, changes.into_details())).await?;
    Ok(team)
}

/// Removes a team that nothing refers to.
pub async fn delete_team(
    tx: &mut (impl OrgStore + AuditLog + ?Sized),
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    caller.require(Permission::TeamDelete, &[])?;
    let team = tx.team_for_update(id).await?.ok_or_else(|| DomainError::not_found("team", id))?;
    check_version(expected_version, team.row_version)?;
    let usage = tx.team_usage(id).await?;
    refuse_if_used("team", &[("owners", usage.owners), ("certificates", usage.certificates)])?;
    tx.delete_team(id).await?;
    tx.record(AuditEvent::new(Action::DeleteTeam, &caller.context, id, json!({"name": team.name}))).await?;
    Ok(())
}
