//! Limits that hold across replicas: one statement a request, on connections of their own, within a budget.

use crate::pool::{LIMIT_CONNECTIONS, Postgres};
use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};
use certctl_ports::{Bucket, Quota, RateLimits, Verdict};
use deadpool_postgres::{Object, Pool};
use futures_util::future::join_all;
use moka::sync::Cache;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// After it, or after the budget where that is longer, a connection that does not answer is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// Refusals remembered in this process.
const REFUSALS: u64 = 50_000;
const SWEEP_BATCH: i64 = 10_000;

const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000";

/// Counts in `platform.rate_limits`, by the database's clock: the replicas' own may differ.
pub struct PgRateLimits {
    pool: Pool,
    postgres: Postgres,
    budget: Duration,
    /// Refusals by limiter and key, with the instant until which they hold.
    refused: Cache<(String, String), (Timestamp, Verdict)>,
}

/// A statement with its parameters; owned, because it outlives the request that gave up on it.
struct Question {
    sql: String,
    limiter: String,
    key: String,
    numbers: Vec<i64>,
}

impl PgRateLimits {
    pub(crate) fn new(pool: Pool, postgres: Postgres, budget: Duration) -> Self {
        // A refusal holds until its wait is over whatever else happens, so a flood need not be asked about again and again.
        let refused = Cache::builder().max_capacity(REFUSALS).time_to_live(Duration::from_hours(1)).build();
        Self { pool, postgres, budget, refused }
    }

    /// Opens the connections, so that no request pays for that out of its budget.
    pub async fn warm(&self) -> Result<(), StoreError> {
        let held = join_all((0..LIMIT_CONNECTIONS).map(|_| self.pool.get())).await;
        held.into_iter().try_for_each(|client| client.map(drop).map_err(|_| StoreError::Unavailable))
    }

    /// The refusal that still holds, with what is left of its wait.
    fn standing_refusal(&self, bucket: Bucket<'_>) -> Option<Verdict> {
        let key = (bucket.limiter.to_owned(), bucket.key.to_owned());
        let (until, verdict) = self.refused.get(&key)?;
        let left = Duration::try_from(until - self.postgres.now()).ok()?;
        // More than there was at first means that the clock was set back: the database knows better.
        if left.is_zero() || left > verdict.retry_after {
            return None;
        }
        let gone = verdict.retry_after.saturating_sub(left);
        Some(Verdict { retry_after: left, reset_after: verdict.reset_after.saturating_sub(gone), ..verdict })
    }

    fn remember(&self, bucket: Bucket<'_>, verdict: Verdict) {
        if !verdict.allowed {
            let key = (bucket.limiter.to_owned(), bucket.key.to_owned());
            self.refused.insert(key, (self.postgres.now() + verdict.retry_after, verdict));
        }
    }

    /// The one row, if it is there within the budget. The work goes on beyond it, so that a connection whose making
    /// takes longer is there for the next request.
    async fn row(&self, question: Question) -> Result<Row, StoreError> {
        let (pool, patience) = (self.pool.clone(), PATIENCE.max(self.budget));
        let work = tokio::spawn(async move {
            let client = pool.get().await.map_err(|_| StoreError::Unavailable)?;
            let outcome = tokio::time::timeout(patience, question.ask(&client)).await;
            outcome.unwrap_or_else(|_| {
                drop(Object::take(client));
                Err(StoreError::Timeout)
            })
        });
        match tokio::time::timeout(self.budget, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StoreError::Internal { reason: "counting a rate limit panicked".to_owned() }),
            Err(_) => Err(StoreError::Timeout),
        }
    }
}

impl Question {
    async fn ask(&self, client: &Object) -> Result<Row, StoreError> {
        let statement = client.prepare_cached(&self.sql).await.map_err(|error| crate::error::map(&error))?;
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&self.limiter, &self.key];
        params.extend(self.numbers.iter().map(|number| number as &(dyn ToSql + Sync)));
        client.query_one(&statement, &params).await.map_err(|error| crate::error::map(&error))
    }
}

#[async_trait]
impl RateLimits for PgRateLimits {
    async fn take(&self, bucket: Bucket<'_>, quota: Quota) -> Result<Verdict, StoreError> {
        if let Some(refusal) = self.standing_refusal(bucket) {
            return Ok(refusal);
        }
        // `EXCLUDED.tat - $3` is now. The arithmetic is `Quota::take`'s.
        let sql = format!(
            "INSERT INTO platform.rate_limits AS r (limiter, key, tat) VALUES ($1, $2, {NOW} + $3) \
             ON CONFLICT (limiter, key) DO UPDATE SET (tat, refused) = ( \
               SELECT CASE WHEN fits THEN base + $3 ELSE base END, CASE WHEN fits THEN 0 ELSE r.refused + 1 END \
               FROM (SELECT base, base + $3 <= EXCLUDED.tat - $3 + $4 AS fits \
                     FROM (SELECT least(greatest(r.tat, EXCLUDED.tat - $3), EXCLUDED.tat - $3 + $4) AS base) b) f) \
             RETURNING tat, refused = 0, {NOW}"
        );
        let numbers = vec![quota.interval_nanos(), quota.window_nanos()];
        let (limiter, key) = (bucket.limiter.to_owned(), bucket.key.to_owned());
        let row = self.row(Question { sql, limiter, key, numbers }).await?;
        let verdict = quota.verdict(row.get(0), row.get(2), row.get(1));
        self.remember(bucket, verdict);
        Ok(verdict)
    }

    async fn peek(&self, bucket: Bucket<'_>, quota: Quota) -> Result<Verdict, StoreError> {
        if let Some(refusal) = self.standing_refusal(bucket) {
            return Ok(refusal);
        }
        let sql = format!("SELECT (SELECT tat FROM platform.rate_limits WHERE limiter = $1 AND key = $2), {NOW}");
        let (limiter, key) = (bucket.limiter.to_owned(), bucket.key.to_owned());
        let row = self.row(Question { sql, limiter, key, numbers: Vec::new() }).await?;
        Ok(quota.peek(row.get::<_, Option<i64>>(0).unwrap_or(i64::MIN), row.get(1)))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let sql = format!(
            "DELETE FROM platform.rate_limits WHERE ctid = ANY(ARRAY( \
               SELECT ctid FROM platform.rate_limits WHERE tat < {NOW} LIMIT $1 FOR UPDATE SKIP LOCKED))"
        );
        let mut gone = 0;
        loop {
            let deleted = self.postgres.execute_alone(&sql, &[&SWEEP_BATCH]).await?;
            gone += deleted;
            if deleted < SWEEP_BATCH.unsigned_abs() {
                return Ok(gone);
            }
        }
    }
}
