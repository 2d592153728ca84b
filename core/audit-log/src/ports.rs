//! What the log needs of its store, and of a place outside it.

use crate::import::ImportedEvent;
use async_trait::async_trait;
use certctl_audit::AuditRecord;
use certctl_kernel::{StoreError, Timestamp};
use tlog_tiles::tlog::Hash;

/// An event that waits to be sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsealed {
    /// Its place in the order of insertion.
    pub insert_id: i64,
    /// The event as it is stored.
    pub record: AuditRecord,
}

/// A sealed event.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Its number, from 0 without gaps: the index of its leaf.
    pub seq: u64,
    /// Its place in the order of insertion.
    pub insert_id: i64,
    /// Its id.
    pub event_id: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// How it was hashed.
    pub hash_version: i16,
    /// Its leaf.
    pub hash: Hash,
}

/// The root of a full subtree of `256^level` leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Level in tiles, from 1.
    pub level: u8,
    /// Number among the subtrees of that level.
    pub index: u64,
    /// The root.
    pub hash: Hash,
}

/// A leaf with the event it stands for, as far as that is still in the database.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedRow {
    /// The leaf.
    pub leaf: Leaf,
    /// The event; `None` when its row is gone.
    pub record: Option<AuditRecord>,
    /// Whether an archive that was recorded covers it.
    pub archived: bool,
}

/// A signed head.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredCheckpoint {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
    /// The signed note.
    pub note: String,
    /// When it was signed.
    pub signed_at: Timestamp,
}

/// What is not sealed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Events.
    pub waiting: u64,
    /// When the oldest of them was recorded.
    pub oldest: Option<Timestamp>,
}

/// The stored log.
#[async_trait]
pub trait LogStore: Send {
    /// Becomes the one who seals and signs, for the life of this transaction. With `wait` it waits for the other one to
    /// end; without, it says false at once.
    async fn lead_log(&mut self, wait: bool) -> Result<bool, StoreError>;
    /// Leaves in the log.
    async fn log_size(&mut self) -> Result<u64, StoreError>;
    /// Events of committed transactions that wait, in the order of insertion.
    async fn unsealed(&mut self, limit: i64) -> Result<Vec<Unsealed>, StoreError>;
    /// How much waits.
    async fn backlog(&mut self) -> Result<Backlog, StoreError>;
    /// Adds events that happened before this log began, in this order, to be sealed like others; those whose id is
    /// there are left alone. Returns how many were added.
    async fn import_events(&mut self, events: &[ImportedEvent]) -> Result<u64, StoreError>;
    /// Appends leaves and the subtrees that they complete, and takes their events out of the queue.
    async fn append(&mut self, leaves: &[Leaf], nodes: &[Node]) -> Result<(), StoreError>;
    /// Leaves `[from, until)`; fewer when the log has holes.
    async fn leaf_hashes(&mut self, from: u64, until: u64) -> Result<Vec<Hash>, StoreError>;
    /// Stored subtrees `[from, until)` of a level; fewer when some are missing.
    async fn node_hashes(&mut self, level: u8, from: u64, until: u64) -> Result<Vec<Hash>, StoreError>;
    /// Leaves from `from` on with their events, in order.
    async fn sealed(&mut self, from: u64, limit: i64) -> Result<Vec<SealedRow>, StoreError>;
    /// The leaf of an event.
    async fn leaf_of(&mut self, event_id: &str) -> Result<Option<Leaf>, StoreError>;
    /// Keeps a signed head.
    async fn add_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError>;
    /// The signed head of the largest tree.
    async fn latest_checkpoint(&mut self) -> Result<Option<StoredCheckpoint>, StoreError>;
    /// Signed heads of trees with more than `after` and at most `until` leaves, in order.
    async fn checkpoints(&mut self, after: u64, until: u64) -> Result<Vec<StoredCheckpoint>, StoreError>;
}

/// A place outside the database can't be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WitnessError(pub String);

/// Where checkpoints are kept outside the database, so that going back on them shows.
#[async_trait]
pub trait Witness: Send + Sync {
    /// The last checkpoint that was kept.
    async fn last(&self) -> Result<Option<String>, WitnessError>;
    /// Keeps a checkpoint, durably, in place of the one before.
    async fn keep(&self, note: &str) -> Result<(), WitnessError>;
}
