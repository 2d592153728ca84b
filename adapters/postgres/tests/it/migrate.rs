//! Migrations.

use crate::support::TestDatabase;
use certctl_postgres::{MigrationStatus, check, migrate};

#[tokio::test]
async fn replicas_that_start_together_migrate_once() {
    let db = TestDatabase::empty().await;
    assert!(matches!(check(&db.postgres).await, Ok(MigrationStatus::Pending(_))));
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let replica = db.replica();
            tokio::spawn(async move { migrate(&replica).await.expect("a migration run") })
        })
        .collect();
    let mut ran = Vec::new();
    for run in runs {
        ran.push(run.await.expect("no panic"));
    }
    ran.retain(|names| !names.is_empty());
    assert_eq!(ran.len(), 1, "{ran:?}");
    assert_eq!(check(&db.postgres).await.expect("a status"), MigrationStatus::Current);
    let applied: i64 = db
        .session()
        .await
        .query_one("SELECT count(*) FROM public.refinery_schema_history", &[])
        .await
        .expect("the history")
        .get(0);
    assert_eq!(applied, i64::try_from(ran[0].len()).expect("few"));
}

#[tokio::test]
async fn a_database_of_a_newer_build_is_left_alone() {
    let db = TestDatabase::new().await;
    db.session()
        .await
        .batch_execute(
            "INSERT INTO public.refinery_schema_history (version, name, applied_on, checksum) \
             VALUES (9001, 'from_the_future', '2026-01-01T00:00:00Z', '1')",
        )
        .await
        .expect("a row");
    assert_eq!(check(&db.postgres).await.expect("a status"), MigrationStatus::Newer(vec!["V9001".to_owned()]));
    let refusal = migrate(&db.postgres).await.expect_err("a newer schema").to_string();
    assert!(refusal.contains("newer than this build"), "{refusal}");
}
