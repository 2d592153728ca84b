//! Limits that hold across replicas.

use crate::support::TestDatabase;
use certctl_kernel::StoreError;
use certctl_ports::{Bucket, Clock as _, Quota, RateLimits as _, Verdict};
use certctl_postgres::PgRateLimits;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far more than a server allows, so that a busy machine fails no test.
const GENEROUS: Duration = Duration::from_secs(20);

fn limits(db: &TestDatabase) -> Arc<PgRateLimits> {
    Arc::new(db.replica().rate_limits(GENEROUS).expect("a pool"))
}

fn bucket(key: &str) -> Bucket<'_> {
    Bucket { limiter: "test", key }
}

#[tokio::test]
async fn they_keep_the_contract() {
    let db = TestDatabase::new().await;
    let session = db.session().await;
    let limits = limits(&db);
    certctl_ports::contract::rate_limits(limits.as_ref(), async |time| {
        // Setting the counts back is what time going by looks like to the database.
        db.clock.set(db.clock.now() + time);
        let nanos = i64::try_from(time.as_nanos()).expect("short");
        session.execute("UPDATE platform.rate_limits SET tat = tat - $1", &[&nanos]).await.expect("time passes");
    })
    .await;
}

#[tokio::test]
async fn two_replicas_share_one_burst() {
    let db = TestDatabase::new().await;
    let replicas = [limits(&db), limits(&db)];
    let asked = (0..60).map(|n: usize| {
        let limits = Arc::clone(&replicas[n % 2]);
        tokio::spawn(async move { limits.take(bucket("one"), Quota::per_hour(10)).await.expect("an answer") })
    });
    let verdicts: Vec<Verdict> = join_all(asked).await.into_iter().map(|outcome| outcome.expect("it ran")).collect();
    let mut left: Vec<u32> = verdicts.iter().filter(|v| v.allowed).map(|v| v.remaining).collect();
    left.sort_unstable();
    assert_eq!(left, (0..10).collect::<Vec<_>>(), "each unit was given once");
}

#[tokio::test]
async fn the_database_and_the_plain_arithmetic_agree() {
    let db = TestDatabase::new().await;
    let session = db.session().await;
    let limits = limits(&db);
    let hour = 3_600_000_000_000_i64;
    // Offsets of the stored count from now: rest, half used, just full, over, and set back clocks.
    for (offset, allowed) in [(-hour, true), (hour / 2, true), (hour, false), (2 * hour, false), (48 * hour, false)] {
        session
            .execute(
                "INSERT INTO platform.rate_limits AS r (limiter, key, tat) \
                 VALUES ('test', 'k', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 + $1) \
                 ON CONFLICT (limiter, key) DO UPDATE SET tat = EXCLUDED.tat, refused = 0",
                &[&offset],
            )
            .await
            .expect("a count");
        let quota = Quota::per_hour(6);
        let plain = quota.take(offset, 0).verdict;
        assert_eq!(plain.allowed, allowed, "{offset}");
        let peeked = limits.peek(bucket("k"), quota).await.expect("an answer");
        let taken = limits.take(bucket("k"), quota).await.expect("an answer");
        assert_eq!((peeked.allowed, taken.allowed, taken.remaining), (allowed, allowed, plain.remaining), "{offset}");
        let apart = plain.reset_after.abs_diff(taken.reset_after);
        assert!(apart < GENEROUS, "{offset}: {plain:?} {taken:?}");
    }
}

#[tokio::test]
async fn sweeping_takes_what_is_at_rest_and_nothing_else() {
    let db = TestDatabase::new().await;
    let session = db.session().await;
    let limits = limits(&db);
    session
        .batch_execute(
            "INSERT INTO platform.rate_limits (limiter, key, tat) \
             SELECT 'address', n::text, n FROM generate_series(1, 25000) n",
        )
        .await
        .expect("old counts");
    assert!(limits.take(bucket("live"), Quota::per_hour(1)).await.expect("an answer").allowed);
    assert_eq!(limits.sweep().await.expect("sweeps"), 25_000);
    assert!(!limits.take(bucket("live"), Quota::per_hour(1)).await.expect("an answer").allowed);
}

#[tokio::test]
async fn a_count_that_is_held_up_is_an_error_within_the_budget_and_not_a_wait() {
    let db = TestDatabase::new().await;
    let mut session = db.session().await;
    let lock = session.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE platform.rate_limits").await.expect("a lock");
    let limits = db.replica().rate_limits(Duration::from_millis(50)).expect("a pool");
    let started = Instant::now();
    let outcome = limits.take(bucket("k"), Quota::per_hour(1)).await;
    assert!(matches!(outcome, Err(StoreError::Timeout | StoreError::Conflict)), "{outcome:?}");
    // The lock is held until after this line, so an answer that waited for it would never come.
    assert!(started.elapsed() < GENEROUS);
    lock.rollback().await.expect("released");
}

#[tokio::test]
async fn a_refusal_stands_without_asking_again_until_its_wait_is_over() {
    let db = TestDatabase::new().await;
    let session = db.session().await;
    let limits = limits(&db);
    let quota = Quota::per_hour(2);
    for allowed in [true, true, false] {
        assert_eq!(limits.take(bucket("flood"), quota).await.expect("an answer").allowed, allowed);
    }
    let refused = async || -> i64 {
        let sql = "SELECT refused FROM platform.rate_limits WHERE key = 'flood'";
        session.query_one(sql, &[]).await.expect("a row").get(0)
    };
    assert_eq!(refused().await, 1);
    for _ in 0..50 {
        assert!(!limits.take(bucket("flood"), quota).await.expect("an answer").allowed);
    }
    assert_eq!(refused().await, 1, "the flood stays out of the database");
    db.clock.set(db.clock.now() + Duration::from_mins(10));
    let waiting = limits.take(bucket("flood"), quota).await.expect("an answer");
    assert!(!waiting.allowed && waiting.retry_after <= Duration::from_mins(20), "{waiting:?}");
    db.clock.set(db.clock.now() + Duration::from_mins(21));
    session.batch_execute("UPDATE platform.rate_limits SET tat = tat - 1860000000000").await.expect("31 minutes");
    assert!(limits.take(bucket("flood"), quota).await.expect("an answer").allowed);
    let other = limits.take(bucket("calm"), quota).await.expect("an answer");
    assert!(other.allowed, "others are asked about");
}
