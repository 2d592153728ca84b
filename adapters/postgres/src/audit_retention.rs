//! Months of the trail, and days of the request log.

use crate::audit_log::number;
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_audit::{AccessEntry, AccessLogStore};
use certctl_audit_log::{Archive, Month, RetentionStore};
use certctl_kernel::{StoreError, Timestamp};

/// Days of the request log that are made ahead.
const DAYS_AHEAD: i32 = 7;

#[async_trait]
impl RetentionStore for PgUnitOfWork {
    async fn make_months(&mut self, now: Timestamp, ahead: u32) -> Result<u64, StoreError> {
        let ahead = i32::try_from(ahead).unwrap_or(i32::MAX);
        let made: i32 = self.query_one("SELECT audit.make_event_partitions($1, $2)", &[&now, &ahead]).await?.get(0);
        Ok(u64::try_from(made).unwrap_or(0))
    }

    async fn months(&mut self) -> Result<Vec<Month>, StoreError> {
        let rows = self
            .query(
                "SELECT c.relname::text, m.from_at, m.from_at + interval '1 month' FROM pg_inherits i \
                 JOIN pg_class c ON c.oid = i.inhrelid, \
                 LATERAL (SELECT to_timestamp(substr(c.relname, 8), 'YYYY_MM')::timestamp AS from_at) m \
                 WHERE i.inhparent = 'audit.events'::regclass AND c.relname ~ '^events_[0-9]{4}_[0-9]{2}$' \
                 ORDER BY m.from_at",
                &[],
            )
            .await?;
        let utc = |row: &tokio_postgres::Row, index| row.get::<_, time::PrimitiveDateTime>(index).assume_utc();
        Ok(rows.iter().map(|row| Month { partition: row.get(0), from: utc(row, 1), until: utc(row, 2) }).collect())
    }

    async fn unsealed_before(&mut self, until: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT FROM audit.unsealed WHERE at < $1)";
        Ok(self.query_one(sql, &[&until]).await?.get(0))
    }

    async fn insert_archive(&mut self, archive: &Archive, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO audit.archives (partition, from_at, until_at, events, first_seq, last_seq, file, sha256, \
             checkpoint_size, archived_at, event_id) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, e.id \
             FROM audit.events e WHERE e.resource_type = 'audit' AND e.resource_id = $1 \
             AND e.action = 'audit.archived' ORDER BY e.at DESC, e.insert_id DESC LIMIT 1",
            &[
                &archive.partition,
                &archive.from,
                &archive.until,
                &number(archive.events),
                &archive.first_seq.map(number),
                &archive.last_seq.map(number),
                &archive.file,
                &archive.sha256,
                &number(archive.checkpoint_size),
                &now,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn drop_month(&mut self, partition: &str) -> Result<(), StoreError> {
        self.execute("SELECT audit.drop_archived($1)", &[&partition]).await.map(|_| ())
    }
}

#[async_trait]
impl AccessLogStore for PgUnitOfWork {
    async fn append_access(&mut self, entries: &[AccessEntry]) -> Result<(), StoreError> {
        let text = |pick: fn(&AccessEntry) -> &str| entries.iter().map(pick).collect::<Vec<_>>();
        let optional = |pick: fn(&AccessEntry) -> Option<&str>| entries.iter().map(pick).collect::<Vec<_>>();
        let at: Vec<Timestamp> = entries.iter().map(|entry| entry.at).collect();
        let status: Vec<i16> = entries.iter().map(|entry| i16::try_from(entry.status).unwrap_or(0)).collect();
        let latency: Vec<f64> = entries.iter().map(|entry| entry.latency_ms).collect();
        let sampled: Vec<i32> = entries.iter().map(|entry| i32::try_from(entry.sampled).unwrap_or(i32::MAX)).collect();
        self.execute(
            "INSERT INTO audit.access_log (at, request_id, actor_id, actor_type, method, path, route, status, \
             latency_ms, body_hash, permission, source_ip, user_agent, sampled) SELECT * FROM unnest( \
             $1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
             $8::smallint[], $9::float8[], $10::text[], $11::text[], $12::text[], $13::text[], $14::int[])",
            &[
                &at,
                &text(|entry| &entry.request_id),
                &text(|entry| &entry.actor_id),
                &text(|entry| entry.actor_type.as_str()),
                &text(|entry| &entry.method),
                &text(|entry| &entry.path),
                &text(|entry| &entry.route),
                &status,
                &latency,
                &text(|entry| &entry.body_hash),
                &optional(|entry| entry.permission.as_deref()),
                &optional(|entry| entry.source_ip.as_deref()),
                &optional(|entry| entry.user_agent.as_deref()),
                &sampled,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn turn_access_log(&mut self, now: Timestamp, before: Timestamp) -> Result<u64, StoreError> {
        let sql = "SELECT audit.turn_access_log($1, $2, $3)";
        let turned: i32 = self.query_one(sql, &[&now, &DAYS_AHEAD, &before]).await?.get(0);
        Ok(u64::try_from(turned).unwrap_or(0))
    }
}
