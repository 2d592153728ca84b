//! Granting, refusing and taking back.

use crate::issuance::acting;
use crate::party::SYSTEM;
use crate::tell::{save, tell};
use crate::{
    ApprovalError, ApprovalKind, ApprovalRequest, ApprovalSettings, ApprovalState, ApprovalStore, Event, Party,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{Certificate, CertificateStatus, CertificateStore};
use certctl_jobs::{Job, JobStatus, JobStore, settled_status};
use certctl_kernel::{Actor, DomainError, FieldError, RequestContext, StoreError, Timestamp};
use certctl_ports::{Ambient, Announcer};
use certctl_profile::{Profile, ProfileStore};
use certctl_rbac::{Caller, Permission, Scope};
use serde_json::json;
use time::Duration;

/// The scheduler asks again for a due certificate after this, not at its next look.
const PAUSE: Duration = Duration::DAY;
/// Longest note or comment, in characters.
pub(crate) const LONGEST_TEXT: usize = 2000;

/// What the request is about, locked before the request itself.
enum Locked {
    Certificate(Option<Box<Certificate>>),
    Profile(Option<Box<Profile>>),
}

/// A text that people read: bounded, without control characters; blank means none.
pub(crate) fn readable(field: &str, text: Option<String>) -> Result<Option<String>, DomainError> {
    let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else { return Ok(None) };
    let refused = |code: &str, message: &str| DomainError::Validation(vec![FieldError::new(field, code, message)]);
    if text.chars().count() > LONGEST_TEXT {
        return Err(refused("too_long", "must have at most 2000 characters"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) {
        return Err(refused("control_character", "must not contain control characters other than line breaks"));
    }
    Ok(Some(text))
}

pub(crate) fn scope(request: &ApprovalRequest) -> [Scope; 1] {
    [Scope::Profile(request.profile_id.clone())]
}

/// Finds a request, checks the permission, and locks what it is about and then the request.
async fn take(
    tx: &mut (impl ApprovalStore + CertificateStore + ProfileStore + ?Sized),
    caller: &Caller,
    id: &str,
    permission: Option<Permission>,
) -> Result<(ApprovalRequest, Locked), ApprovalError> {
    let not_found = || DomainError::not_found("approval request", id);
    let seen = tx.approval(id).await?.ok_or_else(not_found)?;
    if let Some(permission) = permission {
        caller.require(permission, &scope(&seen))?;
    }
    let locked = match (seen.kind, &seen.certificate_id) {
        (ApprovalKind::CertIssuance, Some(certificate)) => {
            Locked::Certificate(tx.certificate_for_update(certificate).await?.map(Box::new))
        }
        (ApprovalKind::CertIssuance, None) => Locked::Certificate(None),
        (ApprovalKind::ProfileEdit, _) => Locked::Profile(tx.profile_for_update(&seen.profile_id).await?.map(Box::new)),
    };
    let request = tx.approval_for_update(id).await?.ok_or_else(not_found)?;
    Ok((request, locked))
}

/// Who decides. What is known of the asking credential may be more now than when it asked: a key may have got an owner.
async fn decider(
    tx: &mut (impl ApprovalStore + ?Sized),
    caller: &Caller,
    request: &ApprovalRequest,
) -> Result<Party, ApprovalError> {
    let actor = &caller.context.actor;
    let decider = Party::deciding(actor, tx.standing(actor).await?);
    let asking = Actor::new(&request.requester.id, request.requester.kind);
    let requester = Party::asking(&asking, tx.standing(&asking).await?);
    decider.may_decide_for(&requester)?;
    Ok(decider)
}

/// Grants a request, and in the same transaction lets its job go on or changes the profile.
pub async fn approve(
    tx: &mut (impl ApprovalStore + CertificateStore + JobStore + ProfileStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    settings: &ApprovalSettings,
    caller: &Caller,
    id: &str,
    note: Option<String>,
) -> Result<ApprovalRequest, ApprovalError> {
    let note = readable("note", note)?;
    let (mut request, locked) = take(tx, caller, id, Some(Permission::ApprovalApprove)).await?;
    let now = ambient.now();
    let decider = decider(tx, caller, &request).await?;
    request.approve(decider, note, settings.timeout, now)?;
    match locked {
        Locked::Certificate(certificate) => let_go_on(tx, &request, certificate.as_deref(), now).await?,
        Locked::Profile(profile) => {
            apply(tx, ambient, &caller.context, &request, profile.map(|profile| *profile)).await?;
        }
    }
    save(tx, &mut request).await?;
    tell(tx, &caller.context, &request, Action::ApprovalApproved, Event::Approved, now).await?;
    Ok(request)
}

/// Refuses a request: its job is called off, the profile stays as it is.
pub async fn reject(
    tx: &mut (impl ApprovalStore + CertificateStore + JobStore + ProfileStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    note: Option<String>,
) -> Result<ApprovalRequest, ApprovalError> {
    let note = readable("note", note)?;
    let (mut request, locked) = take(tx, caller, id, Some(Permission::ApprovalReject)).await?;
    let now = ambient.now();
    let decider = decider(tx, caller, &request).await?;
    let reason =
        note.as_ref().map_or_else(|| "approval rejected".to_owned(), |note| format!("approval rejected: {note}"));
    request.reject(decider, note, now)?;
    save(tx, &mut request).await?;
    if let Locked::Certificate(certificate) = locked {
        stop(tx, &request, certificate.as_deref(), &reason, now).await?;
    }
    tell(tx, &caller.context, &request, Action::ApprovalRejected, Event::Rejected, now).await?;
    Ok(request)
}

/// Takes a request back; only the person who asked can.
pub async fn withdraw(
    tx: &mut (impl ApprovalStore + CertificateStore + JobStore + ProfileStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    note: Option<String>,
) -> Result<ApprovalRequest, ApprovalError> {
    let note = readable("note", note)?;
    let (mut request, locked) = take(tx, caller, id, None).await?;
    let now = ambient.now();
    let party = Party::deciding(&caller.context.actor, tx.standing(&caller.context.actor).await?);
    request.withdraw(party, note, now)?;
    save(tx, &mut request).await?;
    if let Locked::Certificate(certificate) = locked {
        stop(tx, &request, certificate.as_deref(), "the approval request was withdrawn", now).await?;
    }
    tell(tx, &caller.context, &request, Action::ApprovalWithdrawn, Event::Withdrawn, now).await?;
    Ok(request)
}

/// The job of a request, locked.
async fn job_of(tx: &mut (impl JobStore + ?Sized), request: &ApprovalRequest) -> Result<Option<Job>, StoreError> {
    match &request.job_id {
        Some(id) => tx.job_for_update(id).await,
        None => Ok(None),
    }
}

async fn save_job(tx: &mut (impl JobStore + ?Sized), job: &Job) -> Result<(), StoreError> {
    if tx.save_job(job).await? { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Sends the job to where an agent answers it. What was asked for must still be what would be issued.
async fn let_go_on(
    tx: &mut (impl JobStore + ?Sized),
    request: &ApprovalRequest,
    certificate: Option<&Certificate>,
    now: Timestamp,
) -> Result<(), ApprovalError> {
    let same = certificate.and_then(crate::Subject::of).is_some_and(|subject| subject.payload() == request.payload);
    if !same {
        let message = "the certificate changed since this was asked for; reject it and ask again";
        return Err(ApprovalError::conflict("stale", message));
    }
    if request.job_id.is_none() {
        return Ok(());
    }
    match job_of(tx, request).await? {
        Some(mut job) if job.status == JobStatus::AwaitingApproval => {
            job.approve(now).map_err(DomainError::from)?;
            save_job(tx, &job).await?;
            Ok(())
        }
        _ => Err(ApprovalError::conflict("job_not_waiting", "the job of this request waits no longer; ask again")),
    }
}

/// Calls the job off and gives its certificate back the state that its dates say; the certificate is locked.
pub(crate) async fn stop(
    tx: &mut (impl JobStore + ?Sized),
    request: &ApprovalRequest,
    certificate: Option<&Certificate>,
    reason: &str,
    now: Timestamp,
) -> Result<(), DomainError> {
    let Some(mut job) = job_of(tx, request).await?.filter(|job| job.status == JobStatus::AwaitingApproval) else {
        return Ok(());
    };
    job.cancel(reason, now)?;
    save_job(tx, &job).await?;
    if let Some(certificate) = certificate.filter(|c| c.status == CertificateStatus::RenewalInProgress) {
        let status = settled_status(certificate, false, now);
        let again = now + PAUSE;
        let next = certificate.next_renewal_at.filter(|due| *due < again).map(|_| again);
        tx.leave_renewal(&certificate.id, status, next, now).await?;
    }
    Ok(())
}

/// Makes the profile what was approved, unless it changed since.
pub(crate) async fn apply(
    tx: &mut (impl ProfileStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    request: &ApprovalRequest,
    profile: Option<Profile>,
) -> Result<(), ApprovalError> {
    debug_assert_eq!(request.state, ApprovalState::Approved, "only what was granted is carried out");
    let stored = profile.filter(|profile| Some(profile.row_version) == request.base_version).ok_or_else(|| {
        let message = "the profile changed since this was asked for; reject the request and ask again";
        ApprovalError::conflict("stale", message)
    })?;
    let changes = certctl_profile::apply_document(tx, ambient, &stored, &request.payload).await?;
    let details = json!({
        "approval_id": request.id, "requested_by": request.requester.id,
        "approved_by": request.decision.as_ref().map(|decision| &decision.by.id), "changes": changes,
    });
    let event = AuditEvent::new(Action::ProfileEditApplied, &acting(SYSTEM, context), &stored.id, details);
    tx.record(event).await?;
    Ok(())
}
