//! Use cases of issuers.

use crate::rules::{Broken, Changes, check_version, chosen, id_or_fresh, refuse_if_used, set_unless_empty};
use crate::{Issuer, IssuerFilter, IssuerStore, Patch, test_status};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::{LOCAL_CA_KIND, LocalCaConfig};
use certctl_kernel::{DEFAULT_TENANT, DomainError, FieldError, IdKind, ListQuery, Page};
use certctl_ports::{Ambient, Announcer, Change};
use certctl_rbac::{Caller, Permission, Scope, ScopeType};
use serde_json::{Map, Value, json};

/// Every type that exists, stored spelling first, with the spellings accepted on input.
const TYPES: &[(&str, &[&str])] = &[
    (LOCAL_CA_KIND, &["genericca", "local", "local_ca"]),
    ("ACME", &["acme"]),
    ("StepCA", &["stepca"]),
    ("OpenSSL", &["openssl"]),
    ("VaultPKI", &["vaultpki"]),
    ("DigiCert", &["digicert"]),
    ("Sectigo", &["sectigo"]),
    ("GoogleCAS", &["googlecas"]),
    ("AWSACMPCA", &["awsacmpca"]),
    ("Entrust", &["entrust"]),
    ("GlobalSign", &["globalsign"]),
    ("EJBCA", &["ejbca"]),
];

/// Members of the local CA's configuration. None is secret: a CA key that we make is sealed in its own table, and
/// another stays in the file that the path names.
const LOCAL_CA_MEMBERS: &[&str] = &[
    "ca_common_name",
    "validity_days",
    "ca_cert_path",
    "ca_key_path",
    "ca_key_ref",
    "crl_distribution_point_urls",
    "ocsp_urls",
    "aia_ca_issuer_urls",
    "key_algorithm",
    "root_validity_days",
    "root_path_len",
];

/// The stored spelling of an issuer type, whatever the case or alias.
pub fn issuer_type(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    TYPES.iter().find(|(_, aliases)| aliases.contains(&lower.as_str())).map(|(stored, _)| *stored)
}

/// An issuer to create.
#[derive(Debug, Clone)]
pub struct CreateIssuer {
    /// An id of the caller's choice.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// Type or alias.
    pub kind: String,
    /// Configuration, an object or null.
    pub config: Value,
    /// Whether it signs.
    pub enabled: bool,
    /// `single`, or absent.
    pub hierarchy_mode: Option<String>,
    /// `database`, or `env` for issuers that the server makes from its settings.
    pub source: &'static str,
}

/// A change of an issuer.
#[derive(Debug, Clone, Default)]
pub struct UpdateIssuer {
    /// Which.
    pub id: String,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// New name; empty means unchanged.
    pub name: Option<String>,
    /// Must be the stored type, or empty.
    pub kind: Option<String>,
    /// New configuration as a whole.
    pub config: Patch<Value>,
    /// Whether it signs.
    pub enabled: Option<bool>,
    /// `single`, or absent.
    pub hierarchy_mode: Option<String>,
}

fn check_type(text: &str, broken: &mut Broken) -> Option<&'static str> {
    if text.is_empty() {
        broken.add("type", "required", "is required");
        return None;
    }
    match issuer_type(text) {
        Some(LOCAL_CA_KIND) => return Some(LOCAL_CA_KIND),
        Some(known) => broken.add(
            "type",
            "unsupported",
            format!("{known} is a known type, but this build has no connector for it; it has one for {LOCAL_CA_KIND}"),
        ),
        None => {
            let known: Vec<_> = TYPES.iter().map(|(stored, _)| *stored).collect();
            broken.add("type", "unknown_value", format!("must be one of {}", known.join(", ")));
        }
    }
    None
}

/// The configuration as it is stored: an object of known members that keeps the type's rules.
fn check_config(config: Value, broken: &mut Broken) -> Value {
    let members = match config {
        Value::Null => Map::new(),
        Value::Object(members) => members,
        _ => {
            broken.add("config", "wrong_type", "must be an object");
            return Value::Null;
        }
    };
    // null is the same as absence, and is not kept.
    let members: Map<String, Value> = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
    for name in members.keys().filter(|name| !LOCAL_CA_MEMBERS.contains(&name.as_str())) {
        let message =
            format!("is not a member of this type's configuration; known are {}", LOCAL_CA_MEMBERS.join(", "));
        broken.add(&format!("config.{name}"), "unknown_member", message);
    }
    for name in ["ca_cert_path", "ca_key_path"] {
        if members.get(name).and_then(Value::as_str).is_some_and(|path| !path.is_empty() && !path.starts_with('/')) {
            broken.add(&format!("config.{name}"), "not_absolute", "must be an absolute path, such as /etc/pki/ca.pem");
        }
    }
    let config = Value::Object(members);
    if let Err(errors) = LocalCaConfig::parse(&config) {
        broken.0.extend(errors);
    }
    config
}

fn check_hierarchy(mode: Option<&str>, broken: &mut Broken) {
    match mode {
        None | Some("" | "single") => {}
        Some("tree") => broken.add(
            "hierarchy_mode",
            "unsupported",
            "is single; a CA below another signs leaves once it is activated",
        ),
        Some(_) => broken.add("hierarchy_mode", "unknown_value", "must be single"),
    }
}

/// Creates an issuer. Its CA, where it keeps its own, is made by whoever asks it to sign first.
pub async fn create_issuer(
    tx: &mut (impl IssuerStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateIssuer,
) -> Result<Issuer, DomainError> {
    caller.require(Permission::IssuerEdit, &[])?;
    let mut broken = Broken::default();
    let id = chosen(command.id);
    broken.check_id(id.as_ref());
    broken.check_name("name", &command.name);
    check_hierarchy(command.hierarchy_mode.as_deref(), &mut broken);
    let kind = check_type(&command.kind, &mut broken);
    let config = if kind.is_some() { check_config(command.config, &mut broken) } else { Value::Null };
    broken.settle()?;
    let now = ambient.now();
    let issuer = Issuer {
        id: id_or_fresh(id, IdKind::Issuer, ambient),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: command.name.trim().to_owned(),
        kind: kind.unwrap_or(LOCAL_CA_KIND).to_owned(),
        config,
        sealed_config: None,
        enabled: command.enabled,
        last_tested_at: None,
        test_status: test_status::UNTESTED.to_owned(),
        source: command.source.to_owned(),
        hierarchy_mode: "single".to_owned(),
        issuing_ca_id: None,
        config_version: 1,
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    tx.insert_issuer(&issuer).await?;
    tx.announce(Change::Issuer(issuer.id.clone())).await?;
    let details = json!({"name": issuer.name, "type": issuer.kind, "enabled": issuer.enabled, "config": issuer.config});
    tx.record(AuditEvent::new(Action::CreateIssuer, &caller.context, &issuer.id, details)).await?;
    Ok(issuer)
}

/// The issuer with this id.
pub async fn get_issuer(
    tx: &mut (impl IssuerStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<Issuer, DomainError> {
    caller.require(Permission::IssuerRead, &[Scope::Issuer(id.to_owned())])?;
    tx.issuer(id).await?.ok_or_else(|| DomainError::not_found("issuer", id))
}

/// The filter narrowed to what the caller may read.
pub fn visible_issuers(mut filter: IssuerFilter, caller: &Caller) -> Result<IssuerFilter, DomainError> {
    filter.ids = caller.within(Permission::IssuerRead)?.map(|scopes| Scope::ids_of(&scopes, ScopeType::Issuer));
    Ok(filter)
}

/// One page of the issuers that the caller may read, newest first. A cursor must come from the filter that
/// [`visible_issuers`] gives.
pub async fn list_issuers(
    tx: &mut (impl IssuerStore + ?Sized),
    caller: &Caller,
    filter: IssuerFilter,
    list: &ListQuery,
) -> Result<Page<Issuer>, DomainError> {
    let filter = visible_issuers(filter, caller)?;
    Ok(tx.issuers_page(&filter, list).await?)
}

/// Changes an issuer; its type never changes.
pub async fn update_issuer(
    tx: &mut (impl IssuerStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: UpdateIssuer,
) -> Result<Issuer, DomainError> {
    caller.require(Permission::IssuerEdit, &[Scope::Issuer(command.id.clone())])?;
    let stored =
        tx.issuer_for_update(&command.id).await?.ok_or_else(|| DomainError::not_found("issuer", &*command.id))?;
    check_version(command.expected_version, stored.row_version)?;
    let mut issuer = stored.clone();
    let mut broken = Broken::default();
    set_unless_empty(command.name, &mut issuer.name);
    broken.check_name("name", &issuer.name);
    check_hierarchy(command.hierarchy_mode.as_deref(), &mut broken);
    if let Some(kind) = command.kind.filter(|kind| !kind.is_empty())
        && issuer_type(&kind) != Some(stored.kind.as_str())
    {
        broken.0.push(FieldError::new("type", "immutable", format!("is {} and can't be changed", stored.kind)));
    }
    match command.config {
        Patch::Keep => {}
        Patch::Clear => issuer.config = check_config(Value::Null, &mut broken),
        Patch::Set(config) => issuer.config = check_config(config, &mut broken),
    }
    broken.settle()?;
    issuer.enabled = command.enabled.unwrap_or(stored.enabled);
    if issuer.config != stored.config {
        issuer.config_version += 1;
        issuer.last_tested_at = None;
        test_status::UNTESTED.clone_into(&mut issuer.test_status);
    }
    issuer.updated_at = ambient.now();
    tx.update_issuer(&issuer).await?;
    issuer.row_version += 1;
    tx.announce(Change::Issuer(issuer.id.clone())).await?;
    let mut changes = Changes::default();
    changes.note("name", &stored.name, &issuer.name);
    changes.note("enabled", &stored.enabled, &issuer.enabled);
    changes.note("config", &stored.config, &issuer.config);
    tx.record(AuditEvent::new(Action::UpdateIssuer, &caller.context, &issuer.id, changes.into_details())).await?;
    Ok(issuer)
}

/// Removes an issuer that never issued and that no certificate names.
pub async fn delete_issuer(
    tx: &mut (impl IssuerStore + AuditLog + Announcer + ?Sized),
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    caller.require(Permission::IssuerDelete, &[Scope::Issuer(id.to_owned())])?;
    let issuer = tx.issuer_for_update(id).await?.ok_or_else(|| DomainError::not_found("issuer", id))?;
    check_version(expected_version, issuer.row_version)?;
    let usage = tx.issuer_usage(id).await?;
    refuse_if_used(
        "issuer",
        &[
            ("certificates", usage.certificates),
            ("issued versions", usage.versions),
            ("roles and grants of roles in its scope", usage.grants),
        ],
    )?;
    tx.delete_issuer(id).await?;
    tx.announce(Change::Issuer(id.to_owned())).await?;
    tx.record(AuditEvent::new(Action::DeleteIssuer, &caller.context, id, json!({"name": issuer.name}))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusals(config: Value) -> Vec<String> {
        let mut broken = Broken::default();
        check_config(config, &mut broken);
        broken.0.into_iter().map(|error| format!("{} {}", error.field, error.code)).collect()
    }

    #[test]
    fn aliases_lead_to_the_stored_type() {
        for (text, stored) in [("local", "GenericCA"), ("Local_CA", "GenericCA"), ("vaultpki", "VaultPKI")] {
            assert_eq!(issuer_type(text), Some(stored));
        }
        assert_eq!(issuer_type("verisign"), None);
        for (stored, _) in TYPES {
            assert_eq!(issuer_type(stored), Some(*stored), "the stored spelling is accepted too");
        }
    }

    #[test]
    fn types_without_a_connector_are_refused_by_name() {
        let mut broken = Broken::default();
        assert_eq!(check_type("vaultpki", &mut broken), None);
        assert!(broken.0[0].message.contains("VaultPKI") && broken.0[0].message.contains("no connector"));
    }

    #[test]
    fn a_misspelt_member_is_refused_with_its_name() {
        assert_eq!(refusals(json!({"ca_comon_name": "x"})), ["config.ca_comon_name unknown_member"]);
        assert_eq!(refusals(json!([])), ["config wrong_type"]);
        assert_eq!(
            refusals(json!({"ca_cert_path": "ca.pem", "ca_key_path": "/etc/ca.key"})),
            ["config.ca_cert_path not_absolute"]
        );
        assert_eq!(refusals(json!({"validity_days": 30, "ca_common_name": null})), Vec::<String>::new());
    }
}
