//! A profile as a JSON document: what the audit trail compares, and what waits for an approval.

use crate::commands::settle;
use crate::{KeyRuleInput, Patch, Profile, ProfileInput, ProfileStore};
use certctl_kernel::DomainError;
use certctl_ports::Ambient;
use serde_json::{Map, Value, json};

/// The members that operators may edit.
pub fn document(profile: &Profile) -> Map<String, Value> {
    let rules: Vec<Value> = profile
        .allowed_key_algorithms
        .iter()
        .map(|rule| json!({"algorithm": rule.algorithm.as_str(), "min_size": rule.min_size}))
        .collect();
    let ekus: Vec<&str> = profile.allowed_ekus.iter().map(|eku| eku.as_str()).collect();
    [
        ("name", json!(profile.name)),
        ("description", json!(profile.description)),
        ("allowed_key_algorithms", json!(rules)),
        ("max_ttl_seconds", json!(profile.max_ttl_seconds)),
        ("allowed_ekus", json!(ekus)),
        ("required_san_patterns", json!(profile.required_san_patterns)),
        ("spiffe_uri_pattern", json!(profile.spiffe_uri_pattern)),
        ("allow_short_lived", json!(profile.allow_short_lived)),
        ("must_staple", json!(profile.must_staple)),
        ("required_csr_attributes", json!(profile.required_csr_attributes)),
        ("acme_auth_mode", json!(profile.acme_auth_mode.as_str())),
        ("requires_approval", json!(profile.requires_approval)),
        ("allow_wildcards", json!(profile.allow_wildcards)),
        ("enabled", json!(profile.enabled)),
        ("default_owner_id", json!(profile.default_owner_id)),
        ("default_team_id", json!(profile.default_team_id)),
        ("default_policy_id", json!(profile.default_policy_id)),
        ("default_issuer_id", json!(profile.default_issuer_id)),
    ]
    .into_iter()
    .map(|(field, value)| (field.to_owned(), value))
    .collect()
}

/// What differs: field → [before, after].
pub fn document_changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let earlier = |field: &String| before.get(field).cloned().unwrap_or(Value::Null);
    after
        .iter()
        .filter(|(field, value)| earlier(field) != **value)
        .map(|(field, value)| (field.clone(), json!([earlier(field), value])))
        .collect()
}

/// The profile that `document` describes, with the identity of `stored`, held to every rule.
fn read(stored: &Profile, document: &Map<String, Value>) -> Result<Profile, DomainError> {
    let broken = |field: &str| DomainError::Internal { reason: format!("a stored profile document has no {field}") };
    let text =
        |field: &str| document.get(field).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| broken(field));
    let flag = |field: &str| document.get(field).and_then(Value::as_bool).ok_or_else(|| broken(field));
    let number = |value: Option<&Value>, field: &str| {
        value.and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok()).ok_or_else(|| broken(field))
    };
    let array = |field: &str| document.get(field).and_then(Value::as_array).ok_or_else(|| broken(field));
    let texts = |field: &str| -> Result<Vec<String>, DomainError> {
        array(field)?.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| broken(field))).collect()
    };
    let reference = |field: &str| match document.get(field) {
        Some(Value::String(id)) => Ok(Patch::Set(id.clone())),
        Some(Value::Null) => Ok(Patch::Clear),
        _ => Err(broken(field)),
    };
    let rules = array("allowed_key_algorithms")?.iter().map(|rule| {
        let algorithm = rule.get("algorithm").and_then(Value::as_str).ok_or_else(|| broken("algorithm"))?.to_owned();
        Ok(KeyRuleInput { algorithm, min_size: number(rule.get("min_size"), "min_size")? })
    });
    let input = ProfileInput {
        description: Patch::Set(text("description")?),
        allowed_key_algorithms: Patch::Set(rules.collect::<Result<_, DomainError>>()?),
        max_ttl_seconds: Patch::Set(number(document.get("max_ttl_seconds"), "max_ttl_seconds")?),
        allowed_ekus: Patch::Set(texts("allowed_ekus")?),
        required_san_patterns: Patch::Set(texts("required_san_patterns")?),
        spiffe_uri_pattern: Patch::Set(text("spiffe_uri_pattern")?),
        allow_short_lived: Some(flag("allow_short_lived")?),
        must_staple: Some(flag("must_staple")?),
        required_csr_attributes: Patch::Set(texts("required_csr_attributes")?),
        acme_auth_mode: Patch::Set(text("acme_auth_mode")?),
        requires_approval: Some(flag("requires_approval")?),
        allow_wildcards: Some(flag("allow_wildcards")?),
        enabled: Some(flag("enabled")?),
        default_owner_id: reference("default_owner_id")?,
        default_team_id: reference("default_team_id")?,
        default_policy_id: reference("default_policy_id")?,
        default_issuer_id: reference("default_issuer_id")?,
    };
    let mut profile = Profile { name: text("name")?, ..stored.clone() };
    let errors = input.apply(&mut profile);
    settle(errors, &profile)?;
    Ok(profile)
}

/// Makes the stored profile, which the caller holds locked, what an approved document says; returns what changed. For
/// the approval workflow alone: whoever calls it has made sure that a second person granted the document.
pub async fn apply_document(
    tx: &mut (impl ProfileStore + ?Sized),
    ambient: &Ambient,
    stored: &Profile,
    approved: &Map<String, Value>,
) -> Result<Map<String, Value>, DomainError> {
    let profile = Profile { updated_at: ambient.now(), ..read(stored, approved)? };
    tx.update_profile(&profile).await?;
    Ok(document_changes(&document(stored), &document(&profile)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::profile;

    #[test]
    fn a_profile_survives_its_document_and_a_damaged_one_is_noticed() {
        let stored = profile();
        let wanted = Profile {
            name: "other".into(),
            requires_approval: !stored.requires_approval,
            max_ttl_seconds: 86_400,
            default_owner_id: Some("o-1".into()),
            ..stored.clone()
        };
        let document = document(&wanted);
        assert_eq!(read(&stored, &document), Ok(wanted));
        for field in document.keys() {
            let mut damaged = document.clone();
            damaged.remove(field);
            assert!(read(&stored, &damaged).is_err(), "{field}");
        }
    }

    #[test]
    fn changes_name_only_what_differs() {
        let stored = profile();
        let wanted = Profile { enabled: !stored.enabled, ..stored.clone() };
        let changes = document_changes(&document(&stored), &document(&wanted));
        assert_eq!(Value::Object(changes), json!({"enabled": [stored.enabled, wanted.enabled]}));
    }
}
