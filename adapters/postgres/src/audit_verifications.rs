//! Runs of the log's verification, and archives.

use crate::audit_log::{hash, number, unsigned};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_audit_log::{Archive, Hash, Mode, Run, RunResult, StoredFinding, VerificationStore};
use certctl_kernel::{StoreError, Timestamp};
use tokio_postgres::Row;

const RUN: &str = "SELECT id, mode, requested_by, checkpoint, started_at, updated_at, finished_at, from_seq, position, \
     to_seq, frontier, root_hash, archived, result, break_code, break_seq, break_event, break_detail \
     FROM audit.verifications";

fn damaged() -> StoreError {
    StoreError::Internal { reason: "a row of audit.verifications is damaged".to_owned() }
}

fn run(row: &Row) -> Result<Run, StoreError> {
    let frontier: &[u8] = row.get(10);
    let (hashes, rest) = frontier.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(damaged());
    }
    let code: Option<String> = row.get(14);
    Ok(Run {
        id: row.get(0),
        mode: Mode::parse(row.get(1)).ok_or_else(damaged)?,
        requested_by: row.get(2),
        checkpoint: row.get(3),
        started_at: row.get(4),
        updated_at: row.get(5),
        finished_at: row.get(6),
        from_seq: unsigned(row, 7),
        position: unsigned(row, 8),
        to_seq: unsigned(row, 9),
        frontier: hashes.iter().map(|octets| Hash(*octets)).collect(),
        root: row.get::<_, Option<&[u8]>>(11).is_some().then(|| hash(row, 11)).transpose()?,
        archived: unsigned(row, 12),
        result: RunResult::parse(row.get(13)).ok_or_else(damaged)?,
        finding: code.map(|code| StoredFinding {
            code,
            seq: row.get::<_, Option<i64>>(15).and_then(|seq| u64::try_from(seq).ok()),
            event_id: row.get(16),
            detail: row.get::<_, Option<String>>(17).unwrap_or_default(),
        }),
    })
}

fn octets(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[async_trait]
impl VerificationStore for PgUnitOfWork {
    async fn insert_run(&mut self, run: &Run) -> Result<i64, StoreError> {
        let row = self
            .query_one(
                "INSERT INTO audit.verifications (mode, requested_by, checkpoint, started_at, updated_at, from_seq, \
                 position, to_seq, frontier) VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8) RETURNING id",
                &[
                    &run.mode.as_str(),
                    &run.requested_by,
                    &run.checkpoint,
                    &run.started_at,
                    &number(run.from_seq),
                    &number(run.position),
                    &number(run.to_seq),
                    &octets(&run.frontier),
                ],
            )
            .await?;
        Ok(row.get(0))
    }

    async fn claim_run(&mut self) -> Result<Option<Run>, StoreError> {
        // An advisory lock and not a row lock, which the server's own role may not take on this table.
        let held: bool = self
            .query_one("SELECT pg_try_advisory_xact_lock(hashtextextended('certctl.audit.verify', 0))", &[])
            .await?
            .get(0);
        if !held {
            return Ok(None);
        }
        let sql = format!("{RUN} WHERE result = 'running' ORDER BY id LIMIT 1");
        self.query_opt(&sql, &[]).await?.as_ref().map(run).transpose()
    }

    async fn update_run(&mut self, run: &Run) -> Result<(), StoreError> {
        let finding = run.finding.as_ref();
        self.execute(
            "UPDATE audit.verifications SET updated_at = $2, finished_at = $3, position = $4, frontier = $5, \
             root_hash = $6, archived = $7, result = $8, break_code = $9, break_seq = $10, break_event = $11, \
             break_detail = $12 WHERE id = $1",
            &[
                &run.id,
                &run.updated_at,
                &run.finished_at,
                &number(run.position),
                &octets(&run.frontier),
                &run.root.as_ref().map(|root| root.0.as_slice()),
                &number(run.archived),
                &run.result.as_str(),
                &finding.map(|finding| finding.code.as_str()),
                &finding.and_then(|finding| finding.seq).map(number),
                &finding.and_then(|finding| finding.event_id.as_deref()),
                &finding.map(|finding| finding.detail.as_str()),
            ],
        )
        .await
        .map(|_| ())
    }

    async fn runs(&mut self, limit: i64) -> Result<Vec<Run>, StoreError> {
        self.query(&format!("{RUN} ORDER BY id DESC LIMIT $1"), &[&limit]).await?.iter().map(run).collect()
    }

    async fn last_sound_run(&mut self) -> Result<Option<Run>, StoreError> {
        let sql = format!("{RUN} WHERE result = 'ok' ORDER BY to_seq DESC, id DESC LIMIT 1");
        self.query_opt(&sql, &[]).await?.as_ref().map(run).transpose()
    }

    async fn last_full_run(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT max(started_at) FROM audit.verifications WHERE mode = 'full' AND result = 'ok'";
        Ok(self.query_one(sql, &[]).await?.get(0))
    }

    async fn unlogged_event(
        &mut self,
        since: Option<Timestamp>,
        before: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        // Over a whole trail this reads every event once.
        self.execute("SET LOCAL statement_timeout = '10min'", &[]).await?;
        let row = self
            .query_opt(
                "SELECT e.id FROM audit.events e LEFT JOIN audit.log l USING (insert_id) \
                 WHERE l.insert_id IS NULL AND e.at < $1 AND ($2::timestamptz IS NULL OR e.at >= $2) \
                 ORDER BY e.insert_id LIMIT 1",
                &[&before, &since],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn archives(&mut self) -> Result<Vec<Archive>, StoreError> {
        let rows = self
            .query(
                "SELECT partition, from_at, until_at, events, first_seq, last_seq, file, sha256, checkpoint_size, \
                 event_id FROM audit.archives ORDER BY from_at",
                &[],
            )
            .await?;
        let optional = |row: &Row, index| row.get::<_, Option<i64>>(index).and_then(|seq| u64::try_from(seq).ok());
        Ok(rows
            .iter()
            .map(|row| Archive {
                partition: row.get(0),
                from: row.get(1),
                until: row.get(2),
                events: unsigned(row, 3),
                first_seq: optional(row, 4),
                last_seq: optional(row, 5),
                file: row.get(6),
                sha256: row.get(7),
                checkpoint_size: unsigned(row, 8),
                event_id: row.get(9),
            })
            .collect())
    }

    async fn unproven_archives(&mut self) -> Result<Vec<String>, StoreError> {
        let rows = self
            .query(
                "SELECT a.partition FROM audit.archives a WHERE NOT EXISTS ( \
                   SELECT FROM audit.events e WHERE e.id = a.event_id AND e.action = 'audit.archived' \
                   AND e.details->>'partition' = a.partition AND e.details->>'sha256' = a.sha256 \
                   AND (e.details->>'events')::bigint = a.events) \
                   AND NOT EXISTS (SELECT FROM audit.archives b JOIN audit.log l ON l.event_id = a.event_id \
                   AND l.event_at >= b.from_at AND l.event_at < b.until_at) \
                 OR a.events <> (SELECT count(*) FROM audit.log l \
                   WHERE l.event_at >= a.from_at AND l.event_at < a.until_at)",
                &[],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
