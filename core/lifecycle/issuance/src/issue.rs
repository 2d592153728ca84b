//! One function issues.

use crate::{IssuanceFacts, IssuanceStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::{AuthorizedLeaf, CaStore, CertificateFacts, Lend, PolicyInput, ProfileFacts, authorize, verify_leaf};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore, CertificateVersion};
use certctl_jobs::JobStore;
use certctl_kernel::{DomainError, FieldError, IdKind, Timestamp};
use certctl_port_issuer::{IssuedCertificate, IssuerRegistry};
use certctl_ports::{Ambient, Announcer};
use certctl_rbac::{Caller, Permission, Scope};
use certctl_renewal::renewal_instant;
use certctl_x509::csr::{self, ParsedCsr};
use certctl_x509::{Serial, certificate, chain, pem};
use serde_json::json;

/// A request for a new version.
#[derive(Debug, Clone)]
pub struct IssueFromCsr {
    /// The managed certificate.
    pub certificate_id: String,
    /// The request, PEM.
    pub csr_pem: String,
    /// The job that it answers; whoever names one has made sure that the caller may answer it. Without one the caller
    /// needs `cert.issue`.
    pub job_id: Option<String>,
    /// Which way it came, one of [`certctl_inventory::sources`].
    pub source: String,
}

/// Issues a version of a managed certificate and records it with everything that follows: job, deployments, audit.
///
/// Fails with not found (404), a conflict when the certificate's state does not allow it (409), a validation error for
/// a request that can't be read (400), and a policy refusal that names every broken rule (422). After any failure the
/// caller discards the transaction and, for a refusal, records it with [`record_refusal`] in another.
pub async fn issue_from_csr(
    tx: &mut (impl CertificateStore + IssuanceStore + JobStore + CaStore + AuditLog + Announcer + ?Sized),
    issuers: &dyn IssuerRegistry,
    ambient: &Ambient,
    caller: &Caller,
    cmd: IssueFromCsr,
) -> Result<CertificateVersion, DomainError> {
    // Before anything is locked: reading a hostile request may take a while.
    let request = csr::parse(&cmd.csr_pem).map_err(unreadable)?;
    let not_found = || DomainError::not_found("certificate", cmd.certificate_id.clone());
    let certificate = tx.certificate_for_update(&cmd.certificate_id).await?.ok_or_else(not_found)?;
    if cmd.job_id.is_none() {
        caller.require(Permission::CertIssue, &scopes(&certificate))?;
    }
    check_state(&certificate)?;

    let issuer = issuers.issuer(&mut Lend(&mut *tx), &certificate.issuer_id).await?;
    let IssuanceFacts { profile, renewal_policy, key_barred } =
        tx.issuance_facts(&certificate, &request.spki_sha256).await?;
    let facts = match (&certificate.certificate_profile_id, &profile) {
        (None, _) => ProfileFacts::None,
        (Some(_), Some(profile)) => ProfileFacts::Found(profile),
        (Some(id), None) => ProfileFacts::Missing(id),
    };
    let authorization = authorize(&PolicyInput {
        certificate: CertificateFacts {
            id: &certificate.id,
            common_name: &certificate.common_name,
            sans: &certificate.sans,
        },
        profile: facts,
        issuer: issuer.facts(),
        csr: &request,
        key_barred,
        approved: false,
        requested_lifetime: None,
        now: ambient.now(),
        serial: draw_serial(ambient),
    })
    .map_err(DomainError::Unprocessable)?;

    let wanted = authorization.leaf().clone();
    let issued = issuer.issue(authorization).await?;
    let version = version(ambient, caller, &cmd, &request, &wanted, &issued)?;

    let next_renewal_at =
        renewal_policy.and_then(|policy| renewal_instant(version.not_before, version.not_after, &policy, &version.id));
    tx.record_version(&version, next_renewal_at).await?;
    let now = version.created_at;
    finish_job(tx, &certificate, &cmd, &version, now).await?;
    let deployments = tx.create_deployment_jobs(&certificate.id, &version.id, now, &version.requested_by).await?;
    let details = json!({
        "version_id": version.id,
        "serial": version.serial_number,
        "fingerprint_sha256": version.fingerprint_sha256,
        "not_before": certctl_kernel::timestamp::to_rfc3339(version.not_before),
        "not_after": certctl_kernel::timestamp::to_rfc3339(version.not_after),
        "issuer_id": version.issuer_id,
        "ca_id": version.ca_id,
        "profile_id": version.profile_id,
        "source": version.source,
        "job_id": version.job_id,
        "status": [certificate.status.as_str(), CertificateStatus::Active.as_str()],
        "deployment_jobs": deployments,
        "warnings": wanted.warnings,
    });
    tx.record(AuditEvent::new(Action::CertificateIssued, &caller.context, &certificate.id, details)).await?;
    Ok(version)
}

/// Records that a request was refused, by the rules it broke; errors that are not refusals leave nothing to record.
pub async fn record_refusal(
    tx: &mut (impl AuditLog + ?Sized),
    caller: &Caller,
    certificate_id: &str,
    error: &DomainError,
) -> Result<bool, DomainError> {
    let errors = match error {
        DomainError::Validation(errors) | DomainError::Unprocessable(errors) => errors
            .iter()
            .map(|error| json!({"field": error.field, "code": error.code, "message": error.message}))
            .collect(),
        DomainError::Conflict { code, message, .. } => vec![json!({"code": code, "message": message})],
        DomainError::Forbidden { permission } => {
            vec![json!({"code": "insufficient_permission", "message": permission})]
        }
        _ => return Ok(false),
    };
    let details = json!({"errors": errors});
    tx.record(AuditEvent::new(Action::CertificateIssuanceRefused, &caller.context, certificate_id, details)).await?;
    Ok(true)
}

fn unreadable(errors: Vec<csr::CsrError>) -> DomainError {
    let malformed = errors.iter().any(|error| error.code == "csr_malformed");
    let errors = errors.into_iter().map(|error| FieldError::new("csr_pem", error.code, error.message)).collect();
    if malformed { DomainError::Validation(errors) } else { DomainError::Unprocessable(errors) }
}

fn scopes(certificate: &Certificate) -> Vec<Scope> {
    let mut scopes = vec![Scope::Issuer(certificate.issuer_id.clone())];
    scopes.extend(certificate.certificate_profile_id.clone().map(Scope::Profile));
    scopes
}

fn check_state(certificate: &Certificate) -> Result<(), DomainError> {
    match certificate.status {
        CertificateStatus::Archived => {
            Err(DomainError::conflict("archived", "the certificate is archived; nothing is issued for it any more"))
        }
        CertificateStatus::Revoked => Err(DomainError::conflict(
            "revoked",
            "the certificate is revoked; start its renewal with force to issue it anew",
        )),
        _ => Ok(()),
    }
}

fn draw_serial(ambient: &Ambient) -> Serial {
    loop {
        if let Some(serial) = Serial::from_random(ambient.octets()) {
            return serial;
        }
    }
}

/// Reads the leaf back before it is recorded: it must be the one authorized, under a chain that holds.
fn version(
    ambient: &Ambient,
    caller: &Caller,
    cmd: &IssueFromCsr,
    request: &ParsedCsr,
    wanted: &AuthorizedLeaf,
    issued: &IssuedCertificate,
) -> Result<CertificateVersion, DomainError> {
    let not_ours =
        |reason: String| DomainError::Internal { reason: format!("the issuer returned another leaf: {reason}") };
    let leaf = certificate::inspect(&issued.leaf_der).map_err(|error| not_ours(error.to_string()))?;
    let differences = verify_leaf(wanted, &leaf);
    if !differences.is_empty() {
        return Err(not_ours(differences.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ")));
    }
    let above = pem::certificates(&issued.chain_pem).map_err(|error| not_ours(error.to_string()))?;
    chain::check(&issued.leaf_der, &above).map_err(|error| not_ours(error.to_string()))?;
    Ok(CertificateVersion {
        id: ambient.id(IdKind::CertificateVersion),
        certificate_id: wanted.certificate_id.clone(),
        issuer_id: wanted.issuer_id.clone(),
        ca_id: wanted.ca_id.clone(),
        seq: 0,
        serial_number: leaf.serial,
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        fingerprint_sha256: leaf.fingerprint_sha256,
        pem_chain: format!("{}{}", pem::encode(pem::CERTIFICATE, &issued.leaf_der), issued.chain_pem),
        csr_pem: request.pem.clone(),
        key_algorithm: wanted.key.algorithm().to_owned(),
        key_size: i32::try_from(wanted.key.size).unwrap_or(0),
        profile_id: wanted.profile_id.clone(),
        source: cmd.source.clone(),
        job_id: cmd.job_id.clone(),
        requested_by: caller.context.actor.id.clone(),
        spki_sha256: leaf.spki_sha256,
        subject_dn: leaf.subject_dn,
        issuer_dn: leaf.issuer_dn,
        sans: leaf.sans,
        revocation_exempt: wanted.revocation_exempt,
        created_at: ambient.now(),
    })
}

/// The job that was answered is done. A request that came without one answers the job that waits, if any, so that no
/// agent issues the same again.
async fn finish_job(
    tx: &mut (impl JobStore + ?Sized),
    certificate: &Certificate,
    cmd: &IssueFromCsr,
    version: &CertificateVersion,
    now: Timestamp,
) -> Result<(), DomainError> {
    let waiting = match &cmd.job_id {
        Some(id) => Some(id.clone()),
        None if certificate.status == CertificateStatus::RenewalInProgress => {
            tx.awaiting_csr_job_for_update(&certificate.id, None, None).await?.map(|job| job.id)
        }
        None => None,
    };
    let Some(job_id) = waiting else { return Ok(()) };
    if tx.complete_job(&job_id, &version.id, now).await? {
        Ok(())
    } else {
        Err(DomainError::conflict("job_not_waiting", format!("job {job_id} does not wait for a request any more")))
    }
}
