//! Months that are old enough: written to a file with their proofs, and then dropped. Their leaves stay in the log.

use crate::export::{Export, ExportCommand, ExportFilter, ExportItem, ExportStore};
use crate::ports::{LogStore, StoredCheckpoint, WitnessError};
use crate::verify::Archive;
use async_trait::async_trait;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, StoreError, Timestamp, timestamp};
use serde_json::json;
use std::fmt::Write as _;

/// A month of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    /// Name of its partition.
    pub partition: String,
    /// From when.
    pub from: Timestamp,
    /// Until when, exclusive.
    pub until: Timestamp,
}

/// How long the trail is kept in the database.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Months that ended so long ago are archived; `None` keeps all.
    pub keep: Option<time::Duration>,
    /// Nothing is dropped, whatever its age.
    pub hold: bool,
}

/// Months and their partitions.
#[async_trait]
pub trait RetentionStore: Send {
    /// Makes the partitions of this month and the next ones; gives how many.
    async fn make_months(&mut self, now: Timestamp, ahead: u32) -> Result<u64, StoreError>;
    /// Months that have a partition of their own, oldest first.
    async fn months(&mut self) -> Result<Vec<Month>, StoreError>;
    /// Whether events from before `until` wait to be sealed.
    async fn unsealed_before(&mut self, until: Timestamp) -> Result<bool, StoreError>;
    /// Notes an archive, with the event of this transaction that tells of it.
    async fn insert_archive(&mut self, archive: &Archive, now: Timestamp) -> Result<(), StoreError>;
    /// Drops a month that was archived; refuses any other, and one that changed since.
    async fn drop_month(&mut self, partition: &str) -> Result<(), StoreError>;
}

/// A file that is being written.
#[async_trait]
pub trait ArchiveFile: Send {
    /// Appends.
    async fn write(&mut self, text: &str) -> Result<(), WitnessError>;
    /// Makes it durable under its name; gives that and the SHA-256 of its content, hex.
    async fn finish(self: Box<Self>) -> Result<(String, String), WitnessError>;
}

/// Where archives are written.
#[async_trait]
pub trait ArchivePlace: Send + Sync {
    /// Begins a file.
    async fn begin(&self, name: &str) -> Result<Box<dyn ArchiveFile>, WitnessError>;
}

/// Months that are old enough to go, oldest first.
pub async fn due(
    stores: &mut (impl RetentionStore + ?Sized),
    retention: &Retention,
    now: Timestamp,
) -> Result<Vec<Month>, DomainError> {
    let Some(keep) = retention.keep else { return Ok(Vec::new()) };
    if retention.hold {
        return Ok(Vec::new());
    }
    let mut due = stores.months().await?;
    due.retain(|month| month.until <= now - keep);
    Ok(due)
}

/// Writes a month to a file, in the form of an export with proofs. `read` gives stores for one batch. The checkpoint
/// covers the whole month.
pub async fn write_archive<S: LogStore + ExportStore + ?Sized>(
    stores: &mut S,
    place: &dyn ArchivePlace,
    month: &Month,
    checkpoint: StoredCheckpoint,
) -> Result<Archive, DomainError> {
    let failed = |error: WitnessError| DomainError::Internal { reason: format!("the archive: {error}") };
    let filter = ExportFilter { since: month.from, until: month.until - time::Duration::MICROSECOND, category: None };
    let checkpoint_size = checkpoint.size;
    let mut export = Export::new(ExportCommand { filter, limit: None, proof: true }, checkpoint);
    let mut file = place.begin(&format!("certctl-audit-{}.ndjson", month.partition)).await.map_err(failed)?;
    loop {
        let items = export.next(stores).await?;
        if items.is_empty() {
            break;
        }
        let mut text = String::new();
        for item in &items {
            let line = match item {
                ExportItem::Event(event) => json!(event),
                ExportItem::Skipped(skipped) => json!({ "_skipped": skipped }),
            };
            // Writing to text does not fail.
            let _ = writeln!(text, "{line}");
        }
        file.write(&text).await.map_err(failed)?;
    }
    let trailer = export.trailer(None);
    file.write(&format!("{}\n", json!({ "_trailer": trailer }))).await.map_err(failed)?;
    let (file, sha256) = file.finish().await.map_err(failed)?;
    Ok(Archive {
        partition: month.partition.clone(),
        from: month.from,
        until: month.until,
        events: trailer.rows,
        first_seq: trailer.first_seq,
        last_seq: trailer.last_seq,
        file,
        sha256,
        checkpoint_size,
        event_id: String::new(),
    })
}

/// Drops a month whose archive was written. The caller saves; dropping, the note of the archive and the event that
/// tells of it are one transaction.
pub async fn drop_archived(
    stores: &mut (impl RetentionStore + AuditLog + ?Sized),
    context: &RequestContext,
    archive: &Archive,
    now: Timestamp,
) -> Result<(), DomainError> {
    let details = json!({
        "partition": archive.partition,
        "from": timestamp::to_rfc3339(archive.from),
        "until": timestamp::to_rfc3339(archive.until),
        "events": archive.events,
        "first_seq": archive.first_seq,
        "last_seq": archive.last_seq,
        "file": archive.file,
        "sha256": archive.sha256,
        "checkpoint_size": archive.checkpoint_size,
    });
    stores.record(AuditEvent::new(Action::AuditArchived, context, &archive.partition, details)).await?;
    stores.insert_archive(archive, now).await?;
    stores.drop_month(&archive.partition).await?;
    Ok(())
}
