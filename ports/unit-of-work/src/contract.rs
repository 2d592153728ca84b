//! Contract test kit: call it from an adapter's tests with an empty database. It panics at the first broken promise.

use crate::{IdempotencyClaim, IdempotencyKey, IdempotencyStore, StoredResponse, Transaction};
use async_trait::async_trait;
use certctl_audit::{Action, AuditEvent, AuditLog as _};
use certctl_kernel::{RequestContext, StoreError, Timestamp};
use serde_json::json;

/// What is put to the test: a database, whichever stores its transactions have beside these.
#[async_trait]
pub trait Subject: Sync {
    /// Its transactions.
    type Unit: Transaction + IdempotencyStore + ?Sized;
    /// Answers when it can be used.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Begins a transaction.
    async fn begin(&self) -> Result<Box<Self::Unit>, StoreError>;
    /// Stores held to reading.
    async fn read(&self) -> Result<Box<Self::Unit>, StoreError>;
    /// How many events about this object are stored.
    async fn events_about(&self, resource_id: &str) -> Result<i64, StoreError>;
}

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey { actor: "System:contract".into(), key: name.into(), request_hash: "h".into() }
}

fn event(subject: &str) -> AuditEvent {
    AuditEvent::new(Action::CreateTeam, &RequestContext::system("contract"), subject, json!({}))
}

/// Whether the change that [`make`] made under `name` is there for others; looks without leaving a trace.
async fn visible<S: Subject>(db: &S, name: &str, expires: Timestamp) -> bool {
    let mut unit = db.begin().await.expect("begins");
    let claim = unit.claim_idempotency(&key(name), expires).await.expect("a claim");
    unit.discard().await.expect("discards");
    claim != IdempotencyClaim::Fresh
}

/// Changes something in an open unit of work.
async fn make(unit: &mut (impl IdempotencyStore + ?Sized), name: &str, expires: Timestamp) {
    let claim = unit.claim_idempotency(&key(name), expires).await.expect("a claim");
    assert_eq!(claim, IdempotencyClaim::Fresh, "{name} is new");
    let response = StoredResponse { status: 201, body: None };
    unit.store_idempotent_response(&key(name), &response).await.expect("stored");
}

/// Checks a database and the units of work that it gives; `expires` lies in the future.
pub async fn database<S: Subject>(db: &S, expires: Timestamp) {
    db.ping().await.expect("answers");

    let mut unit = db.begin().await.expect("begins");
    make(&mut *unit, "saved", expires).await;
    unit.record(event("team-saved")).await.expect("records");
    unit.save().await.expect("a change with its event is saved");
    assert!(visible(db, "saved", expires).await, "what was saved is there");

    let mut unit = db.begin().await.expect("begins");
    make(&mut *unit, "silent", expires).await;
    unit.save().await.expect_err("a change without an event is refused");
    assert!(!visible(db, "silent", expires).await, "what was refused is not there");

    let mut unit = db.begin().await.expect("begins");
    make(&mut *unit, "by-design", expires).await;
    unit.save_unaudited("the contract's own change").await.expect("a change that needs no event is saved");
    assert!(visible(db, "by-design", expires).await, "what was saved without an event is there");

    let mut unit = db.begin().await.expect("begins");
    make(&mut *unit, "discarded", expires).await;
    unit.record(event("team-discarded")).await.expect("records");
    unit.discard().await.expect("discards");
    assert!(!visible(db, "discarded", expires).await, "what was discarded is not there");

    let mut unit = db.begin().await.expect("begins");
    make(&mut *unit, "dropped", expires).await;
    unit.record(event("team-dropped")).await.expect("records");
    drop(unit);
    assert!(!visible(db, "dropped", expires).await, "what was dropped is not there");

    let mut reading = db.read().await.expect("reads");
    reading.claim_idempotency(&key("read"), expires).await.expect_err("a unit that reads does not write");
    assert!(!visible(db, "read", expires).await, "nothing was written");

    let mut found = Vec::new();
    for subject in ["team-saved", "team-discarded", "team-dropped"] {
        found.push(db.events_about(subject).await.expect("counts"));
    }
    assert_eq!(found, [1, 0, 0], "the trail tells of what was saved and of nothing else");
}
