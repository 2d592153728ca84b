//! Requests for one issuance of a certificate, and the use of what was granted.

use crate::party::SYSTEM;
use crate::tell::{save, tell};
use crate::{ApprovalError, ApprovalKind, ApprovalRequest, ApprovalState, ApprovalStore, Event, Party};
use certctl_audit::{Action, AuditLog};
use certctl_inventory::Certificate;
use certctl_jobs::{Job, JobStore};
use certctl_kernel::{
    Actor, ActorType, DEFAULT_TENANT, DomainError, Id, IdKind, RequestContext, StoreError, Timestamp,
};
use certctl_ports::{Ambient, Announcer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use time::Duration;

/// How approvals work on this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalSettings {
    /// How long a request waits for a decision, and how long an approval can be used afterwards.
    pub timeout: Duration,
    /// Whether every request is granted at once without a second person: for demonstrations only.
    pub bypass: bool,
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        Self { timeout: Duration::WEEK, bypass: false }
    }
}

/// What an issuance is for, as it is shown to who decides. An approval covers this and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The certificate.
    pub certificate_id: Id,
    /// Its common name.
    pub common_name: String,
    /// Its alternative names.
    pub sans: Vec<String>,
    /// Who answers for it.
    pub owner_id: Id,
    /// Whose it is.
    pub team_id: Id,
    /// Who signs it.
    pub issuer_id: Id,
    /// The profile that demands the approval.
    pub profile_id: Id,
}

impl Subject {
    /// The facts of a certificate; `None` when it has no profile that could demand anything.
    pub fn of(certificate: &Certificate) -> Option<Self> {
        Some(Self {
            certificate_id: certificate.id.clone(),
            common_name: certificate.common_name.clone(),
            sans: certificate.sans.clone(),
            owner_id: certificate.owner_id.clone(),
            team_id: certificate.team_id.clone(),
            issuer_id: certificate.issuer_id.clone(),
            profile_id: certificate.certificate_profile_id.clone()?,
        })
    }

    /// The document that is decided on.
    pub fn payload(&self) -> Map<String, Value> {
        let members = [
            ("certificate_id", json!(self.certificate_id)),
            ("common_name", json!(self.common_name)),
            ("sans", json!(self.sans)),
            ("owner_id", json!(self.owner_id)),
            ("team_id", json!(self.team_id)),
            ("issuer_id", json!(self.issuer_id)),
            ("profile_id", json!(self.profile_id)),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// A pending request for it.
    pub(crate) fn request(
        &self,
        id: Id,
        requester: Party,
        job_id: Option<&str>,
        spki_sha256: Option<&str>,
        now: Timestamp,
        timeout: Duration,
    ) -> ApprovalRequest {
        ApprovalRequest {
            id,
            tenant_id: DEFAULT_TENANT.to_owned(),
            kind: ApprovalKind::CertIssuance,
            certificate_id: Some(self.certificate_id.clone()),
            job_id: job_id.map(ToOwned::to_owned),
            profile_id: self.profile_id.clone(),
            requester,
            state: ApprovalState::Pending,
            state_entered_at: now,
            decision: None,
            metadata: BTreeMap::from([("common_name".to_owned(), self.common_name.clone())]),
            payload: self.payload(),
            base: None,
            base_version: None,
            spki_sha256: spki_sha256.map(ToOwned::to_owned),
            expires_at: now + timeout,
            consumed: None,
            row_version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// The context of a part of the product that acts within a request or loop.
pub(crate) fn acting(id: &str, context: &RequestContext) -> RequestContext {
    RequestContext { actor: Actor::new(id, ActorType::System), ..context.clone() }
}

/// Asks for one issuance, in the transaction that holds the certificate locked. A job that waits for the decision is
/// bound to it; a key that is known is too. Where approvals are bypassed the request is granted at once.
pub async fn request_issuance(
    tx: &mut (impl ApprovalStore + JobStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    settings: &ApprovalSettings,
    context: &RequestContext,
    subject: &Subject,
    mut job: Option<&mut Job>,
    spki_sha256: Option<&str>,
) -> Result<ApprovalRequest, DomainError> {
    let now = ambient.now();
    let requester = Party::asking(&context.actor, tx.standing(&context.actor).await?);
    let job_id = job.as_ref().map(|job| job.id.clone());
    let id = ambient.id(IdKind::Approval);
    let mut request = subject.request(id, requester, job_id.as_deref(), spki_sha256, now, settings.timeout);
    if !tx.insert_approval(&request).await? {
        return Err(DomainError::Conflict {
            code: "approval_pending",
            message: "an issuance of this certificate waits for a decision already".to_owned(),
            existing_id: tx.pending_issuance(&subject.certificate_id).await?.map(|pending| pending.id),
        });
    }
    tell(tx, context, &request, Action::ApprovalRequested, Event::Requested, now).await?;
    if settings.bypass {
        grant_without_anyone(tx, settings, context, &mut request, now).await?;
        if let Some(job) = &mut job {
            job.approve(now)?;
            if !tx.save_job(job).await? {
                return Err(StoreError::Conflict.into());
            }
        }
    }
    Ok(request)
}

/// Grants a request that was made in this transaction.
pub(crate) async fn grant_without_anyone(
    tx: &mut (impl ApprovalStore + AuditLog + Announcer + ?Sized),
    settings: &ApprovalSettings,
    context: &RequestContext,
    request: &mut ApprovalRequest,
    now: Timestamp,
) -> Result<(), DomainError> {
    request.bypass(settings.timeout, now).map_err(|error| DomainError::Internal { reason: error.to_string() })?;
    save(tx, request).await?;
    let context = acting(crate::party::BYPASS, context);
    tell(tx, &context, request, Action::ApprovalBypassed, Event::Bypassed, now).await?;
    Ok(())
}

/// The approval that lets this key be certified now in answer to this job, locked; `None` when there is none.
pub async fn usable_approval(
    tx: &mut (impl ApprovalStore + ?Sized),
    subject: &Subject,
    spki_sha256: &str,
    job_id: Option<&str>,
    now: Timestamp,
) -> Result<Option<ApprovalRequest>, StoreError> {
    let granted = tx.unused_approvals(&subject.certificate_id, now).await?;
    Ok(granted.into_iter().find(|request| request.covers(subject, spki_sha256, job_id, now)))
}

/// Uses an approval up, in the transaction that records the version; it must be the one that [`usable_approval`]
/// locked.
pub async fn consume(
    tx: &mut (impl ApprovalStore + ?Sized),
    mut request: ApprovalRequest,
    version_id: &str,
    now: Timestamp,
) -> Result<(), DomainError> {
    request.consume(version_id, now).map_err(|error| match error {
        ApprovalError::Domain(error) => error,
        other => DomainError::Internal { reason: other.to_string() },
    })?;
    save(tx, &mut request).await
}

/// Ends the pending request of a certificate because what it was for was called off; the caller holds the certificate
/// locked. Tells whether there was one.
pub async fn call_off(
    tx: &mut (impl ApprovalStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    certificate_id: &str,
    reason: &str,
) -> Result<bool, DomainError> {
    let Some(mut request) = tx.pending_issuance(certificate_id).await? else { return Ok(false) };
    let now = ambient.now();
    request
        .call_off(Party::system(SYSTEM), reason, now)
        .map_err(|error| DomainError::Internal { reason: error.to_string() })?;
    save(tx, &mut request).await?;
    tell(tx, context, &request, Action::ApprovalWithdrawn, Event::Withdrawn, now).await?;
    Ok(true)
}
