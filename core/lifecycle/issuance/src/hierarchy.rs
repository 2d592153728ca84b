//! CAs below CAs: making them, choosing the one that signs leaves, and letting them go.

use crate::issue::draw_serial;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::hierarchy::{may_certify, path, retire};
use certctl_ca::{CaKind, CaRecord, CaState, CaStore, Lend, intermediate, key_context};
use certctl_inventory::IssuerStore;
use certctl_kernel::{DomainError, FieldError, IdKind, timestamp};
use certctl_port_issuer::{AuthorityContent, IssuerRegistry};
use certctl_ports::{Ambient, Announcer, Change, KeyAlgorithm, KeyGenerator, Sealer};
use certctl_rbac::{Caller, Permission};
use certctl_x509::Subject;
use certctl_x509::constraints::{NameRules, Subtree};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::Duration;

/// Longest life of a CA below another.
const MOST_DAYS: i64 = 36_500;
/// Its life when none is asked for.
const DEFAULT_DAYS: i64 = 5 * 365;

/// A CA to make below another.
#[derive(Debug, Clone, Default)]
pub struct CreateCa {
    /// The issuer.
    pub issuer_id: String,
    /// The CA above.
    pub parent_ca_id: String,
    /// Unique for the issuer.
    pub name: String,
    /// Its subject; needs a common name.
    pub subject: Subject,
    /// `ECDSA-P256` (the default) or `ECDSA-P384`.
    pub algorithm: Option<String>,
    /// Life in days; 0 or less means five years.
    pub ttl_days: i64,
    /// How many CAs may stand below it.
    pub path_len: Option<i64>,
    /// What it may name.
    pub permitted: Vec<String>,
    /// What it must not name.
    pub excluded: Vec<String>,
    /// An OCSP address for its own certificate instead of the parent's.
    pub ocsp_responder_url: Option<String>,
    /// Free labels.
    pub metadata: BTreeMap<String, String>,
}

struct Checked {
    algorithm: KeyAlgorithm,
    path_len: Option<u8>,
    names: NameRules,
    days: i64,
}

fn check(order: &CreateCa) -> Result<Checked, DomainError> {
    let mut errors = Vec::new();
    let mut refuse = |field: &str, code: &str, message: String| errors.push(FieldError::new(field, code, message));
    let name = order.name.trim();
    if name.is_empty() || name.chars().count() > 255 || name.chars().any(char::is_control) {
        refuse("name", "required", "must have 1 to 255 characters without control characters".to_owned());
    }
    if order.subject.common_name.as_deref().is_none_or(str::is_empty) {
        refuse("subject.common_name", "required", "a CA needs a common name".to_owned());
    } else if let Err(error) = order.subject.to_der() {
        refuse("subject", error.code(), error.to_string());
    }
    let algorithm = match order.algorithm.as_deref() {
        None | Some("" | "ECDSA-P256") => KeyAlgorithm::EcdsaP256,
        Some("ECDSA-P384") => KeyAlgorithm::EcdsaP384,
        Some(_) => {
            refuse("algorithm", "unknown_value", "must be ECDSA-P256 or ECDSA-P384".to_owned());
            KeyAlgorithm::EcdsaP256
        }
    };
    let days = if order.ttl_days <= 0 { DEFAULT_DAYS } else { order.ttl_days };
    if days > MOST_DAYS {
        refuse("ttl_days", "out_of_range", format!("must be at most {MOST_DAYS}"));
    }
    let path_len = order.path_len.and_then(|length| u8::try_from(length).ok().filter(|length| *length <= 20));
    if order.path_len.is_some() && path_len.is_none() {
        refuse("path_len_constraint", "out_of_range", "must be 0 to 20".to_owned());
    }
    if order.permitted.len() + order.excluded.len() > 100 {
        refuse("name_constraints", "too_many", "at most 100 entries".to_owned());
    }
    let mut read = |list: &[String]| {
        let parsed = list.iter().filter_map(|text| {
            Subtree::parse(text).map_err(|error| refuse("name_constraints", error.code(), error.to_string())).ok()
        });
        parsed.collect::<Vec<_>>()
    };
    let names = NameRules { permitted: read(&order.permitted), excluded: read(&order.excluded) };
    if let Some(url) = order.ocsp_responder_url.as_deref()
        && !(url.starts_with("http://") && url.len() <= 2048 && url.bytes().all(|octet| octet.is_ascii_graphic()))
    {
        refuse("ocsp_responder_url", "invalid", "must be an http URL".to_owned());
    }
    if order.metadata.len() > 64 || order.metadata.iter().any(|(key, value)| key.len() > 128 || value.len() > 1024) {
        refuse("metadata", "too_many", "at most 64 labels of at most 128 and 1024 bytes".to_owned());
    }
    if errors.is_empty() {
        Ok(Checked { algorithm, path_len, names, days })
    } else {
        Err(DomainError::Validation(errors))
    }
}

/// Makes a CA below another: its key is drawn here and sealed for its row, its parent signs it, and both are stored with
/// the audit event or not at all. It signs no leaves before [`activate_ca`].
///
/// Fails with not found (404) for an issuer or parent that is not there, a validation error (400), and a conflict when the
/// parent or a CA above it may not sign, or the name is in use (409).
pub async fn create_ca(
    tx: &mut (impl CaStore + AuditLog + Announcer + ?Sized),
    issuers: &dyn IssuerRegistry,
    keys: &dyn KeyGenerator,
    sealer: &dyn Sealer,
    ambient: &Ambient,
    caller: &Caller,
    order: CreateCa,
) -> Result<CaRecord, DomainError> {
    caller.require(Permission::CaHierarchyManage, &[])?;
    let checked = check(&order)?;
    tx.issuer_settings(&order.issuer_id)
        .await?
        .ok_or_else(|| DomainError::not_found("issuer", order.issuer_id.clone()))?;
    tx.lock_ca(&order.issuer_id).await?;
    let records = tx.ca_certificates(&order.issuer_id).await?;
    let above = path(&records, &order.parent_ca_id)?;
    let now = ambient.now();
    may_certify(&above, now)?;
    let parent = above[0].clone();
    let authorities = issuers.authorities(&mut Lend(&mut *tx), &order.issuer_id).await?;
    let authority = authorities
        .iter()
        .find(|authority| authority.ca().id == parent.id)
        .ok_or_else(|| DomainError::not_found("CA", parent.id.clone()))?;

    let internal = |reason: String| DomainError::Internal { reason };
    let id = ambient.id(IdKind::CertificateAuthority);
    let pkcs8 = keys.generate(checked.algorithm).map_err(|error| internal(error.to_string()))?;
    let key = keys.load_der(&pkcs8).map_err(|error| internal(error.to_string()))?;
    let sealed = sealer.seal(&pkcs8, key_context(&id)).map_err(|error| internal(error.to_string()))?;
    let start = now.replace_nanosecond(0).unwrap_or(now) - Duration::minutes(1);
    let start = start.max(parent.not_before);
    let ends = above.iter().map(|ca| ca.not_after).min().unwrap_or(parent.not_after);
    let certified = authority
        .certify_authority(AuthorityContent {
            serial: draw_serial(ambient),
            subject: order.subject,
            spki_der: key.public_key_spki().to_vec(),
            not_before: start,
            not_after: (start + Duration::days(checked.days) - Duration::SECOND).min(ends),
            path_len: checked.path_len,
            names: checked.names,
            ocsp_url: order.ocsp_responder_url.clone(),
        })
        .await;
    let cert_der = certified.map_err(|error| match DomainError::from(error) {
        // What the parent does not allow is the order's fault.
        DomainError::Unprocessable(errors) => DomainError::Validation(errors),
        other => other,
    })?;
    let generation = records.iter().map(|record| record.generation).max().unwrap_or(0) + 1;
    let (name, metadata, url) = (order.name.trim().to_owned(), order.metadata, order.ocsp_responder_url);
    let record = intermediate(id, &parent, generation, name, sealed, &cert_der, metadata, url, now)
        .map_err(|error| internal(error.to_string()))?;
    tx.insert_intermediate(&record).await?;
    tx.announce(Change::Issuer(record.issuer_id.clone())).await?;
    tx.record(AuditEvent::new(Action::CaChildCreated, &caller.context, &record.id, details(&record))).await?;
    Ok(record)
}

fn details(record: &CaRecord) -> Value {
    json!({
        "intermediate_ca_id": record.id,
        "owning_issuer_id": record.issuer_id,
        "parent_ca_id": record.parent_ca_id,
        "name": record.name,
        "subject": record.subject,
        "serial": record.serial_number,
        "state": record.state.as_str(),
        "key_driver_id": record.key.driver(),
        "not_before": timestamp::to_rfc3339(record.not_before),
        "not_after": timestamp::to_rfc3339(record.not_after),
    })
}

/// The CAs of an issuer, oldest first.
pub async fn list_cas(
    tx: &mut (impl CaStore + ?Sized),
    caller: &Caller,
    issuer_id: &str,
) -> Result<Vec<CaRecord>, DomainError> {
    caller.require(Permission::CaHierarchyManage, &[])?;
    tx.issuer_settings(issuer_id).await?.ok_or_else(|| DomainError::not_found("issuer", issuer_id))?;
    let mut records = tx.ca_certificates(issuer_id).await?;
    records.sort_by_key(|record| (record.created_at, record.generation));
    Ok(records)
}

/// One CA.
pub async fn get_ca(tx: &mut (impl CaStore + ?Sized), caller: &Caller, id: &str) -> Result<CaRecord, DomainError> {
    caller.require(Permission::CaHierarchyManage, &[])?;
    tx.ca_certificate(id).await?.ok_or_else(|| DomainError::not_found("CA", id))
}

/// Locks the CAs of the issuer that this one belongs to, and reads it again.
async fn locked(tx: &mut (impl CaStore + ?Sized), id: &str) -> Result<CaRecord, DomainError> {
    let not_found = || DomainError::not_found("CA", id);
    let known = tx.ca_certificate(id).await?.ok_or_else(not_found)?;
    tx.lock_ca(&known.issuer_id).await?;
    tx.ca_certificate(id).await?.ok_or_else(not_found)
}

/// An order to let a CA go.
#[derive(Debug, Clone, Default)]
pub struct RetireCa {
    /// The CA.
    pub id: String,
    /// Takes the last step.
    pub confirm: bool,
    /// Takes it although certificates of the CA have not expired; needs a note.
    pub force: bool,
    /// For the record.
    pub note: String,
}

/// Takes one step: an active CA signs no more, a retiring one is given up. Both go on signing CRLs and OCSP responders for
/// what they signed.
///
/// Fails with not found (404) and a conflict when the step is not allowed (409).
pub async fn retire_ca(
    tx: &mut (impl CaStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    order: &RetireCa,
) -> Result<CaRecord, DomainError> {
    caller.require(Permission::CaHierarchyManage, &[])?;
    if order.note.len() > 4096 {
        return Err(DomainError::invalid("note", "too_long", "must have at most 4096 bytes"));
    }
    if order.force && order.note.trim().is_empty() {
        return Err(DomainError::invalid("note", "required", "is required with force"));
    }
    let record = locked(tx, &order.id).await?;
    let now = ambient.now();
    let usage = tx.ca_usage(&record.id, now).await?;
    let state = retire(record.state, usage, order.confirm, order.force)?;
    tx.set_ca_state(&record.id, state, now).await?;
    tx.announce(Change::Issuer(record.issuer_id.clone())).await?;
    let action = if state == CaState::Retired { Action::CaRetired } else { Action::CaRetiring };
    let mut facts = details(&record);
    facts["note"] = json!(order.note);
    facts["live_certificates"] = json!(usage.certificates);
    tx.record(AuditEvent::new(action, &caller.context, &record.id, facts)).await?;
    Ok(CaRecord { state, updated_at: now, ..record })
}

/// Makes a CA the one that signs the issuer's leaves, from the commit on. The one before stays as it is.
///
/// Fails with not found (404) and a conflict when it is not active or a CA above it has gone (409).
pub async fn activate_ca(
    tx: &mut (impl CaStore + IssuerStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
) -> Result<CaRecord, DomainError> {
    caller.require(Permission::CaHierarchyManage, &[])?;
    let record = locked(tx, id).await?;
    let records = tx.ca_certificates(&record.issuer_id).await?;
    let now = ambient.now();
    may_certify(&path(&records, id)?, now).map_err(|error| match error {
        DomainError::Conflict { code: "parent_not_active", message, existing_id } => {
            DomainError::Conflict { code: "not_active", message, existing_id }
        }
        other => other,
    })?;
    let settings = tx
        .issuer_settings(&record.issuer_id)
        .await?
        .ok_or_else(|| DomainError::not_found("issuer", record.issuer_id.clone()))?;
    tx.set_issuing_ca(&record.issuer_id, id, now).await?;
    tx.announce(Change::Issuer(record.issuer_id.clone())).await?;
    let mut facts = details(&record);
    facts["issuing_ca_id"] = json!([settings.issuing_ca_id, id]);
    facts["hierarchy"] = json!(if record.kind == CaKind::Intermediate { "tree" } else { "single" });
    tx.record(AuditEvent::new(Action::CaActivated, &caller.context, id, facts)).await?;
    Ok(record)
}
