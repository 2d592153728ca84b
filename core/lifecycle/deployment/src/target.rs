//! Making, changing and removing targets.

use crate::command::check_commands;
use crate::config::{open, part, seal, unmask};
use crate::{DeploymentStore, Target, TargetFilter};
use certctl_agents::AgentStore;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::Patch;
use certctl_kernel::{DEFAULT_TENANT, DomainError, FieldError, IdKind, ListQuery, Page, StoreError};
use certctl_port_target::{TARGET_TYPES, TargetCatalogue};
use certctl_ports::{Ambient, Sealer};
use certctl_rbac::{Caller, Permission};
use serde_json::{Map, Value, json};

/// What checks configurations and seals their secrets.
#[derive(Clone, Copy)]
pub struct TargetRules<'a> {
    /// Which types exist, and their rules.
    pub catalogue: &'a dyn TargetCatalogue,
    /// Seals secret members.
    pub sealer: &'a dyn Sealer,
}

/// A target to make.
#[derive(Debug, Clone)]
pub struct CreateTarget {
    /// Chosen id.
    pub id: Option<String>,
    /// Unique name among the agent's targets.
    pub name: String,
    /// Type, in any case.
    pub kind: String,
    /// The agent that serves it.
    pub agent_id: String,
    /// Configuration, complete.
    pub config: Value,
    /// Whether it takes deployments.
    pub enabled: bool,
}

/// A partial update.
#[derive(Debug, Clone, Default)]
pub struct UpdateTarget {
    /// New name.
    pub name: Patch<String>,
    /// New type.
    pub kind: Patch<String>,
    /// New agent.
    pub agent_id: Patch<String>,
    /// New configuration, complete; members that read `********` keep their stored secret.
    pub config: Patch<Value>,
    /// Whether it takes deployments.
    pub enabled: Patch<bool>,
    /// The row version that the caller saw.
    pub expected_version: Option<i64>,
}

const LONGEST_NAME: usize = 255;

fn check_name(name: &str) -> Option<FieldError> {
    if name.trim().is_empty() {
        return Some(FieldError::new("name", "required", "name is required"));
    }
    (name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control)).then(|| {
        FieldError::new(
            "name",
            "invalid",
            format!("must be at most {LONGEST_NAME} characters without control characters"),
        )
    })
}

fn known_type(kind: &str) -> Result<&'static str, FieldError> {
    if kind.trim().is_empty() {
        return Err(FieldError::new("type", "required", "type is required, such as NGINX"));
    }
    TARGET_TYPES
        .iter()
        .find(|known| known.eq_ignore_ascii_case(kind.trim()))
        .copied()
        .ok_or_else(|| FieldError::new("type", "unknown_value", format!("must be one of {}", TARGET_TYPES.join(", "))))
}

fn check_config(rules: TargetRules<'_>, kind: &str, config: &Value) -> Vec<FieldError> {
    if !config.is_object() {
        return vec![FieldError::new("config", "wrong_type", "must be an object")];
    }
    let mut errors = check_commands(config);
    for error in rules.catalogue.validate_config(kind, config).err().unwrap_or_default() {
        if !errors.iter().any(|known| known.field == error.field) {
            errors.push(error);
        }
    }
    errors
}

/// The agent must be in service, and stays so until the target is stored.
async fn check_agent(tx: &mut (impl AgentStore + ?Sized), id: &str) -> Result<Option<FieldError>, StoreError> {
    if id.is_empty() {
        return Ok(Some(FieldError::new("agent_id", "required", "agent_id is required")));
    }
    Ok(match tx.agent_held(id).await? {
        None => Some(FieldError::new("agent_id", "unknown_reference", "names an agent that does not exist")),
        Some(agent) if agent.retired_at.is_some() => {
            Some(FieldError::new("agent_id", "agent_retired", "names a retired agent"))
        }
        Some(_) => None,
    })
}

/// Makes a target.
pub async fn create_target(
    tx: &mut (impl DeploymentStore + AgentStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    rules: TargetRules<'_>,
    command: CreateTarget,
) -> Result<Target, DomainError> {
    caller.require(Permission::TargetEdit, &[])?;
    let mut errors = Vec::new();
    if let Some(id) = &command.id
        && let Err(error) = IdKind::check_supplied(id)
    {
        errors.push(FieldError::new("id", "invalid", error.to_string()));
    }
    errors.extend(check_name(&command.name));
    let mut kind = "";
    match known_type(&command.kind) {
        Ok(known) => {
            kind = known;
            errors.extend(check_config(rules, known, &command.config));
        }
        Err(error) => errors.push(error),
    }
    errors.extend(check_agent(tx, &command.agent_id).await?);
    if !errors.is_empty() {
        return Err(DomainError::Validation(errors));
    }
    let now = ambient.now();
    let id = command.id.unwrap_or_else(|| ambient.id(IdKind::Target));
    let mut config = command.config;
    let secret_members = rules.catalogue.secret_members(kind);
    unmask(&mut config, secret_members, &Map::new());
    let (config, secrets) = part(config, secret_members);
    let target = Target {
        sealed_config: seal(rules.sealer, &id, &secrets)?,
        id,
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: command.name.trim().to_owned(),
        kind: kind.to_owned(),
        agent_id: command.agent_id,
        config,
        config_version: 1,
        enabled: command.enabled,
        last_tested_at: None,
        test_status: "untested".to_owned(),
        source: "database".to_owned(),
        retired_at: None,
        retired_reason: None,
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    tx.insert_target(&target).await?;
    let details = json!({
        "name": target.name, "type": target.kind, "agent_id": target.agent_id, "config": target.config,
        "enabled": target.enabled,
    });
    tx.record(AuditEvent::new(Action::CreateTarget, &caller.context, &target.id, details)).await?;
    Ok(target)
}

/// One page of targets, newest first.
pub async fn list_targets(
    tx: &mut (impl DeploymentStore + ?Sized),
    caller: &Caller,
    filter: &TargetFilter,
    list: &ListQuery,
) -> Result<Page<Target>, DomainError> {
    caller.require(Permission::TargetRead, &[])?;
    Ok(tx.targets_page(filter, list).await?)
}

/// One target, in service or not.
pub async fn get_target(
    tx: &mut (impl DeploymentStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<Target, DomainError> {
    caller.require(Permission::TargetRead, &[])?;
    tx.target(id).await?.ok_or_else(|| DomainError::not_found("target", id))
}

fn set<T: Clone>(patch: &Patch<T>, field: &str, errors: &mut Vec<FieldError>) -> Option<T> {
    match patch {
        Patch::Keep => None,
        Patch::Set(value) => Some(value.clone()),
        Patch::Clear => {
            errors.push(FieldError::new(field, "not_nullable", "must not be null"));
            None
        }
    }
}

/// Changes a target; what is checked at creation is checked again.
pub async fn update_target(
    tx: &mut (impl DeploymentStore + AgentStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    rules: TargetRules<'_>,
    id: &str,
    command: UpdateTarget,
) -> Result<Target, DomainError> {
    caller.require(Permission::TargetEdit, &[])?;
    let mut errors = Vec::new();
    let is_text = |text: &String| !text.trim().is_empty();
    // Empty text of a required member means: unchanged.
    let name = set(&command.name, "name", &mut errors).filter(is_text);
    let kind = set(&command.kind, "type", &mut errors).filter(is_text);
    let agent_id = set(&command.agent_id, "agent_id", &mut errors).filter(is_text);
    let config = set(&command.config, "config", &mut errors);
    let enabled = set(&command.enabled, "enabled", &mut errors);

    let stored = tx.target_for_update(id).await?.ok_or_else(|| DomainError::not_found("target", id))?;
    if command.expected_version.is_some_and(|version| version != stored.row_version) {
        return Err(DomainError::PreconditionFailed);
    }
    if stored.retired_at.is_some() {
        return Err(DomainError::conflict("target_retired", "the target is out of service; make another"));
    }
    let mut target = stored.clone();
    if let Some(name) = name {
        errors.extend(check_name(&name));
        name.trim().clone_into(&mut target.name);
    }
    if let Some(kind) = kind {
        match known_type(&kind) {
            Ok(known) => known.clone_into(&mut target.kind),
            Err(error) => errors.push(error),
        }
    }
    if let Some(agent) = agent_id.filter(|agent| *agent != stored.agent_id) {
        errors.extend(check_agent(tx, &agent).await?);
        if tx.target_usage(id).await?.certificates > 0 {
            let message = "certificates are attached, and their keys stay with the present agent; detach them first";
            return Err(DomainError::conflict("dependency_blocked", message));
        }
        target.agent_id = agent;
    }
    target.enabled = enabled.unwrap_or(target.enabled);
    if config.is_some() || target.kind != stored.kind {
        let secret_members = rules.catalogue.secret_members(&target.kind);
        let known = open(rules.sealer, id, stored.sealed_config.as_deref())?;
        let mut whole = config.unwrap_or_else(|| stored.config.clone());
        unmask(&mut whole, secret_members, &known);
        errors.extend(check_config(rules, &target.kind, &whole));
        let (plain, secrets) = part(whole, secret_members);
        if plain != stored.config || secrets != known {
            target.config = plain;
            target.sealed_config = seal(rules.sealer, id, &secrets)?;
            target.config_version += 1;
            // What was found out about the old configuration says nothing of the new one.
            "untested".clone_into(&mut target.test_status);
            target.last_tested_at = None;
        }
    }
    if !errors.is_empty() {
        return Err(DomainError::Validation(errors));
    }
    target.updated_at = ambient.now();
    tx.update_target(&target).await?;
    target.row_version += 1;
    let mut changes = Map::new();
    let mut note = |field: &str, old: Value, new: Value| {
        if old != new {
            changes.insert(field.to_owned(), json!([old, new]));
        }
    };
    note("name", json!(stored.name), json!(target.name));
    note("type", json!(stored.kind), json!(target.kind));
    note("agent_id", json!(stored.agent_id), json!(target.agent_id));
    note("enabled", json!(stored.enabled), json!(target.enabled));
    note("config", stored.config, target.config.clone());
    note("config_version", json!(stored.config_version), json!(target.config_version));
    let details = json!({"changes": changes});
    tx.record(AuditEvent::new(Action::UpdateTarget, &caller.context, id, details)).await?;
    Ok(target)
}

/// Takes a target out of service. `detach` takes it from its certificates, `force` also calls its open jobs off.
pub async fn delete_target(
    tx: &mut (impl DeploymentStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
    detach: bool,
    force: bool,
) -> Result<(), DomainError> {
    caller.require(Permission::TargetDelete, &[])?;
    let target = tx
        .target_for_update(id)
        .await?
        .filter(|target| target.retired_at.is_none())
        .ok_or_else(|| DomainError::not_found("target", id))?;
    if expected_version.is_some_and(|version| version != target.row_version) {
        return Err(DomainError::PreconditionFailed);
    }
    let usage = tx.target_usage(id).await?;
    if usage.certificates > 0 && !detach && !force {
        let message =
            format!("{} certificates are attached; detach them, or repeat with detach=true", usage.certificates);
        return Err(DomainError::conflict("dependency_blocked", message));
    }
    if usage.open_jobs > 0 && !force {
        let message = format!("{} jobs are open; wait for them, or repeat with force=true", usage.open_jobs);
        return Err(DomainError::conflict("dependency_blocked", message));
    }
    tx.retire_target(id, Some("deleted"), ambient.now()).await?;
    let details = json!({
        "name": target.name, "type": target.kind, "agent_id": target.agent_id,
        "detached_certificates": usage.certificates, "cancelled_jobs": usage.open_jobs,
    });
    tx.record(AuditEvent::new(Action::DeleteTarget, &caller.context, id, details)).await?;
    Ok(())
}
