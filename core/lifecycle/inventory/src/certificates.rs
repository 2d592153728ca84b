//! Use cases of managed certificates.

use crate::rules::{Broken, Changes, check_version, chosen, id_or_fresh, set_unless_empty};
use crate::{
    Certificate, CertificateFilter, CertificateSort, CertificateStatus, CertificateStore, CertificateVersion, Patch,
    sources,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, Id, IdKind, ListQuery, Page};
use certctl_ports::Ambient;
use certctl_profile::ProfileStore;
use certctl_rbac::{Caller, Permission, Scope};
use certctl_x509::San;
use serde_json::json;
use std::collections::BTreeMap;

/// A certificate to create. It is declared, not issued: issuing is asked for apart.
#[derive(Debug, Clone, Default)]
pub struct CreateCertificate {
    /// An id of the caller's choice.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// Common name.
    pub common_name: String,
    /// Alternative names.
    pub sans: Vec<String>,
    /// Free text.
    pub environment: String,
    /// Who answers for it.
    pub owner_id: String,
    /// Whose it is.
    pub team_id: String,
    /// Who signs it.
    pub issuer_id: String,
    /// When it is renewed.
    pub renewal_policy_id: String,
    /// What it may contain.
    pub certificate_profile_id: Option<String>,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Targets that the caller attaches in the same transaction; recorded here.
    pub target_ids: Vec<Id>,
}

/// A change of a certificate. What describes the leaf takes effect at its next issuance.
#[derive(Debug, Clone, Default)]
pub struct UpdateCertificate {
    /// Which.
    pub id: String,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// New name; empty means unchanged, as for every required member.
    pub name: Option<String>,
    /// New common name.
    pub common_name: Option<String>,
    /// New alternative names as a whole.
    pub sans: Patch<Vec<String>>,
    /// New environment.
    pub environment: Patch<String>,
    /// New owner.
    pub owner_id: Option<String>,
    /// New team.
    pub team_id: Option<String>,
    /// New issuer.
    pub issuer_id: Option<String>,
    /// New renewal policy.
    pub renewal_policy_id: Option<String>,
    /// New profile; empty clears.
    pub certificate_profile_id: Patch<String>,
    /// New labels as a whole.
    pub tags: Patch<BTreeMap<String, String>>,
    /// Targets as a whole, which the caller attaches in the same transaction; recorded here.
    pub target_ids: Option<Vec<Id>>,
}

/// Where a permission on a certificate may be held: its issuer and its profile.
pub fn scopes_of(issuer_id: &str, profile_id: Option<&str>) -> Vec<Scope> {
    std::iter::once(Scope::Issuer(issuer_id.to_owned()))
        .chain(profile_id.map(|id| Scope::Profile(id.to_owned())))
        .collect()
}

impl Certificate {
    /// Where a permission on this certificate may be held.
    pub fn scopes(&self) -> Vec<Scope> {
        scopes_of(&self.issuer_id, self.certificate_profile_id.as_deref())
    }
}

/// Checks the members and brings names into the form in which they will stand in the leaf.
fn check(certificate: &mut Certificate, broken: &mut Broken) {
    broken.check_name("name", &certificate.name);
    let common_name = certificate.common_name.trim();
    if common_name.is_empty() {
        broken.add("common_name", "required", "is required");
    } else {
        match San::parse(common_name) {
            Ok(San::Uri(_)) => broken.add("common_name", "san_invalid", "must be a host name, address or mail address"),
            Ok(name) => certificate.common_name = name.to_string(),
            Err(error) => broken.add("common_name", error.code, error.message),
        }
    }
    match San::parse_list(&certificate.sans) {
        Ok(names) => certificate.sans = names.iter().map(ToString::to_string).collect(),
        Err(errors) => errors.into_iter().for_each(|error| broken.add("sans", error.code, error.message)),
    }
    broken.check_text("environment", &certificate.environment, 50);
    broken.check_reference("owner_id", &certificate.owner_id);
    broken.check_reference("team_id", &certificate.team_id);
    broken.check_reference("issuer_id", &certificate.issuer_id);
    broken.check_reference("renewal_policy_id", &certificate.renewal_policy_id);
    broken.check_optional_reference("certificate_profile_id", certificate.certificate_profile_id.as_ref());
    if certificate.tags.len() > 64 {
        broken.add("tags", "too_many", "must have at most 64 entries");
    }
    for (key, value) in &certificate.tags {
        if key.is_empty() {
            broken.add("tags", "required", "must not have an empty key");
        }
        broken.check_text(&format!("tags.{key}"), key, 128);
        broken.check_text(&format!("tags.{key}"), value, 1024);
    }
}

fn in_order(mut ids: Vec<Id>) -> Vec<Id> {
    ids.sort();
    ids.dedup();
    ids
}

/// Declares a certificate.
pub async fn create_certificate(
    tx: &mut (impl CertificateStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateCertificate,
) -> Result<Certificate, DomainError> {
    let profile = command.certificate_profile_id.filter(|id| !id.is_empty());
    caller.require(Permission::CertIssue, &scopes_of(&command.issuer_id, profile.as_deref()))?;
    let now = ambient.now();
    let id = chosen(command.id);
    let mut broken = Broken::default();
    broken.check_id(id.as_ref());
    let mut certificate = Certificate {
        id: id_or_fresh(id, IdKind::Certificate, ambient),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name: command.name.trim().to_owned(),
        common_name: command.common_name,
        sans: command.sans,
        environment: command.environment,
        owner_id: command.owner_id,
        team_id: command.team_id,
        issuer_id: command.issuer_id,
        renewal_policy_id: command.renewal_policy_id,
        certificate_profile_id: profile,
        status: CertificateStatus::Pending,
        expires_at: None,
        next_renewal_at: None,
        tags: command.tags,
        target_ids: Vec::new(),
        current_version_id: None,
        last_renewal_at: None,
        last_deployment_at: None,
        revoked_at: None,
        revocation_reason: None,
        source: sources::API.to_owned(),
        row_version: 1,
        created_at: now,
        updated_at: now,
        archived_at: None,
    };
    check(&mut certificate, &mut broken);
    broken.settle()?;
    tx.insert_certificate(&certificate).await?;
    let details = json!({
        "name": certificate.name,
        "common_name": certificate.common_name,
        "sans": certificate.sans,
        "owner_id": certificate.owner_id,
        "team_id": certificate.team_id,
        "issuer_id": certificate.issuer_id,
        "renewal_policy_id": certificate.renewal_policy_id,
        "certificate_profile_id": certificate.certificate_profile_id,
        "target_ids": in_order(command.target_ids),
    });
    tx.record(AuditEvent::new(Action::CertificateCreated, &caller.context, &certificate.id, details)).await?;
    Ok(certificate)
}

/// The certificate with this id.
pub async fn get_certificate(
    tx: &mut (impl CertificateStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<Certificate, DomainError> {
    let certificate = tx.certificate(id).await?.ok_or_else(|| DomainError::not_found("certificate", id))?;
    caller.require(Permission::CertRead, &certificate.scopes())?;
    Ok(certificate)
}

/// The filter narrowed to what the caller may read.
pub fn visible(mut filter: CertificateFilter, caller: &Caller) -> Result<CertificateFilter, DomainError> {
    filter.within = caller.within(Permission::CertRead)?;
    Ok(filter)
}

/// One page of the certificates that the caller may read. A cursor must come from the filter that [`visible`] gives.
pub async fn list_certificates(
    tx: &mut (impl CertificateStore + ?Sized),
    caller: &Caller,
    filter: CertificateFilter,
    sort: CertificateSort,
    list: &ListQuery,
) -> Result<Page<Certificate>, DomainError> {
    let filter = visible(filter, caller)?;
    Ok(tx.certificates_page(&filter, sort, list).await?)
}

/// Binds a cursor to a certificate's list of versions.
pub fn versions_fingerprint(certificate_id: &str) -> String {
    format!("versions:{certificate_id}")
}

/// One page of a certificate's versions, newest first.
pub async fn list_versions(
    tx: &mut (impl CertificateStore + ?Sized),
    caller: &Caller,
    id: &str,
    list: &ListQuery,
) -> Result<Page<CertificateVersion>, DomainError> {
    get_certificate(tx, caller, id).await?;
    Ok(tx.versions(id, list).await?)
}

/// Changes a certificate. Whoever moves it to another issuer or profile must hold the permission there too.
pub async fn update_certificate(
    tx: &mut (impl CertificateStore + ProfileStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: UpdateCertificate,
) -> Result<Certificate, DomainError> {
    let stored = tx
        .certificate_for_update(&command.id)
        .await?
        .ok_or_else(|| DomainError::not_found("certificate", &*command.id))?;
    caller.require(Permission::CertEdit, &stored.scopes())?;
    check_version(command.expected_version, stored.row_version)?;
    if stored.status == CertificateStatus::Archived {
        return Err(DomainError::conflict("archived", "the certificate is archived; it can't be changed any more"));
    }
    let mut new = stored.clone();
    set_unless_empty(command.name, &mut new.name);
    set_unless_empty(command.common_name, &mut new.common_name);
    command.sans.apply(&mut new.sans, Vec::new());
    command.environment.apply(&mut new.environment, String::new());
    set_unless_empty(command.owner_id, &mut new.owner_id);
    set_unless_empty(command.team_id, &mut new.team_id);
    set_unless_empty(command.issuer_id, &mut new.issuer_id);
    set_unless_empty(command.renewal_policy_id, &mut new.renewal_policy_id);
    command.certificate_profile_id.apply_optional(&mut new.certificate_profile_id);
    new.certificate_profile_id = new.certificate_profile_id.filter(|id| !id.is_empty());
    command.tags.apply(&mut new.tags, BTreeMap::new());
    new.updated_at = ambient.now();
    let mut broken = Broken::default();
    check(&mut new, &mut broken);
    broken.settle()?;
    if new.scopes() != stored.scopes() {
        caller.require(Permission::CertEdit, &new.scopes())?;
    }
    keep_approval_gate(tx, &stored, &new).await?;
    tx.update_certificate(&new).await?;
    new.row_version += 1;
    let mut changes = Changes::default();
    changes.note("name", &stored.name, &new.name);
    changes.note("common_name", &stored.common_name, &new.common_name);
    changes.note("sans", &stored.sans, &new.sans);
    changes.note("environment", &stored.environment, &new.environment);
    changes.note("owner_id", &stored.owner_id, &new.owner_id);
    changes.note("team_id", &stored.team_id, &new.team_id);
    changes.note("issuer_id", &stored.issuer_id, &new.issuer_id);
    changes.note("renewal_policy_id", &stored.renewal_policy_id, &new.renewal_policy_id);
    changes.note("certificate_profile_id", &stored.certificate_profile_id, &new.certificate_profile_id);
    changes.note("tags", &stored.tags, &new.tags);
    if let Some(targets) = command.target_ids {
        changes.note("target_ids", &stored.target_ids, &in_order(targets));
    }
    let event = AuditEvent::new(Action::CertificateUpdated, &caller.context, &new.id, changes.into_details());
    tx.record(event).await?;
    Ok(new)
}

/// What a certificate under a profile that demands approval is issued for stays as it is: leaving the profile would go
/// round its gate, and a second person granted these names for this owner from this issuer.
async fn keep_approval_gate(
    tx: &mut (impl ProfileStore + ?Sized),
    stored: &Certificate,
    new: &Certificate,
) -> Result<(), DomainError> {
    let Some(profile) = &stored.certificate_profile_id else { return Ok(()) };
    let guarded = [
        ("certificate_profile_id", new.certificate_profile_id != stored.certificate_profile_id),
        ("common_name", new.common_name != stored.common_name),
        ("sans", new.sans != stored.sans),
        ("owner_id", new.owner_id != stored.owner_id),
        ("team_id", new.team_id != stored.team_id),
        ("issuer_id", new.issuer_id != stored.issuer_id),
    ];
    let touched: Vec<&str> = guarded.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
    // A missing profile can't say that no approval is needed.
    if touched.is_empty() || tx.profile(profile).await?.is_some_and(|profile| !profile.requires_approval) {
        return Ok(());
    }
    let message = format!(
        "the certificate's profile demands approval, so {} can't be changed; declare another certificate, whose issuance \
         a second person decides on",
        touched.join(", ")
    );
    Err(DomainError::conflict("approval_required", message))
}

/// Takes a certificate out of management. Its versions stay, and what was revoked stays revoked.
pub async fn archive_certificate(
    tx: &mut (impl CertificateStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    let stored = tx.certificate_for_update(id).await?.ok_or_else(|| DomainError::not_found("certificate", id))?;
    caller.require(Permission::CertDelete, &stored.scopes())?;
    check_version(expected_version, stored.row_version)?;
    if stored.status == CertificateStatus::Archived {
        return Err(DomainError::conflict("archived", "the certificate is archived already"));
    }
    tx.archive_certificate(id, ambient.now()).await?;
    let details = json!({"name": stored.name, "status": [stored.status.as_str(), "Archived"]});
    tx.record(AuditEvent::new(Action::CertificateArchived, &caller.context, id, details)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn certificate(common_name: &str, sans: &[&str]) -> Certificate {
        let at = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        Certificate {
            id: "mc-1".to_owned(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            name: "web".to_owned(),
            common_name: common_name.to_owned(),
            sans: sans.iter().map(|san| (*san).to_owned()).collect(),
            environment: String::new(),
            owner_id: "o-1".to_owned(),
            team_id: "t-1".to_owned(),
            issuer_id: "iss-1".to_owned(),
            renewal_policy_id: "rp-1".to_owned(),
            certificate_profile_id: None,
            status: CertificateStatus::Pending,
            expires_at: None,
            next_renewal_at: None,
            tags: BTreeMap::new(),
            target_ids: Vec::new(),
            current_version_id: None,
            last_renewal_at: None,
            last_deployment_at: None,
            revoked_at: None,
            revocation_reason: None,
            source: sources::API.to_owned(),
            row_version: 1,
            created_at: at,
            updated_at: at,
            archived_at: None,
        }
    }

    fn broken(mut certificate: Certificate) -> Vec<String> {
        let mut broken = Broken::default();
        check(&mut certificate, &mut broken);
        broken.0.into_iter().map(|error| format!("{} {}", error.field, error.code)).collect()
    }

    #[test]
    fn names_take_the_form_that_stands_in_the_leaf() {
        let mut given = certificate("WWW.Example.com", &["WWW.Example.com", "www.example.com", "2001:DB8:0::1"]);
        let mut broken = Broken::default();
        check(&mut given, &mut broken);
        assert_eq!(broken.0, []);
        assert_eq!(given.common_name, "www.example.com");
        assert_eq!(given.sans, ["www.example.com", "2001:db8::1"]);
    }

    #[test]
    fn every_broken_rule_is_named_at_once() {
        let given = Certificate {
            name: String::new(),
            environment: "x".repeat(51),
            owner_id: String::new(),
            team_id: "../etc".to_owned(),
            tags: BTreeMap::from([(String::new(), "x".to_owned())]),
            ..certificate("a b", &["ok.example.com", "-bad.example.com"])
        };
        assert_eq!(
            broken(given),
            [
                "name required",
                "common_name san_invalid",
                "sans san_invalid",
                "environment too_long",
                "owner_id required",
                "team_id unknown_reference",
                "tags required",
            ]
        );
    }

    #[test]
    fn a_common_name_may_be_a_host_an_address_or_a_mailbox_but_no_uri() {
        for good in ["example.com", "*.example.com", "192.0.2.7", "2001:db8::1", "ops@example.com"] {
            assert_eq!(broken(certificate(good, &[])), Vec::<String>::new(), "{good}");
        }
        for bad in ["https://example.com/", "spiffe://a/b"] {
            assert_eq!(broken(certificate(bad, &[])), ["common_name san_invalid"], "{bad}");
        }
        assert_eq!(broken(certificate(" ", &[])), ["common_name required"]);
    }

    #[test]
    fn a_permission_may_be_held_for_the_issuer_or_the_profile() {
        assert_eq!(scopes_of("i", None), [Scope::Issuer("i".to_owned())]);
        assert_eq!(scopes_of("i", Some("p")), [Scope::Issuer("i".to_owned()), Scope::Profile("p".to_owned())]);
    }

    proptest! {
        #[test]
        fn checking_twice_changes_nothing_more(name in "[A-Za-z0-9.*@:-]{1,40}") {
            let mut once = certificate(&name, &[&name]);
            let mut first = Broken::default();
            check(&mut once, &mut first);
            if first.0.is_empty() {
                let mut twice = once.clone();
                let mut second = Broken::default();
                check(&mut twice, &mut second);
                prop_assert!(second.0.is_empty());
                prop_assert_eq!(twice, once);
            }
        }
    }
}
