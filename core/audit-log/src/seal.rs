//! Numbering, hashing and signing what was committed.

use crate::canonical::{HASH_VERSION, leaf_hash};
use crate::checkpoint::{Checkpoint, CheckpointError, LogKey};
use crate::ports::{Leaf, LogStore, StoredCheckpoint};
use crate::tree::{TreeError, completed, root_at};
use certctl_kernel::{StoreError, Timestamp};
use certctl_ports::Ambient;

/// When a checkpoint is due, and how much is sealed at once.
#[derive(Debug, Clone, Copy)]
pub struct SealSettings {
    /// Events of one transaction.
    pub batch: i64,
    /// A checkpoint at the latest after so long, when something was sealed since the last one.
    pub interval: time::Duration,
    /// A checkpoint at the latest after so many events.
    pub rows: u64,
}

impl Default for SealSettings {
    fn default() -> Self {
        Self { batch: 2000, interval: time::Duration::minutes(5), rows: 10_000 }
    }
}

/// The log can't be sealed or signed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored tree is damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The head could not be signed.
    #[error(transparent)]
    Sign(#[from] CheckpointError),
    /// The log no longer holds what a checkpoint kept outside says; nothing is signed over it.
    #[error(transparent)]
    Forked(#[from] Fork),
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SealOutcome {
    /// Events sealed.
    pub sealed: usize,
    /// More wait.
    pub more: bool,
    /// The checkpoint that was signed, if one was due.
    pub signed: Option<StoredCheckpoint>,
    /// A checkpoint was due and refused: the log does not continue the one kept outside.
    pub forked: Option<Fork>,
}

/// The log went back on a checkpoint that is kept outside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log does not continue the checkpoint kept outside the database (size {kept}): it has {size} events; an old \
     backup was restored, or the trail was tampered with"
)]
pub struct Fork {
    /// Size of the checkpoint kept outside.
    pub kept: u64,
    /// Leaves in the log.
    pub size: u64,
}

/// Seals one batch, and signs the head when that is due. Does nothing when another replica is at it. `kept` is the last
/// checkpoint kept outside the database. The caller saves, and then keeps the checkpoint outside.
pub async fn seal(
    stores: &mut (impl LogStore + ?Sized),
    ambient: &Ambient,
    key: &LogKey,
    settings: &SealSettings,
    kept: Option<&Checkpoint>,
) -> Result<SealOutcome, SealError> {
    if !stores.lead_log(false).await? {
        return Ok(SealOutcome::default());
    }
    let (sealed, size) = seal_batch(stores, settings.batch).await?;
    let latest = stores.latest_checkpoint().await?;
    let now = ambient.now();
    let (done, at) = latest.as_ref().map_or((0, None), |latest| (latest.size, Some(latest.signed_at)));
    let due =
        size > done && (size - done >= settings.rows || at.is_none_or(|at| now - at >= settings.interval || now < at));
    let more = i64::try_from(sealed).unwrap_or(i64::MAX) == settings.batch;
    let mut outcome = SealOutcome { sealed, more, ..SealOutcome::default() };
    if due {
        // What was committed is numbered all the same: the trail goes on, only nobody vouches for it.
        match sign(stores, key, size, now, kept).await {
            Ok(signed) => outcome.signed = Some(signed),
            Err(SealError::Forked(fork)) => outcome.forked = Some(fork),
            Err(error) => return Err(error),
        }
    }
    Ok(outcome)
}

/// Seals everything that waits and signs the head, now; gives the latest checkpoint when nothing was added since.
/// `None` when the log is empty.
pub async fn sign_now(
    stores: &mut (impl LogStore + ?Sized),
    ambient: &Ambient,
    key: &LogKey,
    settings: &SealSettings,
    kept: Option<&Checkpoint>,
) -> Result<Option<StoredCheckpoint>, SealError> {
    stores.lead_log(true).await?;
    let mut size = stores.log_size().await?;
    loop {
        let (sealed, reached) = seal_batch(stores, settings.batch).await?;
        size = reached.max(size);
        if sealed == 0 {
            break;
        }
    }
    match stores.latest_checkpoint().await? {
        Some(latest) if latest.size == size => Ok(Some(latest)),
        None if size == 0 => Ok(None),
        _ => Ok(Some(sign(stores, key, size, ambient.now(), kept).await?)),
    }
}

async fn seal_batch(stores: &mut (impl LogStore + ?Sized), limit: i64) -> Result<(usize, u64), SealError> {
    let size = stores.log_size().await?;
    let waiting = stores.unsealed(limit).await?;
    if waiting.is_empty() {
        return Ok((0, size));
    }
    let leaves: Vec<Leaf> = waiting
        .into_iter()
        .zip(size..)
        .map(|(unsealed, seq)| Leaf {
            seq,
            insert_id: unsealed.insert_id,
            hash: leaf_hash(&unsealed.record, seq),
            hash_version: HASH_VERSION,
            at: unsealed.record.at,
            event_id: unsealed.record.id,
        })
        .collect();
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf.hash).collect();
    let nodes = completed(stores, size, &hashes).await?;
    stores.append(&leaves, &nodes).await?;
    Ok((leaves.len(), size + leaves.len() as u64))
}

async fn sign(
    stores: &mut (impl LogStore + ?Sized),
    key: &LogKey,
    size: u64,
    now: Timestamp,
    kept: Option<&Checkpoint>,
) -> Result<StoredCheckpoint, SealError> {
    if let Some(kept) = kept
        && (kept.size > size || root_at(stores, kept.size).await? != kept.root)
    {
        return Err(Fork { kept: kept.size, size }.into());
    }
    let root = root_at(stores, size).await?;
    let checkpoint = StoredCheckpoint { size, root, note: key.sign(size, root, now)?, signed_at: now };
    stores.add_checkpoint(&checkpoint).await?;
    Ok(checkpoint)
}
