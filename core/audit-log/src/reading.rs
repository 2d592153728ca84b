//! What readers of the trail may ask of the log.

use crate::ports::{Leaf, LogStore, StoredCheckpoint};
use crate::seal::{SealError, sign_now};
use crate::service::SealedLog;
use crate::tree::{TreeError, consistency_proof, inclusion_proof, root_at, tile};
use certctl_kernel::DomainError;
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use tlog_tiles::tlog::Hash;

/// An event's place in the tree, and the proof of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inclusion {
    /// The leaf.
    pub leaf: Leaf,
    /// Leaves of the tree that the proof is for.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The audit path (RFC 6962 §2.1.1).
    pub path: Vec<Hash>,
    /// The signed head, when the tree is one of which a head was signed.
    pub checkpoint: Option<String>,
}

/// One tree's being the beginning of another, and the proof of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Consistency {
    /// Leaves of the smaller tree.
    pub from: u64,
    /// Its root.
    pub from_root: Hash,
    /// Leaves of the larger tree.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The proof (RFC 6962 §2.1.2).
    pub path: Vec<Hash>,
}

impl From<TreeError> for DomainError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Store(store) => store.into(),
            TreeError::OutOfRange { size } => {
                Self::invalid("size", "out_of_range", format!("is more than the log holds, which is {size}"))
            }
            TreeError::Holes { .. } => Self::Internal { reason: error.to_string() },
        }
    }
}

impl From<SealError> for DomainError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Store(store) => store.into(),
            SealError::Tree(tree) => tree.into(),
            SealError::Forked(fork) => Self::conflict("audit_log_forked", fork.to_string()),
            SealError::Sign(sign) => Self::Internal { reason: sign.to_string() },
        }
    }
}

/// The signed head of the largest tree.
pub async fn latest_checkpoint(
    stores: &mut (impl LogStore + ?Sized),
    caller: &Caller,
) -> Result<StoredCheckpoint, DomainError> {
    caller.require(Permission::AuditRead, &[])?;
    stores.latest_checkpoint().await?.ok_or_else(|| DomainError::not_found("audit checkpoint", "latest"))
}

/// Seals what waits and signs the head now. The caller saves, and then keeps the checkpoint outside.
pub async fn request_checkpoint(
    stores: &mut (impl LogStore + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    log: &SealedLog,
) -> Result<StoredCheckpoint, DomainError> {
    caller.require(Permission::AuditExport, &[])?;
    let kept = log.kept();
    let signed = sign_now(stores, ambient, &log.key, &log.settings, kept.as_ref()).await?;
    signed.ok_or_else(|| DomainError::not_found("audit checkpoint", "latest"))
}

/// Proves that an event is in the log: in the tree of `size` leaves, or in the one whose head was signed last.
pub async fn prove_inclusion(
    stores: &mut (impl LogStore + ?Sized),
    caller: &Caller,
    event_id: &str,
    size: Option<u64>,
) -> Result<Inclusion, DomainError> {
    caller.require(Permission::AuditRead, &[])?;
    let leaf = stores.leaf_of(event_id).await?.ok_or_else(|| DomainError::not_found("sealed audit event", event_id))?;
    let latest = stores.latest_checkpoint().await?;
    let size = match (size, &latest) {
        (Some(size), _) => size,
        (None, Some(latest)) => latest.size,
        (None, None) => 0,
    };
    if leaf.seq >= size {
        return Err(DomainError::conflict(
            "not_signed_yet",
            format!(
                "event {} of the log is in no tree of {size} events; ask again after the next checkpoint",
                leaf.seq
            ),
        ));
    }
    let root = root_at(stores, size).await?;
    let path = inclusion_proof(stores, size, leaf.seq).await?;
    let checkpoint = latest.filter(|latest| latest.size == size).map(|latest| latest.note);
    Ok(Inclusion { leaf, size, root, path, checkpoint })
}

/// Proves that the tree of `from` leaves is the beginning of the one of `size` leaves, or of the one whose head was
/// signed last.
pub async fn prove_consistency(
    stores: &mut (impl LogStore + ?Sized),
    caller: &Caller,
    from: u64,
    size: Option<u64>,
) -> Result<Consistency, DomainError> {
    caller.require(Permission::AuditRead, &[])?;
    let size = match size {
        Some(size) => size,
        None => stores.latest_checkpoint().await?.map_or(0, |latest| latest.size),
    };
    if from == 0 || from > size {
        return Err(DomainError::invalid("from", "out_of_range", format!("must be from 1 to {size}")));
    }
    let root = root_at(stores, size).await?;
    let from_root = root_at(stores, from).await?;
    Ok(Consistency { from, from_root, size, root, path: consistency_proof(stores, size, from).await? })
}

/// A tile (C2SP tlog-tiles): `width` hashes of `level` from `index * 256`.
pub async fn read_tile(
    stores: &mut (impl LogStore + ?Sized),
    caller: &Caller,
    level: u8,
    index: u64,
    width: u64,
) -> Result<Vec<u8>, DomainError> {
    caller.require(Permission::AuditRead, &[])?;
    match tile(stores, level, index, width).await {
        Err(TreeError::OutOfRange { .. }) => Err(DomainError::not_found("tile", format!("{level}/{index}"))),
        other => Ok(other?),
    }
}
