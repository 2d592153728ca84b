//! Audit events: inserted with the change they tell of, and queued for sealing by the same statement.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_audit::{AuditEvent, AuditFilter, AuditLog, AuditRecord, AuditStore};
use certctl_kernel::{Cursor, IdKind, ListQuery, Page, StoreError, Timestamp, timestamp};
use serde_json::Value;
use tokio_postgres::Row;

#[async_trait]
impl AuditLog for PgUnitOfWork {
    async fn record(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        let id = self.fresh_id(IdKind::AuditEvent);
        let at = self.ambient().now();
        self.execute(
            "WITH event AS (INSERT INTO audit.events (id, at, actor_id, actor_type, action, resource_type, \
             resource_id, category, details, request_id, source_ip, tenant_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING insert_id, at) \
             INSERT INTO audit.unsealed (insert_id, at) SELECT insert_id, at FROM event",
            &[
                &id,
                &at,
                &event.actor.id,
                &event.actor.kind.as_str(),
                &event.action.as_str(),
                &event.action.resource_type(),
                &event.resource_id,
                &event.action.category().as_str(),
                &Value::Object(event.details),
                &event.request_id,
                &event.source_ip,
                &event.actor.tenant_id,
            ],
        )
        .await?;
        self.count_event();
        Ok(())
    }

    async fn record_all(&mut self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let at = self.ambient().now();
        let ids: Vec<_> = events.iter().map(|_| self.fresh_id(IdKind::AuditEvent)).collect();
        let column = |read: fn(&AuditEvent) -> &str| -> Vec<&str> { events.iter().map(read).collect() };
        let details: Vec<Value> = events.iter().map(|event| Value::Object(event.details.clone())).collect();
        let addresses: Vec<Option<&str>> = events.iter().map(|event| event.source_ip.as_deref()).collect();
        self.execute(
            "WITH event AS (INSERT INTO audit.events (id, at, actor_id, actor_type, action, resource_type, \
             resource_id, category, details, request_id, source_ip, tenant_id) \
             SELECT e.id, $2, e.actor, e.kind, e.action, e.resource, e.resource_id, e.category, e.details, e.request, \
               e.address, e.tenant \
             FROM unnest($1::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], \
               $9::jsonb[], $10::text[], $11::text[], $12::text[]) AS e (id, actor, kind, action, resource, \
               resource_id, category, details, request, address, tenant) RETURNING insert_id, at) \
             INSERT INTO audit.unsealed (insert_id, at) SELECT insert_id, at FROM event",
            &[
                &ids,
                &at,
                &column(|event| &event.actor.id),
                &column(|event| event.actor.kind.as_str()),
                &column(|event| event.action.as_str()),
                &column(|event| event.action.resource_type()),
                &column(|event| &event.resource_id),
                &column(|event| event.action.category().as_str()),
                &details,
                &column(|event| &event.request_id),
                &addresses,
                &column(|event| &event.actor.tenant_id),
            ],
        )
        .await?;
        for _ in &events {
            self.count_event();
        }
        Ok(())
    }
}

/// Columns that [`record`] reads, in its order.
pub(crate) const COLUMNS: &str = "id, at, actor_id, actor_type, action, resource_type, resource_id, category, \
     details, request_id, insert_id, source_ip, tenant_id";
/// The event's number in the log, after [`COLUMNS`].
const SEQ: &str = "(SELECT l.seq FROM audit.log l WHERE l.insert_id = events.insert_id) AS seq";

/// Reads [`COLUMNS`] and, where it was selected, `seq`.
pub(crate) fn record(row: &Row) -> AuditRecord {
    AuditRecord {
        id: row.get(0),
        at: row.get(1),
        actor_id: row.get(2),
        actor_type: row.get(3),
        action: row.get(4),
        resource_type: row.get(5),
        resource_id: row.get(6),
        category: row.get(7),
        details: row.get(8),
        request_id: row.get(9),
        source_ip: row.get(11),
        tenant_id: row.get(12),
        seq: row.try_get::<_, Option<i64>>("seq").ok().flatten().and_then(|seq| u64::try_from(seq).ok()),
    }
}

/// Where a cursor points: the instant and number of the last event seen. One that was tampered with points nowhere.
fn position(cursor: &Cursor) -> Result<(Timestamp, i64), StoreError> {
    let at = cursor.key_timestamp().ok();
    at.zip(cursor.id.parse().ok()).ok_or_else(|| StoreError::CheckFailed { constraint: "cursor".to_owned() })
}

const WHERE: &str = "($1::text IS NULL OR category = $1) AND ($2::timestamptz IS NULL OR at >= $2) \
     AND ($3::timestamptz IS NULL OR at <= $3) AND ($4::text IS NULL OR actor_id = $4) \
     AND ($5::text IS NULL OR actor_type = $5) AND ($6::text IS NULL OR action = $6) \
     AND ($7::text IS NULL OR resource_type = $7) AND ($8::text IS NULL OR resource_id = $8) \
     AND ($9::text IS NULL OR request_id = $9) AND ($10::text IS NULL OR resource_id ILIKE $10 OR actor_id ILIKE $10 \
     OR action ILIKE $10 OR details::text ILIKE $10)";

/// A pattern of `ILIKE` that finds `text` anywhere.
fn anywhere(text: &str) -> String {
    format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

#[async_trait]
impl AuditStore for PgUnitOfWork {
    async fn audit_page(&mut self, filter: &AuditFilter, list: &ListQuery) -> Result<Page<AuditRecord>, StoreError> {
        let category = filter.category.map(certctl_audit::Category::as_str);
        let q = filter.q.as_deref().map(anywhere);
        let total: i64 = self
            .query_one(
                &format!("SELECT count(*) FROM audit.events WHERE {WHERE}"),
                &[
                    &category,
                    &filter.since,
                    &filter.until,
                    &filter.actor_id,
                    &filter.actor_type,
                    &filter.action,
                    &filter.resource_type,
                    &filter.resource_id,
                    &filter.request_id,
                    &q,
                ],
            )
            .await?
            .get(0);
        let after = list.cursor.as_ref().map(position).transpose()?;
        let (after_at, after_id) = after.unzip();
        let mut rows = self
            .query(
                &format!(
                    "SELECT {COLUMNS}, {SEQ} FROM audit.events WHERE {WHERE} \
                     AND ($11::timestamptz IS NULL OR (at, insert_id) < ($11, $12::bigint)) \
                     ORDER BY at DESC, insert_id DESC LIMIT $13 OFFSET $14"
                ),
                &[
                    &category,
                    &filter.since,
                    &filter.until,
                    &filter.actor_id,
                    &filter.actor_type,
                    &filter.action,
                    &filter.resource_type,
                    &filter.resource_id,
                    &filter.request_id,
                    &q,
                    &after_at,
                    &after_id,
                    // One more than asked for tells whether more follow.
                    &(list.limit() + 1),
                    &list.offset(),
                ],
            )
            .await?;
        let more = rows.len() > usize::try_from(list.limit()).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        let next = rows.last().filter(|_| more).map(|row| Cursor {
            key: timestamp::to_rfc3339(row.get(1)),
            id: row.get::<_, i64>(10).to_string(),
            filter_hash: list.cursor.as_ref().map(|cursor| cursor.filter_hash.clone()).unwrap_or_default(),
        });
        Ok(Page { rows: rows.iter().map(record).collect(), total, next })
    }

    async fn audit_event(&mut self, id: &str) -> Result<Option<AuditRecord>, StoreError> {
        Ok(self
            .query_opt(&format!("SELECT {COLUMNS}, {SEQ} FROM audit.events WHERE id = $1"), &[&id])
            .await?
            .as_ref()
            .map(record))
    }
}
