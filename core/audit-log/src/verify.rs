//! Walking the log: every event against its leaf, every leaf against the heads that were signed.
//!
//! A run is a row that one replica carries on a batch at a time, so that it survives a restart and shows its progress.

use crate::canonical::{HASH_VERSION, leaf_hash};
use crate::checkpoint::Checkpoint;
use crate::ports::{LogStore, SealedRow, StoredCheckpoint};
use crate::service::SealedLog;
use crate::tree::{Frontier, Merged, TreeError, root_at, subtree_roots};
use async_trait::async_trait;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DomainError, RequestContext, StoreError, Timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;
use std::collections::BTreeMap;
use tlog_tiles::tlog::Hash;

/// An event that is not in the log after so long was kept out of it.
const LATEST: time::Duration = time::Duration::seconds(60);

/// Events of so long before the last run are looked at again for being in the log.
const OVERLAP: time::Duration = time::Duration::DAY;

/// How much a run looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From where the last run without a finding ended.
    Incremental,
    /// From the first event.
    Full,
}

impl Mode {
    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Full => "full",
        }
    }

    /// Parses the wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Incremental, Self::Full].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What a run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunResult {
    /// It goes on.
    Running,
    /// Everything holds.
    Ok,
    /// Something does not.
    Break,
    /// It could not be carried on.
    Error,
}

impl RunResult {
    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Break => "break",
            Self::Error => "error",
        }
    }

    /// Parses the database spelling.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Ok, Self::Break, Self::Error].into_iter().find(|result| result.as_str() == text)
    }
}

/// The first thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable token: `event_changed`, `event_missing`, `gap`, `node_changed`, `checkpoint_changed`,
    /// `checkpoint_untrusted`, `truncated`, `forked`, `event_not_sealed`, `archive_unproven`.
    pub code: &'static str,
    /// Number of the event.
    pub seq: Option<u64>,
    /// Its id, where it is known.
    pub event_id: Option<String>,
    /// In words.
    pub detail: String,
}

/// A verification.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its number; 0 until it is stored.
    pub id: i64,
    /// How much it looks at.
    pub mode: Mode,
    /// Who asked for it.
    pub requested_by: String,
    /// A checkpoint kept elsewhere that the log must continue.
    pub checkpoint: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last went on.
    pub updated_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// First event that it looks at.
    pub from_seq: u64,
    /// Next event.
    pub position: u64,
    /// One past the last.
    pub to_seq: u64,
    /// Roots of the full subtrees before `position`.
    pub frontier: Vec<Hash>,
    /// Root of the tree of `to_seq` events, at the end.
    pub root: Option<Hash>,
    /// Events whose rows were archived, so that only their leaves could be looked at.
    pub archived: u64,
    /// How it ended.
    pub result: RunResult,
    /// What it found; the code is as stored.
    pub finding: Option<StoredFinding>,
}

/// A finding as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFinding {
    /// Token.
    pub code: String,
    /// Number of the event.
    pub seq: Option<u64>,
    /// Id of the event.
    pub event_id: Option<String>,
    /// In words.
    pub detail: String,
}

/// A month that was written to a file and dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Name of the partition.
    pub partition: String,
    /// From when.
    pub from: Timestamp,
    /// Until when, exclusive.
    pub until: Timestamp,
    /// Events in it.
    pub events: u64,
    /// Number of the first event in the log.
    pub first_seq: Option<u64>,
    /// Number of the last.
    pub last_seq: Option<u64>,
    /// The file.
    pub file: String,
    /// Its SHA-256, hex.
    pub sha256: String,
    /// Events under the checkpoint that covered it.
    pub checkpoint_size: u64,
    /// The event that tells of it.
    pub event_id: String,
}

/// Verifications, and what they look at beside the log itself.
#[async_trait]
pub trait VerificationStore: Send {
    /// Stores a new run; gives its number.
    async fn insert_run(&mut self, run: &Run) -> Result<i64, StoreError>;
    /// A run that has not ended, held against other replicas; `None` when there is none or another replica has it.
    async fn claim_run(&mut self) -> Result<Option<Run>, StoreError>;
    /// Stores how far a run came.
    async fn update_run(&mut self, run: &Run) -> Result<(), StoreError>;
    /// The latest runs, newest first.
    async fn runs(&mut self, limit: i64) -> Result<Vec<Run>, StoreError>;
    /// The run without a finding that went farthest.
    async fn last_sound_run(&mut self) -> Result<Option<Run>, StoreError>;
    /// When the last run over the whole log that found nothing began.
    async fn last_full_run(&mut self) -> Result<Option<Timestamp>, StoreError>;
    /// An event recorded since `since` and before `before` that is not in the log.
    async fn unlogged_event(
        &mut self,
        since: Option<Timestamp>,
        before: Timestamp,
    ) -> Result<Option<String>, StoreError>;
    /// Archives, oldest first.
    async fn archives(&mut self) -> Result<Vec<Archive>, StoreError>;
    /// Archives that are not covered by an event of the log with the same hash, or hold another number of events than
    /// the log has leaves: the names of their partitions.
    async fn unproven_archives(&mut self) -> Result<Vec<String>, StoreError>;
}

/// Begins a verification. One at a time: another is refused while one runs.
pub async fn request_verification(
    stores: &mut (impl LogStore + VerificationStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    log: &SealedLog,
    mode: Mode,
    checkpoint: Option<String>,
) -> Result<Run, DomainError> {
    caller.require(Permission::AuditExport, &[])?;
    if let Some(note) = &checkpoint {
        log.trusted.open(note).map_err(|error| DomainError::invalid("checkpoint", "untrusted", error.to_string()))?;
    }
    let run = begin(stores, ambient, &caller.context, mode, checkpoint).await?;
    let run = run.ok_or_else(|| {
        DomainError::conflict("verification_running", "a verification is running; ask again when it has ended")
    })?;
    let details = json!({"mode": mode.as_str(), "verification": run.id, "events": run.to_seq});
    stores.record(AuditEvent::new(Action::AuditVerifyRequested, &caller.context, "log", details)).await?;
    Ok(run)
}

/// Begins a verification unless one runs.
pub async fn begin(
    stores: &mut (impl LogStore + VerificationStore + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    mode: Mode,
    checkpoint: Option<String>,
) -> Result<Option<Run>, DomainError> {
    if stores.runs(1).await?.first().is_some_and(|run| run.result == RunResult::Running) {
        return Ok(None);
    }
    let to_seq = stores.log_size().await?;
    let base = match mode {
        Mode::Full => None,
        Mode::Incremental => stores.last_sound_run().await?.filter(|run| run.to_seq <= to_seq),
    };
    let from_seq = base.as_ref().map_or(0, |run| run.to_seq);
    let now = ambient.now();
    let mut run = Run {
        id: 0,
        mode,
        requested_by: context.actor.id.clone(),
        checkpoint,
        started_at: now,
        updated_at: now,
        finished_at: None,
        from_seq,
        position: from_seq,
        to_seq,
        frontier: Vec::new(),
        root: None,
        archived: 0,
        result: RunResult::Running,
        finding: None,
    };
    match subtree_roots(stores, 0, from_seq).await {
        Ok(roots) => run.frontier = roots,
        // Holes before the start: the first step says so.
        Err(TreeError::Holes { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    run.id = stores.insert_run(&run).await?;
    // What was found sound before must still be what is stored.
    let sound = base.and_then(|base| base.root);
    let there = Frontier::new(from_seq, &run.frontier).map(|frontier| frontier.root());
    if from_seq > 0 && (sound.is_none() || sound != there) {
        let finding = Finding {
            code: "forked",
            seq: Some(from_seq - 1),
            event_id: None,
            detail: format!("the first {from_seq} events are not those that were verified before"),
        };
        end(&mut run, ambient.now(), Some(finding));
        stores.update_run(&run).await?;
    }
    Ok(Some(run))
}

/// Begins a verification of what was added, or of the whole log when that was not done for `whole`.
pub async fn begin_due(
    stores: &mut (impl LogStore + VerificationStore + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    whole: time::Duration,
) -> Result<Option<Run>, DomainError> {
    let last = stores.last_full_run().await?;
    let due = last.is_none_or(|last| ambient.now() - last >= whole);
    begin(stores, ambient, context, if due { Mode::Full } else { Mode::Incremental }, None).await
}

fn end(run: &mut Run, now: Timestamp, finding: Option<Finding>) {
    run.result = if finding.is_some() { RunResult::Break } else { RunResult::Ok };
    run.finished_at = Some(now);
    run.finding = finding.map(|finding| StoredFinding {
        code: finding.code.to_owned(),
        seq: finding.seq,
        event_id: finding.event_id,
        detail: finding.detail,
    });
}

/// Carries the open run on by a batch; `None` when there is none. The end of a run with a finding is itself recorded in
/// the trail.
pub async fn verify_step(
    stores: &mut (impl LogStore + VerificationStore + AuditLog + ?Sized),
    ambient: &Ambient,
    log: &SealedLog,
    batch: u64,
) -> Result<Option<Run>, DomainError> {
    let Some(mut run) = stores.claim_run().await? else { return Ok(None) };
    run.updated_at = ambient.now();
    let finding = match walk(stores, log, &mut run, batch).await? {
        Some(finding) => Some(finding),
        None if run.position < run.to_seq => {
            stores.update_run(&run).await?;
            return Ok(Some(run));
        }
        None => conclude(stores, ambient, log, &run).await?,
    };
    run.root = Frontier::new(run.position, &run.frontier).map(|frontier| frontier.root());
    end(&mut run, ambient.now(), finding);
    stores.update_run(&run).await?;
    if let Some(finding) = &run.finding {
        let details = json!({
            "verification": run.id, "code": finding.code, "seq": finding.seq, "event": finding.event_id,
            "detail": finding.detail,
        });
        let context = RequestContext::system("audit-verification");
        stores.record(AuditEvent::new(Action::AuditBreakDetected, &context, "log", details)).await?;
    }
    Ok(Some(run))
}

/// Ends the open run because it can't be carried on.
pub async fn abandon(
    stores: &mut (impl VerificationStore + ?Sized),
    ambient: &Ambient,
    reason: &str,
) -> Result<(), DomainError> {
    let Some(mut run) = stores.claim_run().await? else { return Ok(()) };
    end(&mut run, ambient.now(), None);
    run.result = RunResult::Error;
    run.finding = Some(StoredFinding {
        code: "error".to_owned(),
        seq: Some(run.position),
        event_id: None,
        detail: reason.to_owned(),
    });
    Ok(stores.update_run(&run).await?)
}

/// How the log stands.
#[derive(Debug, Clone, PartialEq)]
pub struct LogStatus {
    /// Events in the log.
    pub size: u64,
    /// The latest head.
    pub checkpoint: Option<StoredCheckpoint>,
    /// Events that wait to be sealed.
    pub waiting: u64,
    /// How long the oldest of them has been waiting.
    pub lag: time::Duration,
    /// The latest runs, newest first.
    pub runs: Vec<Run>,
}

/// How the log stands, with the latest runs.
pub async fn log_status(
    stores: &mut (impl LogStore + VerificationStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
) -> Result<LogStatus, DomainError> {
    caller.require(Permission::AuditRead, &[])?;
    let backlog = stores.backlog().await?;
    let lag = backlog.oldest.map_or(time::Duration::ZERO, |oldest| (ambient.now() - oldest).max(time::Duration::ZERO));
    Ok(LogStatus {
        size: stores.log_size().await?,
        checkpoint: stores.latest_checkpoint().await?,
        waiting: backlog.waiting,
        lag,
        runs: stores.runs(20).await?,
    })
}

/// Looks at the next batch.
async fn walk(
    stores: &mut (impl LogStore + VerificationStore + ?Sized),
    log: &SealedLog,
    run: &mut Run,
    batch: u64,
) -> Result<Option<Finding>, DomainError> {
    let wanted = batch.min(run.to_seq - run.position);
    if wanted == 0 {
        return Ok(None);
    }
    let Some(mut frontier) = Frontier::new(run.position, &run.frontier) else {
        return Ok(Some(changed("node_changed", run.position, "the stored subtrees before it are incomplete")));
    };
    let heads = heads(stores, log, run, run.position + wanted).await?;
    if let Err(finding) = heads {
        return Ok(Some(finding));
    }
    let heads = heads.unwrap_or_default();
    let rows = stores.sealed(run.position, i64::try_from(wanted).unwrap_or(i64::MAX)).await?;
    let mut merged = Vec::new();
    for seq in run.position..run.position + wanted {
        let index = usize::try_from(seq - run.position).unwrap_or(usize::MAX);
        let Some(row) = rows.get(index).filter(|row| row.leaf.seq == seq) else {
            return Ok(Some(changed("gap", seq, "the log has no event of this number")));
        };
        if let Some(finding) = judge(row) {
            return Ok(Some(finding));
        }
        run.archived += u64::from(row.record.is_none());
        merged.extend(frontier.append(row.leaf.hash).into_iter().filter(|node| node.level % 8 == 0));
        if let Some((root, what)) = heads.get(&(seq + 1))
            && *root != frontier.root()
        {
            let detail = format!("the events up to it are not those of {what} of {} events", seq + 1);
            return Ok(Some(changed("forked", seq, &detail)));
        }
    }
    if let Some(finding) = nodes(stores, &merged).await? {
        return Ok(Some(finding));
    }
    run.position += wanted;
    run.frontier = frontier.roots();
    Ok(None)
}

fn changed(code: &'static str, seq: u64, detail: &str) -> Finding {
    Finding { code, seq: Some(seq), event_id: None, detail: detail.to_owned() }
}

/// An event against its leaf.
fn judge(row: &SealedRow) -> Option<Finding> {
    let finding = |code, detail: &str| {
        Some(Finding {
            code,
            seq: Some(row.leaf.seq),
            event_id: Some(row.leaf.event_id.clone()),
            detail: detail.to_owned(),
        })
    };
    match &row.record {
        None if row.archived => None,
        None => finding("event_missing", "its row is gone and no archive holds it"),
        Some(record) if record.id != row.leaf.event_id => finding("event_changed", "another event stands in its place"),
        Some(record) if row.leaf.hash_version == HASH_VERSION && leaf_hash(record, row.leaf.seq) != row.leaf.hash => {
            finding("event_changed", "it is not what was sealed")
        }
        Some(_) => None,
    }
}

/// Heads that fall into the batch, by size: those stored, the one kept outside, and the one that the caller brought.
async fn heads(
    stores: &mut (impl LogStore + ?Sized),
    log: &SealedLog,
    run: &Run,
    until: u64,
) -> Result<Result<BTreeMap<u64, (Hash, &'static str)>, Finding>, DomainError> {
    let mut heads = BTreeMap::new();
    for stored in stores.checkpoints(run.position, until).await? {
        match log.trusted.open(&stored.note) {
            Ok(checkpoint) if checkpoint.size == stored.size && checkpoint.root == stored.root => {
                heads.insert(stored.size, (stored.root, "the stored checkpoint"));
            }
            Ok(_) => {
                let detail = "the stored checkpoint is not the one that was signed";
                return Ok(Err(changed("checkpoint_changed", stored.size - 1, detail)));
            }
            Err(error) => {
                return Ok(Err(changed("checkpoint_untrusted", stored.size - 1, &error.to_string())));
            }
        }
    }
    for (checkpoint, what) in outside(log, run) {
        if checkpoint.size > run.position && checkpoint.size <= until {
            let there = heads.insert(checkpoint.size, (checkpoint.root, what));
            if there.is_some_and(|(root, _)| root != checkpoint.root) {
                let detail = format!("{what} differs from the stored checkpoint of the same size");
                return Ok(Err(changed("forked", checkpoint.size - 1, &detail)));
            }
        }
    }
    Ok(Ok(heads))
}

/// Checkpoints that the database can't have changed.
fn outside(log: &SealedLog, run: &Run) -> Vec<(Checkpoint, &'static str)> {
    let brought = run.checkpoint.as_deref().and_then(|note| log.trusted.open(note).ok());
    let brought = brought.map(|checkpoint| (checkpoint, "the checkpoint that was brought"));
    let kept = log.kept().map(|checkpoint| (checkpoint, "the checkpoint kept outside the database"));
    kept.into_iter().chain(brought).collect()
}

/// Stored subtrees against those worked out.
async fn nodes(stores: &mut (impl LogStore + ?Sized), merged: &[Merged]) -> Result<Option<Finding>, DomainError> {
    let mut levels: BTreeMap<u8, Vec<&Merged>> = BTreeMap::new();
    for node in merged {
        levels.entry(node.level / 8).or_default().push(node);
    }
    for (level, nodes) in levels {
        let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else { continue };
        let stored = stores.node_hashes(level, first.index, last.index + 1).await?;
        if stored.len() != nodes.len() || stored.iter().zip(&nodes).any(|(stored, node)| *stored != node.hash) {
            let seq = first.index << (level * 8);
            return Ok(Some(changed("node_changed", seq, "a stored subtree is not what its events make")));
        }
    }
    Ok(None)
}

/// What can only be judged at the end.
async fn conclude(
    stores: &mut (impl LogStore + VerificationStore + ?Sized),
    ambient: &Ambient,
    log: &SealedLog,
    run: &Run,
) -> Result<Option<Finding>, DomainError> {
    let size = stores.log_size().await?;
    let mut heads = outside(log, run);
    if let Some(stored) = stores.latest_checkpoint().await?
        && let Ok(checkpoint) = log.trusted.open(&stored.note)
    {
        heads.push((checkpoint, "the latest stored checkpoint"));
    }
    for (checkpoint, what) in heads {
        if checkpoint.size > size {
            let detail = format!(
                "{what} covers {} events and the log has {size}: its end was cut off, or an old backup was restored",
                checkpoint.size
            );
            return Ok(Some(Finding { code: "truncated", seq: Some(size), event_id: None, detail }));
        }
        // Within the walk it was compared with the events themselves.
        let walked = checkpoint.size > run.from_seq && checkpoint.size <= run.to_seq;
        if walked || checkpoint.size == 0 {
            continue;
        }
        match root_at(stores, checkpoint.size).await {
            Ok(root) if root == checkpoint.root => {}
            Ok(_) => {
                let detail = format!("the events up to it are not those of {what}");
                return Ok(Some(changed("forked", checkpoint.size - 1, &detail)));
            }
            Err(error @ TreeError::Holes { .. }) => {
                return Ok(Some(changed("node_changed", checkpoint.size - 1, &error.to_string())));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let since = match run.from_seq.checked_sub(1) {
        Some(last) => stores.sealed(last, 1).await?.first().map(|row| row.leaf.at - OVERLAP),
        None => None,
    };
    if let Some(event_id) = stores.unlogged_event(since, ambient.now() - LATEST).await? {
        let detail = "it was recorded more than a minute ago and is not in the log".to_owned();
        return Ok(Some(Finding { code: "event_not_sealed", seq: None, event_id: Some(event_id), detail }));
    }
    if let Some(partition) = stores.unproven_archives().await?.into_iter().next() {
        let detail =
            format!("no event of the log tells of the archive of {partition}, or it tells another hash or number");
        return Ok(Some(Finding { code: "archive_unproven", seq: None, event_id: None, detail }));
    }
    Ok(None)
}
