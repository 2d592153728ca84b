//! Figures: what is counted, and as what.

use crate::edge::{TOKEN, send};
use crate::fleet::{issued, served};
use crate::support::{START, TestDatabase, alice};
use certctl_rbac::{Caller, Permission};
use certctl_stats::{certificates_by_status, expirations, inventory, issued as versions_issued, jobs_ended};
use serde_json::json;
use time::Duration;

/// Changes rows behind the product's back.
async fn sql(db: &TestDatabase, statement: &str) {
    db.session().await.batch_execute(statement).await.expect("runs");
}

/// Six certificates: never issued, good for long, ending soon, over, revoked, archived.
async fn shelf(db: &TestDatabase) {
    for (number, name) in (1..).zip(["pending", "long", "soon", "over", "revoked", "archived"]) {
        let (certificate, ..) = served(db, name).await;
        if name != "pending" {
            issued(db, &certificate, number).await;
        }
        let moved = match name {
            "soon" => "status = 'Active', expires_at = '2026-03-03 01:00Z'",
            "over" => "status = 'Active', expires_at = '2026-03-01 11:00Z'",
            "revoked" => "status = 'Revoked', revoked_at = now(), expires_at = '2026-03-03 01:00Z'",
            "archived" => "status = 'Archived', archived_at = now(), expires_at = '2026-03-03 01:00Z'",
            _ => continue,
        };
        sql(db, &format!("UPDATE inventory.certificates SET {moved} WHERE id = '{}'", certificate.id)).await;
    }
}

#[tokio::test]
async fn certificates_are_counted_by_their_dates_and_archived_ones_not_at_all() {
    let db = TestDatabase::new().await;
    shelf(&db).await;
    let mut unit = db.read().await;
    let counts = inventory(unit.stores(), START, &alice(), Permission::StatsRead).await.expect("counted").certificates;
    assert_eq!((counts.total, counts.expiring, counts.expired, counts.revoked, counts.active()), (5, 1, 1, 1, 2));

    let states = certificates_by_status(unit.stores(), &db.ambient, &alice()).await.expect("counted");
    let states: Vec<_> = states.iter().map(|state| (state.status.as_str(), state.count)).collect();
    assert_eq!(
        states,
        [("Active", 1), ("Archived", 1), ("Expired", 1), ("Expiring", 1), ("Pending", 1), ("Revoked", 1)]
    );
}

#[tokio::test]
async fn series_have_a_row_a_day_and_count_in_utc() {
    let db = TestDatabase::new().await;
    shelf(&db).await;
    let (_, jobs) = issued(&db, &served(&db, "another").await.0, 9).await;
    sql(
        &db,
        &format!(
            "UPDATE work.jobs SET status = 'Completed', completed_at = '2026-02-28 23:59:59Z' WHERE id = '{}'",
            jobs[0]
        ),
    )
    .await;
    let mut unit = db.read().await;
    let ends = expirations(unit.stores(), &db.ambient, &alice(), 4).await.expect("counted");
    let ends: Vec<_> = ends.iter().map(|day| (day.date.to_string(), day.count)).collect();
    let day = |date: &str, count| (date.to_owned(), count);
    assert_eq!(ends, [day("2026-03-01", 1), day("2026-03-02", 0), day("2026-03-03", 1), day("2026-03-04", 0)]);

    let ended = jobs_ended(unit.stores(), &db.ambient, &alice(), 2).await.expect("counted");
    let ended: Vec<_> = ended.iter().map(|day| (day.date.to_string(), day.completed, day.failed)).collect();
    assert_eq!(ended, [("2026-02-28".to_owned(), 1, 0), ("2026-03-01".to_owned(), 0, 0)]);

    let made = versions_issued(unit.stores(), &db.ambient, &alice(), 1).await.expect("counted");
    assert_eq!(made.iter().map(|day| day.count).collect::<Vec<_>>(), [6]);
}

#[tokio::test]
async fn an_attempt_that_failed_stays_counted_when_the_next_one_runs_and_succeeds() {
    let db = TestDatabase::new().await;
    let (_, jobs) = issued(&db, &served(&db, "web").await.0, 1).await;
    let failed_attempts = async || {
        let mut unit = db.read().await;
        inventory(unit.stores(), START, &alice(), Permission::StatsRead).await.expect("counted").jobs.failed_attempts
    };
    assert_eq!(failed_attempts().await, 0);
    let mut seen = Vec::new();
    for state in [
        "status = 'Failed', attempts = 1, retryable = true, last_error = 'x', error_class = 'transient'",
        "status = 'Pending', retryable = false",
        "status = 'Running', attempts = 2, lease_owner = 'x', lease_expires_at = now()",
        "status = 'Completed', lease_owner = NULL, lease_expires_at = NULL, completed_at = now()",
    ] {
        sql(&db, &format!("UPDATE work.jobs SET {state} WHERE id = '{}'", jobs[0])).await;
        seen.push(failed_attempts().await);
    }
    assert_eq!(seen, [1, 1, 1, 1]);
}

#[tokio::test]
async fn figures_are_for_those_who_may_read_them() {
    let db = TestDatabase::new().await;
    let mut nobody: Caller = alice();
    nobody.permissions = std::sync::Arc::new(Vec::new().into_iter().collect());
    let mut unit = db.read().await;
    for permission in [Permission::StatsRead, Permission::MetricsRead] {
        inventory(unit.stores(), START, &nobody, permission).await.expect_err("refused");
    }
    certificates_by_status(unit.stores(), &db.ambient, &nobody).await.expect_err("refused");
    expirations(unit.stores(), &db.ambient, &nobody, 30).await.expect_err("refused");
}

#[tokio::test]
async fn dashboards_and_monitoring_get_the_shapes_they_know() {
    let db = TestDatabase::new().await;
    let mut unit = db.begin().await;
    unit.sync_catalogue().await.expect("a catalogue");
    unit.save_unaudited("the catalogue is the code's").await.expect("saved");
    let edge = crate::edge::edge!(&db);
    let body = json!({"token": TOKEN, "actor_name": "admin"});
    let (_, made) = send!(edge, POST "/api/v1/auth/bootstrap", None, Some(body));
    let key = made["key_value"].as_str().expect("a key").to_owned();
    shelf(&db).await;
    db.clock.set(START + Duration::seconds(1));

    let (status, summary) = send!(edge, GET "/api/v1/stats/summary", Some(&key));
    assert_eq!(
        (status, &summary["total_certificates"], &summary["data"]["revoked_certificates"]),
        (200, &json!(5), &json!(1))
    );
    let (status, days) = send!(edge, GET "/api/v1/stats/job-trends?days=3", Some(&key));
    assert_eq!((status, days.as_array().map(Vec::len), &days[2]["date"]), (200, Some(3), &json!("2026-03-01")));
    let (status, days) = send!(edge, GET "/api/v1/stats/issuance-rate?days=0", Some(&key));
    assert_eq!((status, days.as_array().map(Vec::len)), (200, Some(30)));
    let (status, metrics) = send!(edge, GET "/api/v1/metrics", Some(&key));
    assert_eq!((status, &metrics["gauge"]["certificate_active"]), (200, &json!(2)));
    assert_eq!(metrics["uptime"]["uptime_seconds"], json!(1));
    let (status, _) = send!(edge, GET "/api/v1/metrics/prometheus", None);
    assert_eq!(status, 401);
}
