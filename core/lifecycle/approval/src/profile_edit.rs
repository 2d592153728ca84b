//! Changes of profiles that demand approval.

use crate::decide::apply;
use crate::issuance::grant_without_anyone;
use crate::tell::tell;
use crate::{
    ApprovalError, ApprovalKind, ApprovalRequest, ApprovalSettings, ApprovalState, ApprovalStore, Event, Party,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_inventory::{IssuerStore, OrgStore, RenewalPolicyStore};
use certctl_kernel::{DEFAULT_TENANT, DomainError, FieldError, Id, IdKind};
use certctl_ports::{Ambient, Announcer};
use certctl_profile::{Profile, ProfileStore, UpdateProfile, document, document_changes, plan_update, save_update};
use certctl_rbac::Caller;
use serde_json::json;
use std::collections::BTreeMap;

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum ProfileEdit {
    /// It is done.
    Applied(Box<Profile>),
    /// A second person must grant it.
    Pending(Box<ApprovalRequest>),
}

/// Changes a profile, or asks for the change where the profile demands approval or is to demand it. One change of a
/// profile waits at a time.
pub async fn edit_profile(
    tx: &mut (
             impl ProfileStore + OrgStore + RenewalPolicyStore + IssuerStore + ApprovalStore + AuditLog + Announcer + ?Sized
         ),
    ambient: &Ambient,
    settings: &ApprovalSettings,
    caller: &Caller,
    command: UpdateProfile,
) -> Result<ProfileEdit, ApprovalError> {
    let plan = plan_update(tx, ambient, caller, command).await?;
    if !plan.needs_approval() {
        return Ok(ProfileEdit::Applied(Box::new(save_update(tx, caller, plan).await?)));
    }
    let (stored, proposed) = plan.into_parts();
    check_references(tx, &stored, &proposed).await?;
    let now = ambient.now();
    let requester = Party::asking(&caller.context.actor, tx.standing(&caller.context.actor).await?);
    let mut request = ApprovalRequest {
        id: ambient.id(IdKind::Approval),
        tenant_id: DEFAULT_TENANT.to_owned(),
        kind: ApprovalKind::ProfileEdit,
        certificate_id: None,
        job_id: None,
        profile_id: stored.id.clone(),
        requester,
        state: ApprovalState::Pending,
        state_entered_at: now,
        decision: None,
        metadata: BTreeMap::from([("profile_name".to_owned(), stored.name.clone())]),
        payload: document(&proposed),
        base: Some(document(&stored)),
        base_version: Some(stored.row_version),
        spki_sha256: None,
        expires_at: now + settings.timeout,
        consumed: None,
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    if !tx.insert_approval(&request).await? {
        let pending = tx.pending_profile_edit(&stored.id).await?;
        return Err(ApprovalError::Domain(DomainError::Conflict {
            code: "approval_pending",
            message: "another change of this profile waits for a decision; have it decided or withdrawn first"
                .to_owned(),
            existing_id: pending.map(|pending| pending.id),
        }));
    }
    let context = &caller.context;
    tell(tx, context, &request, Action::ApprovalProfileEditRequested, Event::Requested, now).await?;
    let changes = document_changes(&document(&stored), &request.payload);
    let details = json!({"approval_id": request.id, "base_version": stored.row_version, "changes": changes});
    tx.record(AuditEvent::new(Action::ProfileEditRequest, context, &stored.id, details)).await?;
    if !settings.bypass {
        return Ok(ProfileEdit::Pending(Box::new(request)));
    }
    grant_without_anyone(tx, settings, context, &mut request, now).await?;
    let id = stored.id.clone();
    apply(tx, ambient, context, &request, Some(stored)).await?;
    let changed = tx.profile(&id).await?.ok_or_else(|| DomainError::not_found("profile", id))?;
    Ok(ProfileEdit::Applied(Box::new(changed)))
}

/// What a change would newly refer to must be there when it is asked for, not only when it is granted.
async fn check_references(
    tx: &mut (impl OrgStore + RenewalPolicyStore + IssuerStore + ?Sized),
    stored: &Profile,
    proposed: &Profile,
) -> Result<(), DomainError> {
    let changed = |new: &Option<Id>, old: &Option<Id>| new.clone().filter(|_| new != old);
    let mut missing = Vec::new();
    if let Some(id) = changed(&proposed.default_owner_id, &stored.default_owner_id)
        && tx.owner(&id).await?.is_none()
    {
        missing.push("default_owner_id");
    }
    if let Some(id) = changed(&proposed.default_team_id, &stored.default_team_id)
        && tx.team(&id).await?.is_none()
    {
        missing.push("default_team_id");
    }
    if let Some(id) = changed(&proposed.default_policy_id, &stored.default_policy_id)
        && tx.renewal_policy(&id).await?.is_none()
    {
        missing.push("default_policy_id");
    }
    if let Some(id) = changed(&proposed.default_issuer_id, &stored.default_issuer_id)
        && tx.issuer(&id).await?.is_none()
    {
        missing.push("default_issuer_id");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let unknown = |field| FieldError::new(field, "unknown_reference", "names an object that does not exist");
    Err(DomainError::Validation(missing.into_iter().map(unknown).collect()))
}
