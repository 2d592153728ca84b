//! Use cases of identity providers.

use crate::validation::{default_scopes, settle};
use crate::{
    AtHashPolicy, GroupsClaimFormat, GroupsOverage, OidcStore, OutboundPolicy, Provider, ProviderFilter,
    ProviderSettings, ProviderUsage,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, Id, IdKind, ListQuery, Page, Secret};
use certctl_ports::{Ambient, Sealer};
use certctl_rbac::{Caller, Permission, RbacStore, Scope, current, guard_grant, resolve_role};
use certctl_secrets::SealedColumn;
use certctl_session::SessionStore;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A change of a provider.
#[derive(Debug, Clone)]
pub struct EditProvider {
    /// Which.
    pub id: Id,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// What changes.
    pub settings: ProviderSettings,
}

fn missing(id: &str) -> DomainError {
    DomainError::not_found("provider", id)
}

fn name_clash(error: certctl_kernel::StoreError) -> DomainError {
    match error {
        certctl_kernel::StoreError::Duplicate { field, existing_id } if field == "name" => {
            DomainError::Conflict { code: "conflict", message: "provider name already exists".to_owned(), existing_id }
        }
        other => other.into(),
    }
}

fn archived(provider: &Provider) -> Result<(), DomainError> {
    match provider.archived_at {
        None => Ok(()),
        Some(_) => Err(DomainError::conflict("archived", "the provider is archived and can't be changed any more")),
    }
}

fn check_version(expected: Option<i64>, stored: i64) -> Result<(), DomainError> {
    if expected.is_some_and(|expected| expected != stored) { Err(DomainError::PreconditionFailed) } else { Ok(()) }
}

fn seal(sealer: &dyn Sealer, id: &str, secret: &Secret<String>) -> Result<Vec<u8>, DomainError> {
    sealer
        .seal(secret.expose().as_bytes(), SealedColumn::OIDC_CLIENT_SECRET.cell(id))
        .map_err(|error| DomainError::Internal { reason: format!("the client secret can't be sealed: {error}") })
}

/// Everybody within the hosted domain will hold the role: who says so must hold all that it permits.
async fn guard_default_role(
    tx: &mut (impl RbacStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    role: &str,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthRoleAssign, &[])?;
    tx.lock_identity().await?;
    let caller = &current(tx, caller, ambient.now()).await?;
    caller.require(Permission::AuthRoleAssign, &[])?;
    let role = resolve_role(tx, role).await?;
    guard_grant(tx, caller, &role, &Scope::Global, ambient.now()).await
}

/// A provider that nothing is set of yet.
fn blank(ambient: &Ambient) -> Provider {
    let now = ambient.now();
    Provider {
        id: ambient.id(IdKind::OidcProvider),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: String::new(),
        issuer_url: String::new(),
        client_id: String::new(),
        sealed_client_secret: Vec::new(),
        redirect_uri: String::new(),
        groups_claim_path: "groups".to_owned(),
        groups_claim_format: GroupsClaimFormat::StringArray,
        more_groups_claim_paths: Vec::new(),
        fetch_userinfo: false,
        scopes: default_scopes(),
        allowed_email_domains: Vec::new(),
        require_verified_email: true,
        iat_window_seconds: 300,
        jwks_cache_ttl_seconds: 3600,
        at_hash_policy: AtHashPolicy::IfPresent,
        groups_overage: GroupsOverage::Refuse,
        hosted_domain: String::new(),
        default_role_id: None,
        rp_initiated_logout: false,
        ca_bundle_pem: String::new(),
        enabled: true,
        archived_at: None,
        row_version: 1,
        created_at: now,
        updated_at: now,
    }
}

/// Checks what a provider would be made of, and gives it, without making it: what is asked of the provider over the network comes
/// after it and before [`create_provider`].
pub fn check_new_provider(
    ambient: &Ambient,
    caller: &Caller,
    settings: &ProviderSettings,
    policy: OutboundPolicy,
) -> Result<Provider, DomainError> {
    caller.require(Permission::AuthOidcCreate, &[])?;
    settle(&blank(ambient), settings, false, policy)
}

/// Makes a provider.
pub async fn create_provider(
    tx: &mut (impl OidcStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
    caller: &Caller,
    settings: &ProviderSettings,
    policy: OutboundPolicy,
) -> Result<Provider, DomainError> {
    caller.require(Permission::AuthOidcCreate, &[])?;
    let mut made = settle(&blank(ambient), settings, false, policy)?;
    if let Some(role) = &made.default_role_id {
        guard_default_role(tx, ambient, caller, role).await?;
    }
    if let Some(secret) = &settings.client_secret {
        made.sealed_client_secret = seal(sealer, &made.id, secret)?;
    }
    tx.insert_provider(&made).await.map_err(name_clash)?;
    let details = json!({
        "provider_id": made.id, "name": made.name, "issuer_url": made.issuer_url, "client_id": made.client_id,
        "enabled": made.enabled, "default_role_id": made.default_role_id,
    });
    tx.record(AuditEvent::new(Action::OidcProviderCreated, &caller.context, &made.id, details)).await?;
    Ok(made)
}

/// The provider with this id.
pub async fn get_provider(
    tx: &mut (impl OidcStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<Provider, DomainError> {
    caller.require(Permission::AuthOidcList, &[])?;
    tx.provider(id).await?.ok_or_else(|| missing(id))
}

/// One page of providers, oldest first.
pub async fn list_providers(
    tx: &mut (impl OidcStore + ?Sized),
    caller: &Caller,
    filter: &ProviderFilter,
    list: &ListQuery,
) -> Result<Page<Provider>, DomainError> {
    caller.require(Permission::AuthOidcList, &[])?;
    Ok(tx.providers_page(filter, list).await?)
}

/// What an update changed: member → [old, new].
#[derive(Default)]
struct Changes(Map<String, Value>);

impl Changes {
    fn note<T: Serialize + PartialEq>(&mut self, member: &str, old: &T, new: &T) {
        if old != new {
            self.0.insert(member.to_owned(), json!([old, new]));
        }
    }
}

fn changes(old: &Provider, new: &Provider, new_secret: bool) -> Changes {
    let mut out = Changes::default();
    out.note("name", &old.name, &new.name);
    out.note("issuer_url", &old.issuer_url, &new.issuer_url);
    out.note("client_id", &old.client_id, &new.client_id);
    out.note("redirect_uri", &old.redirect_uri, &new.redirect_uri);
    out.note("groups_claim_path", &old.groups_claim_path, &new.groups_claim_path);
    out.note("groups_claim_format", &old.groups_claim_format.as_str(), &new.groups_claim_format.as_str());
    out.note("more_groups_claim_paths", &old.more_groups_claim_paths, &new.more_groups_claim_paths);
    out.note("fetch_userinfo", &old.fetch_userinfo, &new.fetch_userinfo);
    out.note("scopes", &old.scopes, &new.scopes);
    out.note("allowed_email_domains", &old.allowed_email_domains, &new.allowed_email_domains);
    out.note("require_verified_email", &old.require_verified_email, &new.require_verified_email);
    out.note("iat_window_seconds", &old.iat_window_seconds, &new.iat_window_seconds);
    out.note("jwks_cache_ttl_seconds", &old.jwks_cache_ttl_seconds, &new.jwks_cache_ttl_seconds);
    out.note("at_hash_policy", &old.at_hash_policy.as_str(), &new.at_hash_policy.as_str());
    out.note("groups_overage", &old.groups_overage.as_str(), &new.groups_overage.as_str());
    out.note("hosted_domain", &old.hosted_domain, &new.hosted_domain);
    out.note("default_role_id", &old.default_role_id, &new.default_role_id);
    out.note("rp_initiated_logout", &old.rp_initiated_logout, &new.rp_initiated_logout);
    out.note("enabled", &old.enabled, &new.enabled);
    // Texts that are too long for an event, or secret, are told as changed.
    if old.ca_bundle_pem != new.ca_bundle_pem {
        out.0.insert("ca_bundle_pem".to_owned(), json!("changed"));
    }
    if new_secret {
        out.0.insert("has_new_client_credential".to_owned(), json!(true));
    }
    out
}

/// Checks what a provider would become, without changing it; gives it as it would be, and whether it would have to be
/// asked over the network anew.
pub async fn check_edit(
    tx: &mut (impl OidcStore + ?Sized),
    caller: &Caller,
    command: &EditProvider,
    policy: OutboundPolicy,
) -> Result<(Provider, bool), DomainError> {
    caller.require(Permission::AuthOidcEdit, &[])?;
    let stored = tx.provider(&command.id).await?.ok_or_else(|| missing(&command.id))?;
    archived(&stored)?;
    check_version(command.expected_version, stored.row_version)?;
    let wanted = settle(&stored, &command.settings, true, policy)?;
    let other = wanted.issuer_url != stored.issuer_url || wanted.ca_bundle_pem != stored.ca_bundle_pem;
    Ok((wanted, other))
}

/// Changes a provider. Its issuer stays once somebody signed in through it: under another one a subject may be another
/// person.
pub async fn update_provider(
    tx: &mut (impl OidcStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
    caller: &Caller,
    command: &EditProvider,
    policy: OutboundPolicy,
) -> Result<Provider, DomainError> {
    caller.require(Permission::AuthOidcEdit, &[])?;
    let stored = tx.provider_for_update(&command.id).await?.ok_or_else(|| missing(&command.id))?;
    archived(&stored)?;
    check_version(command.expected_version, stored.row_version)?;
    let mut wanted = settle(&stored, &command.settings, true, policy)?;
    if wanted.issuer_url != stored.issuer_url {
        let usage = tx.provider_usage(&stored.id, ambient.now()).await?;
        if usage.users > 0 {
            return Err(DomainError::conflict(
                "issuer_in_use",
                format!(
                    "issuer_url can't be changed: {} people signed in through this provider, and under another issuer \
                     their subjects may be other people's; add another provider",
                    usage.users
                ),
            ));
        }
    }
    if let Some(role) = wanted
        .default_role_id
        .as_ref()
        .filter(|role| Some(*role) != stored.default_role_id.as_ref() || wanted.hosted_domain != stored.hosted_domain)
    {
        guard_default_role(tx, ambient, caller, role).await?;
    }
    let secret = command.settings.client_secret.as_ref().filter(|secret| !secret.expose().trim().is_empty());
    if let Some(secret) = secret {
        wanted.sealed_client_secret = seal(sealer, &stored.id, secret)?;
    }
    wanted.updated_at = ambient.now();
    tx.update_provider(&wanted).await.map_err(name_clash)?;
    wanted.row_version += 1;
    let mut details = json!({"provider_id": wanted.id, "name": wanted.name});
    details["changes"] = Value::Object(changes(&stored, &wanted, secret.is_some()).0);
    tx.record(AuditEvent::new(Action::OidcProviderUpdated, &caller.context, &wanted.id, details)).await?;
    Ok(wanted)
}

/// Removes a provider that nobody signed in through, with its mappings.
pub async fn delete_provider(
    tx: &mut (impl OidcStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    caller.require(Permission::AuthOidcDelete, &[])?;
    let stored = tx.provider_for_update(id).await?.ok_or_else(|| missing(id))?;
    check_version(expected_version, stored.row_version)?;
    let usage = tx.provider_usage(id, ambient.now()).await?;
    if usage.users > 0 {
        return Err(DomainError::conflict(
            "provider_in_use",
            format!(
                "{} people signed in through this provider, and it is what they are told apart by; take it out of use \
                 instead: disable it, end its sessions, deactivate and purge its people, then archive it",
                usage.users
            ),
        ));
    }
    let mappings = tx.mappings_of(id).await?.len();
    tx.delete_provider(id).await?;
    let details = json!({
        "provider_id": id, "name": stored.name, "issuer_url": stored.issuer_url, "mappings": mappings,
    });
    tx.record(AuditEvent::new(Action::OidcProviderDeleted, &caller.context, id, details)).await?;
    Ok(())
}

/// What is left to do before a provider can be archived, in the order to do it in.
fn left_to_do(provider: &Provider, usage: ProviderUsage) -> Option<String> {
    let mut steps = Vec::new();
    if provider.enabled {
        steps.push("disable it".to_owned());
    }
    if usage.live_sessions > 0 {
        steps.push(format!("end its {} live sessions", usage.live_sessions));
    }
    if usage.unpurged_users > 0 {
        steps.push(format!("deactivate and purge its {} people", usage.unpurged_users));
    }
    if steps.is_empty() { None } else { Some(steps.join(", then ")) }
}

/// Takes a provider out of use for good. Its row stays, so that its people stay known; its secret and mappings go, and
/// its name is free again.
pub async fn archive_provider(
    tx: &mut (impl OidcStore + AuditLog + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<Provider, DomainError> {
    caller.require(Permission::AuthOidcDelete, &[])?;
    let stored = tx.provider_for_update(id).await?.ok_or_else(|| missing(id))?;
    check_version(expected_version, stored.row_version)?;
    archived(&stored)?;
    let now = ambient.now();
    let usage = tx.provider_usage(id, now).await?;
    if let Some(steps) = left_to_do(&stored, usage) {
        return Err(DomainError::conflict("decommission_incomplete", format!("before it can be archived: {steps}")));
    }
    let mappings: Vec<Id> = tx.mappings_of(id).await?.into_iter().map(|mapping| mapping.id).collect();
    tx.delete_mappings(&mappings).await?;
    let short: String = stored.name.chars().take(180).collect();
    let mut gone = Provider {
        name: format!("{short} (archived {id})"),
        sealed_client_secret: seal(sealer, id, &Secret::new(String::new()))?,
        default_role_id: None,
        archived_at: Some(now),
        updated_at: now,
        ..stored.clone()
    };
    tx.update_provider(&gone).await.map_err(name_clash)?;
    gone.row_version += 1;
    let details = json!({
        "provider_id": id, "name": stored.name, "issuer_url": stored.issuer_url, "people": usage.users,
        "mappings": mappings.len(),
    });
    tx.record(AuditEvent::new(Action::OidcProviderArchived, &caller.context, id, details)).await?;
    Ok(gone)
}

/// Ends every session that began with a sign-in through the provider; returns how many.
pub async fn revoke_provider_sessions(
    tx: &mut (impl OidcStore + SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<u64, DomainError> {
    caller.require(Permission::AuthSessionRevoke, &[])?;
    let provider = tx.provider(id).await?.ok_or_else(|| missing(id))?;
    let ended = tx.revoke_sessions_of_provider(id, ambient.now()).await?;
    let details = json!({"provider_id": id, "name": provider.name, "count": ended});
    tx.record(AuditEvent::new(Action::SessionsRevokedForProvider, &caller.context, id, details)).await?;
    Ok(ended)
}
