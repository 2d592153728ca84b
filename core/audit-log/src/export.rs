//! Exports: events as lines, what lies between them as roots of subtrees, and a trailer that says whether it is all.

use crate::canonical::leaf_hash;
use crate::ports::{Leaf, LogStore, StoredCheckpoint};
use crate::tree::subtree_roots;
use async_trait::async_trait;
use certctl_audit::{AuditRecord, Category};
use certctl_kernel::{DomainError, FieldError, StoreError, Timestamp, timestamp};
use certctl_rbac::{Caller, Permission};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tlog_tiles::tlog::{self, Hash};

/// The longest span of an export with a limit.
pub const LONGEST: time::Duration = time::Duration::days(90);
/// Events of an export when no limit is given.
pub const DEFAULT_LIMIT: u64 = 50_000;
/// The largest limit.
pub const LARGEST_LIMIT: u64 = 100_000;
/// Leaves that are looked at in one step.
const BATCH: i64 = 1000;

/// An event as exports write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportLine {
    /// Id.
    pub id: String,
    /// Actor id.
    pub actor: String,
    /// Kind of actor.
    pub actor_type: String,
    /// Action.
    pub action: String,
    /// Kind of object.
    pub resource_type: String,
    /// Object.
    pub resource_id: String,
    /// Facts.
    pub details: Value,
    /// When, RFC 3339 with microseconds.
    #[serde(with = "timestamp::rfc3339")]
    pub timestamp: Timestamp,
    /// Category.
    pub event_category: String,
    /// Request.
    pub request_id: String,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// Tenant.
    pub tenant_id: String,
    /// Number in the log.
    pub seq: u64,
    /// How it was hashed.
    pub hash_version: i16,
    /// Its leaf, Base64.
    pub leaf_hash: String,
}

impl ExportLine {
    /// The line of a sealed event.
    pub fn new(leaf: &Leaf, record: AuditRecord) -> Self {
        Self {
            id: record.id,
            actor: record.actor_id,
            actor_type: record.actor_type,
            action: record.action,
            resource_type: record.resource_type,
            resource_id: record.resource_id,
            details: record.details,
            timestamp: record.at,
            event_category: record.category,
            request_id: record.request_id,
            source_ip: record.source_ip,
            tenant_id: record.tenant_id,
            seq: leaf.seq,
            hash_version: leaf.hash_version,
            leaf_hash: leaf.hash.to_string(),
        }
    }

    /// The leaf that the line's content makes.
    pub fn computed_hash(&self) -> Hash {
        let record = AuditRecord {
            id: self.id.clone(),
            at: self.timestamp,
            actor_id: self.actor.clone(),
            actor_type: self.actor_type.clone(),
            action: self.action.clone(),
            resource_type: self.resource_type.clone(),
            resource_id: self.resource_id.clone(),
            category: self.event_category.clone(),
            details: self.details.clone(),
            request_id: self.request_id.clone(),
            source_ip: self.source_ip.clone(),
            tenant_id: self.tenant_id.clone(),
            seq: Some(self.seq),
        };
        leaf_hash(&record, self.seq)
    }
}

/// Events that an export leaves out, as the roots of the maximal full subtrees over them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// Number of the first.
    pub from: u64,
    /// One past the last.
    pub until: u64,
    /// Roots in Base64, in order.
    pub roots: Vec<String>,
}

/// The last line of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trailer {
    /// Events in the export.
    pub rows: u64,
    /// Number of the first.
    pub first_seq: Option<u64>,
    /// Number of the last.
    pub last_seq: Option<u64>,
    /// Events in the log when the export was made.
    pub size: u64,
    /// Root of the tree over them, Base64.
    pub root: String,
    /// Signature of the checkpoint over size and root, Base64 (C2SP signed-note).
    pub signature: String,
    /// The checkpoint itself.
    pub checkpoint: String,
    /// Everything that was asked for is there.
    pub complete: bool,
    /// Why it is not: `limit`, or what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What an export is of.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportFilter {
    /// Not before, inclusive.
    pub since: Timestamp,
    /// Not after, inclusive.
    pub until: Timestamp,
    /// Category.
    pub category: Option<Category>,
}

/// An export that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportCommand {
    /// What it is of.
    pub filter: ExportFilter,
    /// The most events; `None` lifts the limits of number and span.
    pub limit: Option<u64>,
    /// Whether what is left out between and around the events is shown as roots, so that the export can be checked
    /// against a checkpoint by itself.
    pub proof: bool,
}

impl ExportCommand {
    /// Whether the caller may have it, and whether it is within the limits.
    pub fn check(&self, caller: &Caller) -> Result<(), DomainError> {
        caller.require(Permission::AuditExport, &[])?;
        let mut broken = Vec::new();
        let span = self.filter.until - self.filter.since;
        if span <= time::Duration::ZERO {
            broken.push(FieldError::new("to", "not_after_from", "must be later than from"));
        }
        if let Some(limit) = self.limit {
            if !(1..=LARGEST_LIMIT).contains(&limit) {
                let rule = format!("must be from 1 to {LARGEST_LIMIT}, or all");
                broken.push(FieldError::new("limit", "out_of_range", rule));
            }
            if span > LONGEST {
                broken.push(FieldError::new(
                    "to",
                    "too_long",
                    "must be at most 90 days after from; limit=all lifts this",
                ));
            }
        }
        if broken.is_empty() { Ok(()) } else { Err(DomainError::Validation(broken)) }
    }
}

/// Reads events by their numbers.
#[async_trait]
pub trait ExportStore: Send {
    /// Numbers of the first and last event of a span of time, below `size`.
    async fn seq_range(&mut self, filter: &ExportFilter, size: u64) -> Result<Option<(u64, u64)>, StoreError>;
    /// Leaves `[from, until)` in order, at most `limit`; each with its event when that is there and passes the filter.
    /// Without `all`, only those with an event.
    async fn export_rows(
        &mut self,
        filter: &ExportFilter,
        range: (u64, u64),
        limit: i64,
        all: bool,
    ) -> Result<Vec<(Leaf, Option<AuditRecord>)>, StoreError>;
}

/// A part of an export.
#[derive(Debug, Clone, PartialEq)]
pub enum ExportItem {
    /// An event.
    Event(Box<ExportLine>),
    /// Events that are left out.
    Skipped(Skipped),
}

/// Leaves in a row that are left out, folded as far as they go.
#[derive(Debug, Default)]
struct Fold {
    from: u64,
    until: u64,
    stack: Vec<(u8, u64, Hash)>,
}

impl Fold {
    fn push(&mut self, seq: u64, leaf: Hash) {
        if self.stack.is_empty() {
            self.from = seq;
        }
        self.until = seq + 1;
        let (mut level, mut index, mut hash) = (0, seq, leaf);
        while let Some((top, left, root)) = self.stack.last().copied()
            && top == level
            && left % 2 == 0
        {
            self.stack.pop();
            hash = tlog::node_hash(root, hash);
            level += 1;
            index /= 2;
        }
        self.stack.push((level, index, hash));
    }

    fn take(&mut self) -> Option<Skipped> {
        let roots: Vec<String> = self.stack.drain(..).map(|(_, _, root)| root.to_string()).collect();
        (!roots.is_empty()).then_some(Skipped { from: self.from, until: self.until, roots })
    }
}

/// An export as it goes: ask for the next part until there is none, then for the trailer. It holds a batch at a time.
pub struct Export {
    command: ExportCommand,
    checkpoint: StoredCheckpoint,
    /// Next leaf and one past the last; unknown before the first part.
    range: Option<(u64, u64)>,
    rows: u64,
    first: Option<u64>,
    last: Option<u64>,
    fold: Fold,
    limited: bool,
    done: bool,
}

impl Export {
    /// An export of what the checkpoint covers.
    pub fn new(command: ExportCommand, checkpoint: StoredCheckpoint) -> Self {
        Self {
            command,
            checkpoint,
            range: None,
            rows: 0,
            first: None,
            last: None,
            fold: Fold::default(),
            limited: false,
            done: false,
        }
    }

    /// Events so far.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The next part; empty when there is no more.
    pub async fn next(
        &mut self,
        stores: &mut (impl LogStore + ExportStore + ?Sized),
    ) -> Result<Vec<ExportItem>, DomainError> {
        let mut items = Vec::new();
        while items.is_empty() && !self.done {
            match self.range {
                None => self.start(stores, &mut items).await?,
                Some((next, end)) if next < end => self.step(stores, next, end, &mut items).await?,
                Some((_, end)) => {
                    items.extend(self.fold.take().map(ExportItem::Skipped));
                    self.skip(stores, end, self.checkpoint.size, &mut items).await?;
                    self.done = true;
                }
            }
        }
        Ok(items)
    }

    async fn start(
        &mut self,
        stores: &mut (impl LogStore + ExportStore + ?Sized),
        items: &mut Vec<ExportItem>,
    ) -> Result<(), DomainError> {
        let found = stores.seq_range(&self.command.filter, self.checkpoint.size).await?;
        let (first, end) = found.map_or((0, 0), |(first, last)| (first, last + 1));
        self.skip(stores, 0, first, items).await?;
        self.range = Some((first, end));
        Ok(())
    }

    async fn step(
        &mut self,
        stores: &mut (impl LogStore + ExportStore + ?Sized),
        next: u64,
        end: u64,
        items: &mut Vec<ExportItem>,
    ) -> Result<(), DomainError> {
        let proof = self.command.proof;
        let rows = stores.export_rows(&self.command.filter, (next, end), BATCH, proof).await?;
        let short = rows.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
        if proof {
            // Before anything is counted, so that the trailer counts what was written.
            let expected = if short { end - next } else { rows.len() as u64 };
            let hole =
                (next..next + expected).zip(rows.iter().map(|(leaf, _)| Some(leaf.seq)).chain(std::iter::repeat(None)));
            if let Some((seq, _)) = hole.into_iter().find(|(seq, found)| *found != Some(*seq)) {
                return Err(DomainError::Internal { reason: format!("the log has no event {seq}") });
            }
        }
        let mut at = next;
        for (leaf, record) in rows {
            if let Some(record) = record {
                if self.command.limit.is_some_and(|limit| self.rows >= limit) {
                    // There is one more than asked for, so the trailer must say that it is not all.
                    self.limited = true;
                    self.range = Some((at, at));
                    return Ok(());
                }
                items.extend(self.fold.take().map(ExportItem::Skipped));
                self.rows += 1;
                self.first.get_or_insert(leaf.seq);
                self.last = Some(leaf.seq);
                at = leaf.seq + 1;
                items.push(ExportItem::Event(Box::new(ExportLine::new(&leaf, record))));
            } else {
                at = leaf.seq + 1;
                self.fold.push(leaf.seq, leaf.hash);
            }
        }
        self.range = Some((if short { end } else { at }, end));
        Ok(())
    }

    async fn skip(
        &self,
        stores: &mut (impl LogStore + ?Sized),
        from: u64,
        until: u64,
        items: &mut Vec<ExportItem>,
    ) -> Result<(), DomainError> {
        if self.command.proof && from < until {
            let roots = subtree_roots(stores, from, until).await?;
            let roots = roots.iter().map(ToString::to_string).collect();
            items.push(ExportItem::Skipped(Skipped { from, until, roots }));
        }
        Ok(())
    }

    /// The last line; `error` is what ended the export early.
    pub fn trailer(&self, error: Option<String>) -> Trailer {
        let note = &self.checkpoint.note;
        let signature = note.trim_end().rsplit(' ').next().unwrap_or_default().to_owned();
        let error = error.or_else(|| self.limited.then(|| "limit".to_owned()));
        Trailer {
            rows: self.rows,
            first_seq: self.first,
            last_seq: self.last,
            size: self.checkpoint.size,
            root: self.checkpoint.root.to_string(),
            signature,
            checkpoint: note.clone(),
            complete: self.done && error.is_none(),
            error,
        }
    }
}
