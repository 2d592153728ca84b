//! The audit trail and its hold on every change.

use crate::support::{START, TestDatabase, alice};
use certctl_audit::{Action, AuditEvent, AuditFilter, Category};
use certctl_kernel::{ListQuery, StoreError};
use certctl_unit_of_work::IdempotencyKey;
use serde_json::json;
use time::Duration;

fn event(action: Action, resource: &str) -> AuditEvent {
    AuditEvent::new(action, &alice().context, resource, json!({"password": "hunter2", "from": "here"}))
}

async fn record(db: &TestDatabase, action: Action, resource: &str) {
    let mut tx = db.begin().await;
    tx.record(event(action, resource)).await.expect("recorded");
    tx.save().await.expect("a commit");
}

#[tokio::test]
async fn a_change_without_an_event_is_refused_and_undone() {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    let key = IdempotencyKey { actor: "APIKey:alice".into(), key: "k".into(), request_hash: "h".into() };
    tx.claim_idempotency(&key, START + Duration::DAY).await.expect("a claim");
    assert!(matches!(tx.save().await, Err(StoreError::Internal { .. })));
    let session = db.session().await;
    let kept: i64 =
        session.query_one("SELECT count(*) FROM platform.idempotency_keys", &[]).await.expect("a count").get(0);
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn an_event_is_queued_for_sealing_and_disappears_with_its_transaction() {
    let db = TestDatabase::new().await;
    record(&db, Action::ApiKeyCreated, "ak-1").await;
    let mut tx = db.begin().await;
    tx.record(event(Action::ApiKeyRevoked, "ak-1")).await.expect("recorded");
    drop(tx);
    let session = db.session().await;
    let queued = session
        .query("SELECT e.action FROM audit.unsealed u JOIN audit.events e USING (insert_id)", &[])
        .await
        .expect("rows");
    assert_eq!(queued.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["api_key.created"]);
    let events: i64 = session.query_one("SELECT count(*) FROM audit.events", &[]).await.expect("a count").get(0);
    assert_eq!(events, 1);
}

#[tokio::test]
async fn nothing_stored_in_the_trail_can_be_changed_or_removed() {
    let db = TestDatabase::new().await;
    record(&db, Action::ApiKeyCreated, "ak-1").await;
    let session = db.session().await;
    for statement in [
        "UPDATE audit.events SET actor_id = 'mallory'",
        "DELETE FROM audit.events",
        "TRUNCATE audit.events",
        "UPDATE audit.events_default SET actor_id = 'mallory'",
        "DELETE FROM audit.events_default",
        "TRUNCATE audit.events_default",
    ] {
        let error = session.batch_execute(statement).await.expect_err(statement);
        let error = error.as_db_error().expect("the database refuses").message().to_owned();
        assert_eq!(error, "the audit trail is append-only", "{statement}");
    }
}

#[tokio::test]
async fn the_trail_is_filtered_newest_first_and_counted_over_all_pages() {
    let db = TestDatabase::new().await;
    for (minutes, action, resource) in [
        (0, Action::ApiKeyCreated, "ak-1"),
        (1, Action::CertificateCreated, "mc-1"),
        (2, Action::ApiKeyRevoked, "ak-1"),
        (3, Action::ApiKeyCreated, "ak-2"),
    ] {
        db.clock.set(START + Duration::minutes(minutes));
        record(&db, action, resource).await;
    }
    let ask = async |filter: AuditFilter, list: ListQuery| {
        let page = db.read().await.audit_page(&filter, &list).await.expect("a page");
        (page.rows.into_iter().map(|row| row.resource_id).collect::<Vec<_>>(), page.total)
    };
    let auth = AuditFilter { category: Some(Category::Auth), ..AuditFilter::default() };
    let first = ListQuery { page: 1, per_page: 2, cursor: None };
    assert_eq!(ask(auth.clone(), first.clone()).await, (vec!["ak-2".into(), "ak-1".into()], 3));
    assert_eq!(ask(auth, ListQuery { page: 2, ..first }).await, (vec!["ak-1".into()], 3));
    let mut walked = Vec::new();
    let mut list = ListQuery { page: 1, per_page: 3, cursor: None };
    loop {
        let page = db.read().await.audit_page(&AuditFilter::default(), &list).await.expect("a page");
        walked.extend(page.rows.into_iter().map(|row| row.resource_id));
        // An event that arrives between two pages neither shifts nor repeats what follows.
        record(&db, Action::ApiKeyCreated, "ak-late").await;
        match page.next {
            Some(next) => list.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(walked, ["ak-2", "ak-1", "mc-1", "ak-1"]);
    let window = AuditFilter {
        since: Some(START + Duration::MINUTE),
        until: Some(START + Duration::minutes(2)),
        ..AuditFilter::default()
    };
    assert_eq!(ask(window, ListQuery::default()).await, (vec!["ak-1".into(), "mc-1".into()], 2));
    let one = AuditFilter {
        action: Some("api_key.created".into()),
        resource_id: Some("ak-1".into()),
        resource_type: Some("api_key".into()),
        actor_id: Some("alice".into()),
        actor_type: Some("APIKey".into()),
        ..AuditFilter::default()
    };
    assert_eq!(ask(one, ListQuery::default()).await, (vec!["ak-1".into()], 1));
}

#[tokio::test]
async fn an_event_is_found_by_its_own_id_and_keeps_no_secret() {
    let db = TestDatabase::new().await;
    record(&db, Action::ApiKeyCreated, "ak-1").await;
    let mut stores = db.read().await;
    let page = stores.audit_page(&AuditFilter::default(), &ListQuery::default()).await.expect("a page");
    let found = stores.audit_event(&page.rows[0].id).await.expect("a lookup").expect("the event");
    assert_eq!(found, page.rows[0]);
    assert_eq!(
        found.details,
        json!({"password": "[REDACTED:CREDENTIAL]", "from": "here", "redacted_keys": ["password"]})
    );
    assert_eq!(stores.audit_event("ak-1").await, Ok(None));
}
