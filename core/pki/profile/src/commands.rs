//! Use cases of profiles.

use crate::document::{document, document_changes};
use crate::validation::check_profile;
use crate::{AcmeAuthMode, Eku, KeyAlgorithm, KeyRule, Patch, Profile, ProfileFilter, ProfileStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, FieldError, IdKind, ListQuery, Page};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission, Scope, ScopeType};
use serde_json::json;

/// A key rule as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRuleInput {
    /// `RSA`, `ECDSA` or `Ed25519`.
    pub algorithm: String,
    /// Smallest size in bits.
    pub min_size: i32,
}

/// Members that creating and changing a profile share. What is left out takes its default, or stays.
#[derive(Debug, Clone, Default)]
pub struct ProfileInput {
    /// For people.
    pub description: Patch<String>,
    /// Keys allowed; empty means the default on creation.
    pub allowed_key_algorithms: Patch<Vec<KeyRuleInput>>,
    /// Longest life in seconds.
    pub max_ttl_seconds: Patch<i32>,
    /// Usages; empty means the default on creation.
    pub allowed_ekus: Patch<Vec<String>>,
    /// Name patterns.
    pub required_san_patterns: Patch<Vec<String>>,
    /// SPIFFE pattern.
    pub spiffe_uri_pattern: Patch<String>,
    /// Whether short-lived certificates are left out of revocation.
    pub allow_short_lived: Option<bool>,
    /// Whether certificates carry the TLS feature extension.
    pub must_staple: Option<bool>,
    /// Attributes asked of CSRs.
    pub required_csr_attributes: Patch<Vec<String>>,
    /// `trust_authenticated` or `challenge`; empty means the default.
    pub acme_auth_mode: Patch<String>,
    /// Whether issuance needs an approval.
    pub requires_approval: Option<bool>,
    /// Whether wildcards may be issued.
    pub allow_wildcards: Option<bool>,
    /// Whether anything may be issued.
    pub enabled: Option<bool>,
    /// Owner for protocol enrolments.
    pub default_owner_id: Patch<String>,
    /// Team for protocol enrolments.
    pub default_team_id: Patch<String>,
    /// Renewal policy for protocol enrolments.
    pub default_policy_id: Patch<String>,
    /// Issuer for protocol enrolments.
    pub default_issuer_id: Patch<String>,
}

/// A profile to create.
#[derive(Debug, Clone, Default)]
pub struct CreateProfile {
    /// An id of the caller's choice.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// The rest.
    pub input: ProfileInput,
}

/// A change of a profile.
#[derive(Debug, Clone, Default)]
pub struct UpdateProfile {
    /// Which.
    pub id: String,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// New name; empty means unchanged.
    pub name: Option<String>,
    /// The rest.
    pub input: ProfileInput,
}

fn default_keys() -> Vec<KeyRule> {
    vec![
        KeyRule { algorithm: KeyAlgorithm::Ecdsa, min_size: 256 },
        KeyRule { algorithm: KeyAlgorithm::Rsa, min_size: 2048 },
    ]
}

impl ProfileInput {
    /// Writes what was given over `profile`; returns the rules that the texts break.
    pub(crate) fn apply(self, profile: &mut Profile) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.description.apply(&mut profile.description, String::new());
        match self.allowed_key_algorithms {
            Patch::Keep => {}
            Patch::Clear => profile.allowed_key_algorithms = default_keys(),
            Patch::Set(rules) if rules.is_empty() => profile.allowed_key_algorithms = default_keys(),
            Patch::Set(rules) => profile.allowed_key_algorithms = parse_rules(&rules, &mut errors),
        }
        self.max_ttl_seconds.apply(&mut profile.max_ttl_seconds, 0);
        match self.allowed_ekus {
            Patch::Keep => {}
            Patch::Clear => profile.allowed_ekus = vec![Eku::ServerAuth],
            Patch::Set(names) if names.is_empty() => profile.allowed_ekus = vec![Eku::ServerAuth],
            Patch::Set(names) => profile.allowed_ekus = parse_ekus(&names, &mut errors),
        }
        self.required_san_patterns.apply(&mut profile.required_san_patterns, Vec::new());
        self.spiffe_uri_pattern.apply(&mut profile.spiffe_uri_pattern, String::new());
        self.required_csr_attributes.apply(&mut profile.required_csr_attributes, Vec::new());
        match self.acme_auth_mode {
            Patch::Keep => {}
            Patch::Clear => profile.acme_auth_mode = AcmeAuthMode::TrustAuthenticated,
            Patch::Set(text) if text.is_empty() => profile.acme_auth_mode = AcmeAuthMode::TrustAuthenticated,
            Patch::Set(text) => match AcmeAuthMode::parse(&text) {
                Some(mode) => profile.acme_auth_mode = mode,
                None => errors.push(unknown("acme_auth_mode", &AcmeAuthMode::ALL.map(AcmeAuthMode::as_str))),
            },
        }
        let flags = [
            (self.allow_short_lived, &mut profile.allow_short_lived),
            (self.must_staple, &mut profile.must_staple),
            (self.requires_approval, &mut profile.requires_approval),
            (self.allow_wildcards, &mut profile.allow_wildcards),
            (self.enabled, &mut profile.enabled),
        ];
        for (given, stored) in flags {
            *stored = given.unwrap_or(*stored);
        }
        let references = [
            ("default_owner_id", self.default_owner_id, &mut profile.default_owner_id),
            ("default_team_id", self.default_team_id, &mut profile.default_team_id),
            ("default_policy_id", self.default_policy_id, &mut profile.default_policy_id),
            ("default_issuer_id", self.default_issuer_id, &mut profile.default_issuer_id),
        ];
        for (field, given, stored) in references {
            match given {
                Patch::Keep => {}
                Patch::Clear => *stored = None,
                // An empty optional reference clears.
                Patch::Set(id) if id.is_empty() => *stored = None,
                Patch::Set(id) if IdKind::check_supplied(&id).is_err() => {
                    errors.push(FieldError::new(field, "unknown_reference", "names an object that does not exist"));
                }
                Patch::Set(id) => *stored = Some(id),
            }
        }
        errors
    }
}

fn unknown(field: &str, allowed: &[&str]) -> FieldError {
    FieldError::new(field, "unknown_value", format!("must be one of {}", allowed.join(", ")))
}

fn parse_rules(rules: &[KeyRuleInput], errors: &mut Vec<FieldError>) -> Vec<KeyRule> {
    let mut out = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        match KeyAlgorithm::parse(&rule.algorithm) {
            Some(algorithm) => out.push(KeyRule { algorithm, min_size: rule.min_size }),
            None => errors.push(unknown(
                &format!("allowed_key_algorithms[{at}].algorithm"),
                &KeyAlgorithm::ALL.map(KeyAlgorithm::as_str),
            )),
        }
    }
    out
}

fn parse_ekus(names: &[String], errors: &mut Vec<FieldError>) -> Vec<Eku> {
    let mut out = Vec::new();
    for (at, name) in names.iter().enumerate() {
        match Eku::parse(name) {
            Some(eku) => out.push(eku),
            None => errors.push(unknown(&format!("allowed_ekus[{at}]"), &Eku::ALL.map(Eku::as_str))),
        }
    }
    out
}

pub(crate) fn settle(mut errors: Vec<FieldError>, profile: &Profile) -> Result<(), DomainError> {
    // The general rules would repeat what the texts already broke.
    let rest = check_profile(profile);
    let known: Vec<String> = errors.iter().map(|e| e.field.clone()).collect();
    errors.extend(rest.into_iter().filter(|e| !known.iter().any(|field| field.starts_with(e.field.as_str()))));
    if errors.is_empty() { Ok(()) } else { Err(DomainError::Validation(errors)) }
}

/// Creates a profile.
pub async fn create_profile(
    tx: &mut (impl ProfileStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateProfile,
) -> Result<Profile, DomainError> {
    caller.require(Permission::ProfileEdit, &[])?;
    let now = ambient.now();
    let chosen = command.id.filter(|id| !id.is_empty());
    let mut errors = Vec::new();
    if let Some(Err(error)) = chosen.as_deref().map(IdKind::check_supplied) {
        errors.push(FieldError::new("id", "invalid_id", error.to_string()));
    }
    let mut profile = Profile {
        id: chosen.unwrap_or_else(|| ambient.id(IdKind::Profile)),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: command.name.trim().to_owned(),
        description: String::new(),
        allowed_key_algorithms: default_keys(),
        max_ttl_seconds: 0,
        allowed_ekus: vec![Eku::ServerAuth],
        required_san_patterns: Vec::new(),
        spiffe_uri_pattern: String::new(),
        allow_short_lived: false,
        must_staple: false,
        required_csr_attributes: Vec::new(),
        acme_auth_mode: AcmeAuthMode::TrustAuthenticated,
        requires_approval: false,
        allow_wildcards: true,
        enabled: true,
        default_owner_id: None,
        default_team_id: None,
        default_policy_id: None,
        default_issuer_id: None,
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    errors.extend(command.input.apply(&mut profile));
    settle(errors, &profile)?;
    tx.insert_profile(&profile).await?;
    let details = json!({"name": profile.name, "requires_approval": profile.requires_approval});
    tx.record(AuditEvent::new(Action::CreateProfile, &caller.context, &profile.id, details)).await?;
    Ok(profile)
}

/// The profile with this id.
pub async fn get_profile(
    tx: &mut (impl ProfileStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<Profile, DomainError> {
    caller.require(Permission::ProfileRead, &[Scope::Profile(id.to_owned())])?;
    tx.profile(id).await?.ok_or_else(|| DomainError::not_found("profile", id))
}

/// The filter narrowed to what the caller may read.
pub fn visible_profiles(mut filter: ProfileFilter, caller: &Caller) -> Result<ProfileFilter, DomainError> {
    filter.ids = caller.within(Permission::ProfileRead)?.map(|scopes| Scope::ids_of(&scopes, ScopeType::Profile));
    Ok(filter)
}

/// One page of the profiles that the caller may read, newest first. A cursor must come from the filter that
/// [`visible_profiles`] gives.
pub async fn list_profiles(
    tx: &mut (impl ProfileStore + ?Sized),
    caller: &Caller,
    filter: ProfileFilter,
    list: &ListQuery,
) -> Result<Page<Profile>, DomainError> {
    let filter = visible_profiles(filter, caller)?;
    Ok(tx.profiles_page(&filter, list).await?)
}

/// A change that keeps every rule and is not made yet; the profile is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedUpdate {
    stored: Profile,
    proposed: Profile,
}

impl PlannedUpdate {
    /// Whether a second person must grant it: the profile demands approval, or is to demand it.
    pub const fn needs_approval(&self) -> bool {
        self.stored.requires_approval || self.proposed.requires_approval
    }

    /// The profile as it is and as it is to be.
    pub fn into_parts(self) -> (Profile, Profile) {
        (self.stored, self.proposed)
    }
}

/// Checks a change of a profile and locks it.
pub async fn plan_update(
    tx: &mut (impl ProfileStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: UpdateProfile,
) -> Result<PlannedUpdate, DomainError> {
    caller.require(Permission::ProfileEdit, &[Scope::Profile(command.id.clone())])?;
    let stored =
        tx.profile_for_update(&command.id).await?.ok_or_else(|| DomainError::not_found("profile", &*command.id))?;
    if command.expected_version.is_some_and(|expected| expected != stored.row_version) {
        return Err(DomainError::PreconditionFailed);
    }
    let mut proposed = stored.clone();
    if let Some(name) = command.name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
        name.clone_into(&mut proposed.name);
    }
    let errors = command.input.apply(&mut proposed);
    proposed.updated_at = ambient.now();
    settle(errors, &proposed)?;
    Ok(PlannedUpdate { stored, proposed })
}

/// Makes a change that needs no approval; one that does is refused.
pub async fn save_update(
    tx: &mut (impl ProfileStore + AuditLog + ?Sized),
    caller: &Caller,
    plan: PlannedUpdate,
) -> Result<Profile, DomainError> {
    if plan.needs_approval() {
        let message = "the profile demands approval, its changes included; ask for the change";
        return Err(DomainError::conflict("approval_required", message));
    }
    let PlannedUpdate { stored, mut proposed } = plan;
    tx.update_profile(&proposed).await?;
    proposed.row_version += 1;
    let details = json!({"changes": document_changes(&document(&stored), &document(&proposed))});
    tx.record(AuditEvent::new(Action::UpdateProfile, &caller.context, &proposed.id, details)).await?;
    Ok(proposed)
}

/// Removes a profile that nothing refers to. With `force`, certificates and renewal policies lose it first. One that
/// demands approval stays: whoever has it approved to demand none may remove it then. Approval requests are kept, and
/// keep their profile.
pub async fn delete_profile(
    tx: &mut (impl ProfileStore + AuditLog + ?Sized),
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
    force: bool,
) -> Result<(), DomainError> {
    caller.require(Permission::ProfileDelete, &[Scope::Profile(id.to_owned())])?;
    let profile = tx.profile_for_update(id).await?.ok_or_else(|| DomainError::not_found("profile", id))?;
    if expected_version.is_some_and(|expected| expected != profile.row_version) {
        return Err(DomainError::PreconditionFailed);
    }
    if profile.requires_approval {
        return Err(DomainError::conflict(
            "approval_required",
            "the profile demands approval and can't be removed; have a change to requires_approval=false approved first",
        ));
    }
    let usage = tx.profile_usage(id).await?;
    if usage.approvals > 0 {
        let message = format!(
            "{} approval requests refer to the profile and are kept with the audit trail; disable it instead",
            usage.approvals
        );
        return Err(DomainError::conflict("dependency_blocked", message));
    }
    if usage.grants > 0 {
        return Err(DomainError::conflict(
            "dependency_blocked",
            format!(
                "{} roles or grants of roles are in the scope of this profile; take them back first, or another profile \
                 of the same id would inherit them",
                usage.grants
            ),
        ));
    }
    let used = usage.certificates + usage.renewal_policies > 0;
    if used && !force {
        return Err(DomainError::conflict(
            "dependency_blocked",
            format!(
                "the profile is in use by {} certificates and {} renewal policies; move them first, or detach them with \
                 force=true",
                usage.certificates, usage.renewal_policies,
            ),
        ));
    }
    if used {
        tx.detach_profile(id).await?;
    }
    tx.delete_profile(id).await?;
    let details = json!({
        "name": profile.name,
        "detached_certificates": usage.certificates,
        "detached_renewal_policies": usage.renewal_policies,
    });
    tx.record(AuditEvent::new(Action::DeleteProfile, &caller.context, id, details)).await?;
    Ok(())
}
