//! Contract test kit: call it from an adapter's tests with an empty database. It panics at the first broken promise.

use crate::{Database, IdempotencyClaim, IdempotencyKey, StoredResponse};
use certctl_audit::{Action, AuditEvent, AuditFilter};
use certctl_kernel::{ListQuery, RequestContext, Timestamp};
use serde_json::json;

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey { actor: "System:contract".into(), key: name.into(), request_hash: "h".into() }
}

fn event(subject: &str) -> AuditEvent {
    AuditEvent::new(Action::CreateTeam, &RequestContext::system("contract"), subject, json!({}))
}

/// Whether the change that [`make`] made under `name` is there for others; looks without leaving a trace.
async fn visible(db: &dyn Database, name: &str, expires: Timestamp) -> bool {
    let mut unit = db.begin().await.expect("begins");
    let claim = unit.claim_idempotency(&key(name), expires).await.expect("a claim");
    unit.discard().await.expect("discards");
    claim != IdempotencyClaim::Fresh
}

/// Changes something in an open unit of work.
async fn make(stores: &mut dyn crate::Stores, name: &str, expires: Timestamp) {
    let claim = stores.claim_idempotency(&key(name), expires).await.expect("a claim");
    assert_eq!(claim, IdempotencyClaim::Fresh, "{name} is new");
    let response = StoredResponse { status: 201, body: None };
    stores.store_idempotent_response(&key(name), &response).await.expect("stored");
}

/// Checks [`Database`] and the units of work that it gives; `expires` lies in the future.
pub async fn database(db: &dyn Database, expires: Timestamp) {
    db.ping().await.expect("answers");

    let mut unit = db.begin().await.expect("begins");
    make(unit.stores(), "saved", expires).await;
    unit.record(event("team-saved")).await.expect("records");
    unit.save().await.expect("a change with its event is saved");
    assert!(visible(db, "saved", expires).await, "what was saved is there");

    let mut unit = db.begin().await.expect("begins");
    make(unit.stores(), "silent", expires).await;
    unit.save().await.expect_err("a change without an event is refused");
    assert!(!visible(db, "silent", expires).await, "what was refused is not there");

    let mut unit = db.begin().await.expect("begins");
    make(unit.stores(), "by-design", expires).await;
    unit.save_unaudited("the contract's own change").await.expect("a change that needs no event is saved");
    assert!(visible(db, "by-design", expires).await, "what was saved without an event is there");

    let mut unit = db.begin().await.expect("begins");
    make(unit.stores(), "discarded", expires).await;
    unit.record(event("team-discarded")).await.expect("records");
    unit.discard().await.expect("discards");
    assert!(!visible(db, "discarded", expires).await, "what was discarded is not there");

    let mut unit = db.begin().await.expect("begins");
    make(unit.stores(), "dropped", expires).await;
    unit.record(event("team-dropped")).await.expect("records");
    drop(unit);
    assert!(!visible(db, "dropped", expires).await, "what was dropped is not there");

    let mut reading = db.read().await.expect("reads");
    reading.claim_idempotency(&key("read"), expires).await.expect_err("a unit that reads does not write");
    assert!(!visible(db, "read", expires).await, "nothing was written");

    let mut reading = db.read().await.expect("reads");
    let mut found = Vec::new();
    for subject in ["team-saved", "team-discarded", "team-dropped"] {
        let filter = AuditFilter { resource_id: Some(subject.to_owned()), ..AuditFilter::default() };
        found.push(reading.audit_page(&filter, &ListQuery::default()).await.expect("lists").total);
    }
    assert_eq!(found, [1, 0, 0], "the trail tells of what was saved and of nothing else");
}
