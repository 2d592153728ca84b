//! Idempotency, leadership, and connections that only read.

use crate::support::{START, TestDatabase};
use async_trait::async_trait;
use certctl_audit::AuditFilter;
use certctl_kernel::{ListQuery, StoreError};
use certctl_ports::Change;
use certctl_postgres::{Listener, Notice};
use certctl_unit_of_work::contract::{self, Subject};
use certctl_unit_of_work::{Database as _, IdempotencyClaim, IdempotencyKey, StoredResponse, UnitOfWork};
use time::Duration;

fn key(request_hash: &str) -> IdempotencyKey {
    IdempotencyKey {
        actor: "APIKey:alice".into(),
        key: "POST /api/v1/teams k1".into(),
        request_hash: request_hash.into(),
    }
}

#[async_trait]
impl Subject for TestDatabase {
    type Unit = dyn UnitOfWork;

    async fn ping(&self) -> Result<(), StoreError> {
        self.postgres.ping().await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        self.postgres.begin().await
    }

    async fn read(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        self.postgres.read().await
    }

    async fn events_about(&self, resource_id: &str) -> Result<i64, StoreError> {
        let filter = AuditFilter { resource_id: Some(resource_id.to_owned()), ..AuditFilter::default() };
        Ok(self.postgres.read().await?.audit_page(&filter, &ListQuery::default()).await?.total)
    }
}

#[tokio::test]
async fn units_of_work_keep_their_contract() {
    contract::database(&TestDatabase::new().await, START + Duration::DAY).await;
}

#[tokio::test]
async fn a_repeated_request_waits_for_the_first_and_gets_its_response() {
    let db = TestDatabase::new().await;
    let expires = START + Duration::DAY;
    let mut first = db.begin().await;
    assert_eq!(first.claim_idempotency(&key("h"), expires).await, Ok(IdempotencyClaim::Fresh));
    let replica = db.replica();
    let second = tokio::spawn(async move {
        let mut tx = replica.begin().await.expect("a transaction");
        tx.claim_idempotency(&key("h"), expires).await.expect("a claim")
    });
    // The second is known to wait once the database lists its lock as not granted.
    let session = db.session().await;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while session.query_one(waiting, &[]).await.expect("a count").get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    let response = StoredResponse { status: 201, body: Some("{\"id\":\"team-1\"}".into()) };
    first.store_idempotent_response(&key("h"), &response).await.expect("stored");
    first.save_unaudited("the claim alone is under test").await.expect("a commit");
    assert_eq!(second.await.expect("no panic"), IdempotencyClaim::Replay(response));
}

#[tokio::test]
async fn a_key_reused_with_another_body_is_a_mistake_and_a_discarded_claim_leaves_nothing() {
    let db = TestDatabase::new().await;
    let expires = START + Duration::DAY;
    let mut tx = db.begin().await;
    tx.claim_idempotency(&key("h"), expires).await.expect("a claim");
    tx.discard().await.expect("a rollback");
    let mut tx = db.begin().await;
    assert_eq!(tx.claim_idempotency(&key("other"), expires).await, Ok(IdempotencyClaim::Fresh));
    tx.save_unaudited("the claim alone is under test").await.expect("a commit");
    let mut tx = db.begin().await;
    assert_eq!(tx.claim_idempotency(&key("h"), expires).await, Ok(IdempotencyClaim::Mismatch));
    assert_eq!(tx.purge_idempotency(expires + Duration::SECOND).await, Ok(1));
}

#[tokio::test]
async fn the_secret_response_is_not_kept() {
    let db = TestDatabase::new().await;
    let expires = START + Duration::DAY;
    let mut tx = db.begin().await;
    tx.claim_idempotency(&key("h"), expires).await.expect("a claim");
    let response = StoredResponse { status: 201, body: None };
    tx.store_idempotent_response(&key("h"), &response).await.expect("stored");
    tx.save_unaudited("the claim alone is under test").await.expect("a commit");
    let mut tx = db.begin().await;
    assert_eq!(tx.claim_idempotency(&key("h"), expires).await, Ok(IdempotencyClaim::Replay(response)));
}

#[tokio::test]
async fn connections_for_reading_refuse_to_write() {
    let db = TestDatabase::new().await;
    let mut stores = db.read().await;
    let refused = stores.claim_idempotency(&key("h"), START).await;
    let Err(StoreError::Internal { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("read-only"), "{reason}");
    assert!(matches!(stores.save_unaudited("nothing").await, Err(StoreError::Internal { .. })));
}

#[tokio::test]
async fn one_replica_leads_a_loop_at_a_time() {
    let db = TestDatabase::new().await;
    let mut first = db.begin().await;
    assert_eq!(first.try_lead("renewal").await, Ok(true));
    let other = db.replica();
    let mut second = other.begin().await.expect("a transaction");
    assert_eq!(second.try_lead("renewal").await, Ok(false));
    assert_eq!(second.try_lead("crl").await, Ok(true));
    first.discard().await.expect("a rollback");
    assert_eq!(second.try_lead("renewal").await, Ok(true));
}

#[tokio::test]
async fn replicas_hear_of_saved_changes_and_of_no_others() {
    let db = TestDatabase::new().await;
    let mut listener = Listener::connect(&db.replica()).await.expect("a session");
    assert_eq!(listener.next().await, Some(Notice::Connected));
    let mut tx = db.begin().await;
    tx.announce(Change::Issuer("iss-discarded".into())).await.expect("queued");
    tx.discard().await.expect("a rollback");
    let mut tx = db.begin().await;
    tx.announce(Change::Access).await.expect("queued");
    tx.save_unaudited("the announcement alone is under test").await.expect("a commit");
    assert_eq!(listener.next().await, Some(Notice::Changed(Change::Access)));
    let admin = db.session().await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    admin.batch_execute(end).await.expect("sessions end");
    assert_eq!(listener.next().await, Some(Notice::Disconnected));
    assert_eq!(listener.next().await, None);
}
