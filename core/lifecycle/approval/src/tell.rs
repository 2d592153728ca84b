//! What is recorded and told of each move.

use crate::{ApprovalRequest, ApprovalStore, Event};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, StoreError, Timestamp, timestamp};
use certctl_ports::{Announcer, Change};
use serde_json::{Map, Value, json};

/// Facts of a request for the audit trail.
pub(crate) fn details(request: &ApprovalRequest, outcome: Event) -> Value {
    let mut details = json!({
        "approval_id": request.id, "kind": request.kind.as_str(), "certificate_id": request.certificate_id,
        "job_id": request.job_id, "profile_id": request.profile_id, "requested_by": request.requester.id,
        "requested_by_person": request.requester.person, "state": request.state.as_str(),
        "outcome": outcome.as_str(), "expires_at": timestamp::to_rfc3339(request.expires_at),
    });
    let facts: Map<String, Value> =
        request.metadata.iter().map(|(name, value)| (format!("metadata_{name}"), json!(value))).collect();
    let decided = request.decision.as_ref().map(|decision| {
        [("decided_by", json!(decision.by.id)), ("decided_by_person", json!(decision.by.person))]
            .into_iter()
            .chain([("note", json!(decision.note))])
            .map(|(name, value)| (name.to_owned(), value))
    });
    if let Value::Object(members) = &mut details {
        members.extend(facts);
        members.extend(decided.into_iter().flatten());
    }
    details
}

/// Records a move, queues what people are to be told, and wakes whoever delivers it.
pub(crate) async fn tell(
    tx: &mut (impl ApprovalStore + AuditLog + Announcer + ?Sized),
    context: &RequestContext,
    request: &ApprovalRequest,
    action: Action,
    event: Event,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.record(AuditEvent::new(action, context, &request.id, details(request, event))).await?;
    tx.queue_telling(&request.id, event, now).await?;
    tx.announce(Change::Approval(request.id.clone())).await
}

/// Writes a request that the caller holds locked.
pub(crate) async fn save(
    tx: &mut (impl ApprovalStore + ?Sized),
    request: &mut ApprovalRequest,
) -> Result<(), DomainError> {
    if !tx.save_approval(request).await? {
        return Err(StoreError::Conflict.into());
    }
    request.row_version += 1;
    Ok(())
}
