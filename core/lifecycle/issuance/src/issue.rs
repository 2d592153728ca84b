//! One function issues.

use crate::preview::csr_errors;
use crate::{IssuanceFacts, IssuanceStore};
use certctl_approval::{
    ApprovalRequest, ApprovalSettings, ApprovalState, ApprovalStore, Subject, consume, request_issuance,
    usable_approval,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_ca::{
    ApprovalFacts, AuthorizedLeaf, CaStore, CertificateFacts, IssuingFacts, Lend, PolicyInput, ProfileFacts, authorize,
    refusals, verify_leaf,
};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore, CertificateVersion};
use certctl_jobs::JobStore;
use certctl_kernel::{DomainError, FieldError, Id, IdKind, Timestamp};
use certctl_port_issuer::{IssuedCertificate, IssuerRegistry};
use certctl_ports::{Ambient, Announcer};
use certctl_rbac::{Caller, Permission, Scope};
use certctl_renewal::renewal_instant;
use certctl_x509::csr::{self, CsrError, ParsedCsr, UnsoundCsr};
use certctl_x509::{Serial, certificate, chain, pem};
use serde_json::json;

pub(crate) const APPROVAL_REQUIRED: &str = "approval_required";

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

/// What became of a request for a version.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was issued.
    Issued(Box<CertificateVersion>),
    /// A second person must grant it first; sent again afterwards, the same request is issued.
    Pending(Box<ApprovalRequest>),
}

/// Issues a version of a managed certificate and records it with everything that follows: job, approval used up,
/// deployments, audit. Where the profile demands an approval that nobody gave yet, a request that breaks no other rule
/// and answers no job asks for one, bound to its key.
///
/// Fails with not found (404), a conflict when the certificate's state does not allow it (409), a validation error for
/// a request that can't be read (400), and a policy refusal that names every broken rule (422). After any failure the
/// caller discards the transaction and, for a refusal, records it with [`record_refusal`] in another.
pub async fn issue_from_csr(
    tx: &mut (impl CertificateStore + IssuanceStore + JobStore + CaStore + ApprovalStore + AuditLog + Announcer + ?Sized),
    issuers: &dyn IssuerRegistry,
    ambient: &Ambient,
    approvals: &ApprovalSettings,
    caller: &Caller,
    cmd: IssueFromCsr,
) -> Result<Outcome, DomainError> {
    // Before anything is locked: reading a hostile request may take a while.
    let (request, unsound) = match csr::examine(&cmd.csr_pem) {
        Ok(request) => (request, Vec::new()),
        // What it says is held to the policy as well, so that everything that is wrong is told at once.
        Err(UnsoundCsr { errors, readable: Some(read) }) if !is_malformed(&errors) => (*read, csr_errors(errors)),
        Err(unsound) => return Err(unreadable(unsound.errors)),
    };
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
    if !unsound.is_empty() {
        let input = policy_input(ambient, &certificate, facts, issuer.facts(), &request, key_barred, None);
        return Err(DomainError::Unprocessable(with_refusals(unsound, refusals(&input))));
    }
    let answered = answered_job(tx, &certificate, &cmd).await?;
    let subject = match &profile {
        Some(profile) if profile.requires_approval => Subject::of(&certificate),
        _ => None,
    };
    let approval = match &subject {
        Some(subject) => {
            let key = &*request.spki_sha256;
            match usable_approval(tx, subject, key, answered.as_deref(), ambient.now()).await? {
                None if approvals.bypass && cmd.job_id.is_none() => {
                    let context = &caller.context;
                    Some(request_issuance(tx, ambient, approvals, context, subject, None, Some(key)).await?)
                }
                found => found,
            }
        }
        None => None,
    };
    let approved = approval.as_ref().map(facts_of);
    let decision =
        authorize(&policy_input(ambient, &certificate, facts, issuer.facts(), &request, key_barred, approved));
    let authorization = match (decision, subject) {
        (Ok(authorization), _) => authorization,
        // Only what would be issued otherwise is worth a person's time.
        (Err(errors), Some(subject))
            if cmd.job_id.is_none() && errors.iter().all(|error| error.code == APPROVAL_REQUIRED) =>
        {
            return ask(tx, ambient, approvals, caller, &subject, &request).await;
        }
        (Err(mut errors), _) => {
            // The request itself asks for the approval once nothing else is wrong with it.
            if cmd.job_id.is_none() {
                errors.retain(|error| error.code != APPROVAL_REQUIRED);
            }
            return Err(DomainError::Unprocessable(errors));
        }
    };

    let wanted = authorization.leaf().clone();
    let issued = issuer.issue(authorization).await?;
    let mut version = version(ambient, caller, &cmd, &request, &wanted, &issued)?;

    let next_renewal_at =
        renewal_policy.and_then(|policy| renewal_instant(version.not_before, version.not_after, &policy, &version.id));
    version.seq = tx.record_version(&version, next_renewal_at).await?;
    let now = version.created_at;
    if let Some(job_id) = &answered {
        finish_job(tx, job_id, &version, now).await?;
    }
    match (&wanted.approval_id, approval) {
        (None, _) => {}
        (Some(id), Some(approval)) if *id == approval.id => consume(tx, approval, &version.id, now).await?,
        (Some(_), _) => {
            let reason = "the authorization names an approval that is not at hand".to_owned();
            return Err(DomainError::Internal { reason });
        }
    }
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
        "approval_id": wanted.approval_id,
        "status": [certificate.status.as_str(), CertificateStatus::Active.as_str()],
        "deployment_jobs": deployments,
        "warnings": wanted.warnings,
    });
    tx.record(AuditEvent::new(Action::CertificateIssued, &caller.context, &certificate.id, details)).await?;
    Ok(Outcome::Issued(Box::new(version)))
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

fn policy_input<'a>(
    ambient: &Ambient,
    certificate: &'a Certificate,
    profile: ProfileFacts<'a>,
    issuer: &'a IssuingFacts,
    csr: &'a ParsedCsr,
    key_barred: bool,
    approval: Option<ApprovalFacts<'a>>,
) -> PolicyInput<'a> {
    PolicyInput {
        certificate: CertificateFacts {
            id: &certificate.id,
            common_name: &certificate.common_name,
            sans: &certificate.sans,
        },
        profile,
        issuer,
        csr,
        key_barred,
        approval,
        requested_lifetime: None,
        now: ambient.now(),
        serial: draw_serial(ambient),
    }
}

fn is_malformed(errors: &[CsrError]) -> bool {
    errors.iter().any(|error| error.code == "csr_malformed")
}

fn unreadable(errors: Vec<CsrError>) -> DomainError {
    let malformed = is_malformed(&errors);
    let errors = csr_errors(errors);
    if malformed { DomainError::Validation(errors) } else { DomainError::Unprocessable(errors) }
}

/// What the request breaks and what policy says; an approval is worth asking for once nothing else is wrong.
fn with_refusals(mut errors: Vec<FieldError>, policy: Vec<FieldError>) -> Vec<FieldError> {
    errors.extend(policy.into_iter().filter(|error| error.code != APPROVAL_REQUIRED));
    errors
}

fn scopes(certificate: &Certificate) -> Vec<Scope> {
    scopes_of(&certificate.issuer_id, certificate.certificate_profile_id.as_deref())
}

pub(crate) fn scopes_of(issuer_id: &str, profile_id: Option<&str>) -> Vec<Scope> {
    let mut scopes = vec![Scope::Issuer(issuer_id.to_owned())];
    scopes.extend(profile_id.map(|id| Scope::Profile(id.to_owned())));
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

pub(crate) fn draw_serial(ambient: &Ambient) -> Serial {
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

/// The job that is answered. A request that came without one answers the job that waits, if any, so that no agent
/// issues the same again.
async fn answered_job(
    tx: &mut (impl JobStore + ?Sized),
    certificate: &Certificate,
    cmd: &IssueFromCsr,
) -> Result<Option<Id>, DomainError> {
    match &cmd.job_id {
        Some(id) => Ok(Some(id.clone())),
        None if certificate.status == CertificateStatus::RenewalInProgress => {
            Ok(tx.awaiting_csr_job_for_update(&certificate.id, None, None).await?.map(|job| job.id))
        }
        None => Ok(None),
    }
}

/// The job that was answered is done.
async fn finish_job(
    tx: &mut (impl JobStore + ?Sized),
    job_id: &str,
    version: &CertificateVersion,
    now: Timestamp,
) -> Result<(), DomainError> {
    if tx.complete_job(job_id, &version.id, now).await? {
        Ok(())
    } else {
        Err(DomainError::conflict("job_not_waiting", format!("job {job_id} does not wait for a request any more")))
    }
}

fn facts_of(approval: &ApprovalRequest) -> ApprovalFacts<'_> {
    ApprovalFacts {
        id: &approval.id,
        certificate_id: approval.certificate_id.as_deref().unwrap_or_default(),
        profile_id: &approval.profile_id,
        spki_sha256: approval.spki_sha256.as_deref(),
        granted: approval.state == ApprovalState::Approved,
        used: approval.consumed.is_some(),
        expires_at: approval.expires_at,
    }
}

/// Asks for an approval of this key; the same request sent again while it waits asks for no second one.
async fn ask(
    tx: &mut (impl ApprovalStore + JobStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    approvals: &ApprovalSettings,
    caller: &Caller,
    subject: &Subject,
    request: &ParsedCsr,
) -> Result<Outcome, DomainError> {
    let key = Some(request.spki_sha256.as_str());
    let context = &caller.context;
    let asked = match tx.pending_issuance(&subject.certificate_id).await? {
        Some(pending) if pending.spki_sha256.as_deref() == key => pending,
        Some(pending) => {
            return Err(DomainError::Conflict {
                code: "approval_pending",
                message:
                    "another issuance of this certificate waits for a decision; have it decided or withdrawn first"
                        .to_owned(),
                existing_id: Some(pending.id),
            });
        }
        None => request_issuance(tx, ambient, approvals, context, subject, None, key).await?,
    };
    let details = json!({"approval_id": asked.id, "spki_sha256": request.spki_sha256});
    tx.record(AuditEvent::new(Action::CsrSubmitted, context, &subject.certificate_id, details)).await?;
    Ok(Outcome::Pending(Box::new(asked)))
}
