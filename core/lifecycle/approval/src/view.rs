//! Looking at requests and commenting on them.

use crate::decide::{readable, scope};
use crate::{ApprovalError, ApprovalFilter, ApprovalRequest, ApprovalStore, Comment, Decidable, Event, Party};
use certctl_audit::{Action, AuditLog};
use certctl_kernel::{DomainError, Id, ListQuery, Page};
use certctl_ports::{Ambient, Announcer};
use certctl_rbac::{Caller, Permission, Scope};

/// Which requests concern the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mine {
    /// Those that it, or its person, asked for.
    Requested,
    /// Those that it may decide.
    Decidable,
}

/// A wish for a list, before it is narrowed to what the caller may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The plain filters.
    pub filter: ApprovalFilter,
    /// Only what concerns the caller.
    pub mine: Option<Mine>,
}

/// The profiles for which the caller holds a permission; `None` for all.
fn profiles(caller: &Caller, permission: Permission) -> Option<Vec<Id>> {
    if caller.may(permission, &[]) {
        return None;
    }
    let held = caller.permissions.iter().filter(|held| held.permission == permission);
    Some(
        held.filter_map(|held| match &held.scope {
            Scope::Profile(id) => Some(id.clone()),
            _ => None,
        })
        .collect(),
    )
}

/// The filter narrowed to what the caller may see; a list's cursor is bound to it.
pub async fn ask(
    tx: &mut (impl ApprovalStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    wanted: Wanted,
) -> Result<ApprovalFilter, DomainError> {
    let Wanted { mut filter, mine } = wanted;
    filter.within = profiles(caller, Permission::ApprovalRead);
    if filter.within.as_ref().is_some_and(Vec::is_empty) {
        caller.require(Permission::ApprovalRead, &[])?;
    }
    let actor = &caller.context.actor;
    match mine {
        None => {}
        Some(Mine::Requested) => filter.asked_by = Some(Party::asking(actor, tx.standing(actor).await?)),
        Some(Mine::Decidable) => {
            let by = Party::deciding(actor, tx.standing(actor).await?);
            let profiles = profiles(caller, Permission::ApprovalApprove);
            filter.decidable = Some(Decidable { by, profiles, now: ambient.now() });
        }
    }
    Ok(filter)
}

/// One page of the requests that the caller may see; the filter comes from [`ask`].
pub async fn list_approvals(
    tx: &mut (impl ApprovalStore + ?Sized),
    filter: &ApprovalFilter,
    list: &ListQuery,
) -> Result<Page<ApprovalRequest>, DomainError> {
    Ok(tx.approvals_page(filter, list).await?)
}

/// One request with its comments.
pub async fn get_approval(
    tx: &mut (impl ApprovalStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<(ApprovalRequest, Vec<Comment>), DomainError> {
    let request = tx.approval(id).await?.ok_or_else(|| DomainError::not_found("approval request", id))?;
    caller.require(Permission::ApprovalRead, &scope(&request))?;
    let comments = tx.comments(id).await?;
    Ok((request, comments))
}

/// Adds a remark: by who asked, or by who may decide.
pub async fn comment(
    tx: &mut (impl ApprovalStore + AuditLog + Announcer + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    id: &str,
    text: String,
) -> Result<Comment, ApprovalError> {
    let text = readable("text", Some(text))?
        .ok_or_else(|| DomainError::invalid("text", "required", "must have 1 to 2000 characters"))?;
    let request = tx.approval(id).await?.ok_or_else(|| DomainError::not_found("approval request", id))?;
    let actor = &caller.context.actor;
    let party = Party::deciding(actor, tx.standing(actor).await?);
    if !party.is_same(&request.requester) && !caller.may(Permission::ApprovalReject, &scope(&request)) {
        caller.require(Permission::ApprovalApprove, &scope(&request))?;
    }
    let now = ambient.now();
    let comment = Comment { author: actor.id.clone(), author_type: actor.kind.as_str().to_owned(), text, at: now };
    tx.insert_comment(id, &comment).await?;
    crate::tell::tell(tx, &caller.context, &request, Action::ApprovalCommented, Event::Commented, now).await?;
    Ok(comment)
}
