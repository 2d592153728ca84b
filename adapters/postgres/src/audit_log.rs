//! The sealed log: leaves, the subtrees over them, signed heads.

use crate::audit::{COLUMNS, record};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_audit_log::{Backlog, Hash, ImportedEvent, Leaf, LogStore, Node, SealedRow, StoredCheckpoint, Unsealed};
use certctl_kernel::StoreError;
use serde_json::Value;
use tokio_postgres::Row;

/// The lock of the one who seals and signs.
const LEADER: &str = "hashtextextended('certctl.audit.seal', 0)";

/// A number of the log as the database keeps it; the log never comes near the limit.
pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A number of the log as it was kept.
pub(crate) fn unsigned(row: &Row, index: usize) -> u64 {
    u64::try_from(row.get::<_, i64>(index)).unwrap_or(0)
}

/// A hash as it was kept.
pub(crate) fn hash(row: &Row, index: usize) -> Result<Hash, StoreError> {
    let octets: &[u8] = row.get(index);
    let octets =
        octets.try_into().map_err(|_| StoreError::Internal { reason: "a hash of the log is damaged".into() })?;
    Ok(Hash(octets))
}

/// Columns that [`leaf`] reads, of `audit.log l`.
pub(crate) const LEAF: &str = "l.seq, l.insert_id, l.event_id, l.event_at, l.hash_version, l.leaf_hash";

/// Reads [`LEAF`] from this column on.
pub(crate) fn leaf(row: &Row, first: usize) -> Result<Leaf, StoreError> {
    Ok(Leaf {
        seq: unsigned(row, first),
        insert_id: row.get(first + 1),
        event_id: row.get(first + 2),
        at: row.get(first + 3),
        hash_version: row.get(first + 4),
        hash: hash(row, first + 5)?,
    })
}

fn checkpoint(row: &Row) -> Result<StoredCheckpoint, StoreError> {
    Ok(StoredCheckpoint { size: unsigned(row, 0), root: hash(row, 1)?, note: row.get(2), signed_at: row.get(3) })
}

const CHECKPOINT: &str = "SELECT size, root_hash, note, signed_at FROM audit.checkpoints";

#[async_trait]
impl LogStore for PgUnitOfWork {
    async fn lead_log(&mut self, wait: bool) -> Result<bool, StoreError> {
        // A plan made while the trail was small would read all of it for each batch after many events came at once.
        let planned = "set_config('plan_cache_mode', 'force_custom_plan', true)";
        if wait {
            self.query(&format!("SELECT pg_advisory_xact_lock({LEADER}), {planned}"), &[]).await?;
            return Ok(true);
        }
        Ok(self.query_one(&format!("SELECT pg_try_advisory_xact_lock({LEADER}), {planned}"), &[]).await?.get(0))
    }

    async fn log_size(&mut self) -> Result<u64, StoreError> {
        let row = self.query_one("SELECT coalesce(max(seq) + 1, 0) FROM audit.log", &[]).await?;
        Ok(unsigned(&row, 0))
    }

    async fn unsealed(&mut self, limit: i64) -> Result<Vec<Unsealed>, StoreError> {
        let columns = COLUMNS.replace(", ", ", e.");
        let rows = self
            .query(
                &format!(
                    "SELECT e.{columns} FROM (SELECT insert_id, at FROM audit.unsealed ORDER BY insert_id LIMIT $1) u \
                     JOIN audit.events e ON e.at = u.at AND e.insert_id = u.insert_id ORDER BY u.insert_id"
                ),
                &[&limit],
            )
            .await?;
        Ok(rows.iter().map(|row| Unsealed { insert_id: row.get("insert_id"), record: record(row) }).collect())
    }

    async fn backlog(&mut self) -> Result<Backlog, StoreError> {
        let row = self.query_one("SELECT count(*), min(at) FROM audit.unsealed", &[]).await?;
        Ok(Backlog { waiting: unsigned(&row, 0), oldest: row.get(1) })
    }

    async fn import_events(&mut self, events: &[ImportedEvent]) -> Result<u64, StoreError> {
        let text = |read: fn(&ImportedEvent) -> &str| -> Vec<&str> { events.iter().map(read).collect() };
        let times: Vec<_> = events.iter().map(|event| event.at).collect();
        let details: Vec<Value> = events.iter().map(|event| Value::Object(event.details.clone())).collect();
        self.execute(
            "WITH event AS (INSERT INTO audit.events (id, at, actor_id, actor_type, action, resource_type, \
               resource_id, category, details, request_id) \
             SELECT i.id, i.at, i.actor_id, i.actor_type, i.action, i.resource_type, i.resource_id, i.category, \
               i.details, 'import' \
             FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
               $8::text[], $9::jsonb[]) WITH ORDINALITY AS i (id, at, actor_id, actor_type, action, resource_type, \
               resource_id, category, details, place) \
             WHERE NOT EXISTS (SELECT FROM audit.events e WHERE e.id = i.id) ORDER BY i.place \
             RETURNING insert_id, at) \
             INSERT INTO audit.unsealed (insert_id, at) SELECT insert_id, at FROM event",
            &[
                &text(|event| &event.id),
                &times,
                &text(|event| &event.actor_id),
                &text(|event| event.actor_type.as_str()),
                &text(|event| &event.action),
                &text(|event| &event.resource_type),
                &text(|event| &event.resource_id),
                &text(|event| event.category.as_str()),
                &details,
            ],
        )
        .await
    }

    async fn append(&mut self, leaves: &[Leaf], nodes: &[Node]) -> Result<(), StoreError> {
        let seqs: Vec<i64> = leaves.iter().map(|leaf| number(leaf.seq)).collect();
        let insert_ids: Vec<i64> = leaves.iter().map(|leaf| leaf.insert_id).collect();
        let events: Vec<&str> = leaves.iter().map(|leaf| leaf.event_id.as_str()).collect();
        let times: Vec<_> = leaves.iter().map(|leaf| leaf.at).collect();
        let versions: Vec<i16> = leaves.iter().map(|leaf| leaf.hash_version).collect();
        let hashes: Vec<&[u8]> = leaves.iter().map(|leaf| leaf.hash.0.as_slice()).collect();
        self.execute(
            "INSERT INTO audit.log (seq, insert_id, event_id, event_at, hash_version, leaf_hash) \
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[], $5::smallint[], $6::bytea[])",
            &[&seqs, &insert_ids, &events, &times, &versions, &hashes],
        )
        .await?;
        self.execute("DELETE FROM audit.unsealed WHERE insert_id = ANY($1)", &[&insert_ids]).await?;
        if nodes.is_empty() {
            return Ok(());
        }
        let levels: Vec<i16> = nodes.iter().map(|node| i16::from(node.level)).collect();
        let indexes: Vec<i64> = nodes.iter().map(|node| number(node.index)).collect();
        let hashes: Vec<&[u8]> = nodes.iter().map(|node| node.hash.0.as_slice()).collect();
        self.execute(
            "INSERT INTO audit.nodes (level, idx, hash) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])",
            &[&levels, &indexes, &hashes],
        )
        .await?;
        Ok(())
    }

    async fn leaf_hashes(&mut self, from: u64, until: u64) -> Result<Vec<Hash>, StoreError> {
        let sql = "SELECT leaf_hash FROM audit.log WHERE seq >= $1 AND seq < $2 ORDER BY seq";
        self.query(sql, &[&number(from), &number(until)]).await?.iter().map(|row| hash(row, 0)).collect()
    }

    async fn node_hashes(&mut self, level: u8, from: u64, until: u64) -> Result<Vec<Hash>, StoreError> {
        let sql = "SELECT hash FROM audit.nodes WHERE level = $1 AND idx >= $2 AND idx < $3 ORDER BY idx";
        let level = i16::from(level);
        self.query(sql, &[&level, &number(from), &number(until)]).await?.iter().map(|row| hash(row, 0)).collect()
    }

    async fn sealed(&mut self, from: u64, limit: i64) -> Result<Vec<SealedRow>, StoreError> {
        let columns = COLUMNS.replace(", ", ", e.");
        let rows = self
            .query(
                &format!(
                    "SELECT e.{columns}, EXISTS (SELECT FROM audit.archives a WHERE l.event_at >= a.from_at \
                     AND l.event_at < a.until_at) AS archived, {LEAF} \
                     FROM (SELECT * FROM audit.log WHERE seq >= $1 ORDER BY seq LIMIT $2) l \
                     LEFT JOIN audit.events e ON e.at = l.event_at AND e.insert_id = l.insert_id ORDER BY l.seq"
                ),
                &[&number(from), &limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let there = row.get::<_, Option<&str>>(0).is_some();
                Ok(SealedRow {
                    leaf: leaf(row, row.len() - 6)?,
                    record: there.then(|| record(row)),
                    archived: row.get("archived"),
                })
            })
            .collect()
    }

    async fn leaf_of(&mut self, event_id: &str) -> Result<Option<Leaf>, StoreError> {
        let sql = format!("SELECT {LEAF} FROM audit.log l WHERE l.event_id = $1");
        self.query_opt(&sql, &[&event_id]).await?.as_ref().map(|row| leaf(row, 0)).transpose()
    }

    async fn add_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO audit.checkpoints (size, root_hash, note, signed_at) VALUES ($1, $2, $3, $4)",
            &[&number(checkpoint.size), &checkpoint.root.0.as_slice(), &checkpoint.note, &checkpoint.signed_at],
        )
        .await
        .map(|_| ())
    }

    async fn latest_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let sql = format!("{CHECKPOINT} ORDER BY size DESC LIMIT 1");
        self.query_opt(&sql, &[]).await?.as_ref().map(checkpoint).transpose()
    }

    async fn checkpoints(&mut self, after: u64, until: u64) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let sql = format!("{CHECKPOINT} WHERE size > $1 AND size <= $2 ORDER BY size");
        self.query(&sql, &[&number(after), &number(until)]).await?.iter().map(checkpoint).collect()
    }
}
