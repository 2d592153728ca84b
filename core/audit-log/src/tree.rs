//! The tree over the leaves: what is stored of it, and what proofs take from it.
//!
//! Stored are the leaves and, for each level that is a multiple of eight, the roots of full subtrees: the hashes of
//! C2SP tlog-tiles, each once. Everything else is worked out from at most 256 of them a level.

use crate::ports::{LogStore, Node};
use certctl_kernel::StoreError;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use tlog_tiles::tile::Tile;
use tlog_tiles::tlog::{self, Hash, HashReader};

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// log₂ of [`TILE_WIDTH`].
const HEIGHT: u8 = 8;

/// A tree can't give what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tree is smaller than that.
    #[error("the tree has {size} leaves")]
    OutOfRange {
        /// Leaves in the tree.
        size: u64,
    },
    /// Hashes that must be there are missing from the store.
    #[error("the stored tree has holes: level {level} lacks hashes from {from} to {until}")]
    Holes {
        /// Level in tiles, 0 for leaves.
        level: u8,
        /// First hash that was asked for.
        from: u64,
        /// One past the last.
        until: u64,
    },
}

/// Level, index and width of a tile from its path after `tile/` (C2SP tlog-tiles), such as `0/x001/067.p/8`.
pub fn tile_path(path: &str) -> Option<(u8, u64, u64)> {
    // The library stops at levels and widths that it can't make a tile of, so those are turned away before.
    let level: u8 = path.split_once('/')?.0.parse().ok()?;
    let no_width =
        path.split_once(".p/").is_some_and(|(_, width)| !width.starts_with(|c: char| ('1'..='9').contains(&c)));
    if level > 7 || no_width {
        return None;
    }
    // The library writes the height of tiles as well, as the design that C2SP came from does.
    let tile = Tile::from_path(&format!("tile/{HEIGHT}/{path}")).ok()?;
    (!tile.is_data()).then(|| (tile.level(), tile.level_index(), u64::from(tile.width())))
}

/// The hashes `[from, until)` of a level that is stored; level 0 are the leaves, level 1 the roots of 256 leaves each.
async fn row(stores: &mut (impl LogStore + ?Sized), level: u8, from: u64, until: u64) -> Result<Vec<Hash>, TreeError> {
    let hashes = match level {
        0 => stores.leaf_hashes(from, until).await?,
        _ => stores.node_hashes(level, from, until).await?,
    };
    if hashes.len() as u64 == until - from { Ok(hashes) } else { Err(TreeError::Holes { level, from, until }) }
}

/// A tile of C2SP tlog-tiles: `width` hashes of `level` from `index * 256`, one after the other.
pub async fn tile(
    stores: &mut (impl LogStore + ?Sized),
    level: u8,
    index: u64,
    width: u64,
) -> Result<Vec<u8>, TreeError> {
    let size = stores.log_size().await?;
    let there = size.checked_shr(u32::from(level) * u32::from(HEIGHT)).unwrap_or(0);
    let from = index.checked_mul(TILE_WIDTH).ok_or(TreeError::OutOfRange { size })?;
    if width == 0 || width > TILE_WIDTH || from + width > there {
        return Err(TreeError::OutOfRange { size });
    }
    Ok(octets(&row(stores, level, from, from + width).await?))
}

fn octets(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The roots of subtrees that `added` leaves complete in a tree of `size` leaves, on the levels that are stored.
pub(crate) async fn completed(
    stores: &mut (impl LogStore + ?Sized),
    size: u64,
    added: &[Hash],
) -> Result<Vec<Node>, TreeError> {
    let mut nodes = Vec::new();
    let (mut start, mut fresh, mut level) = (size, added.to_vec(), 0_u8);
    while !fresh.is_empty() {
        let base = start - start % TILE_WIDTH;
        let mut hashes = if start > base { row(stores, level, base, start).await? } else { Vec::new() };
        hashes.append(&mut fresh);
        level += 1;
        start = base / TILE_WIDTH;
        let (full, _) = hashes.as_chunks::<256>();
        fresh = full.iter().map(|chunk| Tile::subtree_hash(&octets(chunk))).collect();
        nodes.extend(fresh.iter().zip(start..).map(|(hash, index)| Node { level, index, hash: *hash }));
    }
    Ok(nodes)
}

/// Hashes fetched so far, by their index in the order of Crosby and Wallach; notes what else was asked for.
#[derive(Default)]
struct Fetched {
    known: HashMap<u64, Hash>,
    missing: Mutex<Vec<u64>>,
}

impl HashReader for Fetched {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        let found: Vec<Hash> = indexes.iter().filter_map(|index| self.known.get(index).copied()).collect();
        if found.len() == indexes.len() {
            return Ok(found);
        }
        if let Ok(mut missing) = self.missing.lock() {
            missing.extend(indexes.iter().filter(|index| !self.known.contains_key(index)));
        }
        Err(tlog::Error::IndexesNotInTree)
    }
}

/// Runs a computation over the stored tree: first to learn which hashes it needs, then with them.
async fn compute<T>(
    stores: &mut (impl LogStore + ?Sized),
    size: u64,
    work: impl Fn(&Fetched) -> Result<T, tlog::Error>,
) -> Result<T, TreeError> {
    let mut fetched = Fetched::default();
    if let Ok(done) = work(&fetched) {
        return Ok(done);
    }
    let missing = std::mem::take(fetched.missing.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
    // The part of a tile that holds what is needed is read once, however many of its hashes are.
    let mut tiles: BTreeMap<(u8, u64), u64> = BTreeMap::new();
    for index in &missing {
        let tile = Tile::from_index(HEIGHT, *index);
        let width = tiles.entry((tile.level(), tile.level_index())).or_default();
        *width = (*width).max(u64::from(tile.width()));
    }
    let mut data = HashMap::new();
    for ((level, index), width) in tiles {
        let from = index * TILE_WIDTH;
        data.insert((level, index), octets(&row(stores, level, from, from + width).await?));
    }
    for index in missing {
        let tile = Tile::from_index(HEIGHT, index);
        let hash = data
            .get(&(tile.level(), tile.level_index()))
            .and_then(|data| tile.hash_at_index(data, index).ok())
            .ok_or(TreeError::OutOfRange { size })?;
        fetched.known.insert(index, hash);
    }
    work(&fetched).map_err(|_| TreeError::OutOfRange { size })
}

async fn within(stores: &mut (impl LogStore + ?Sized), size: u64) -> Result<(), TreeError> {
    let there = stores.log_size().await?;
    if size <= there { Ok(()) } else { Err(TreeError::OutOfRange { size: there }) }
}

/// The root of the first `size` leaves, from what is stored.
pub async fn root_at(stores: &mut (impl LogStore + ?Sized), size: u64) -> Result<Hash, TreeError> {
    within(stores, size).await?;
    compute(stores, size, |reader| tlog::tree_hash(size, reader)).await
}

/// The audit path of leaf `seq` in the tree of `size` leaves (RFC 6962 §2.1.1).
pub async fn inclusion_proof(
    stores: &mut (impl LogStore + ?Sized),
    size: u64,
    seq: u64,
) -> Result<Vec<Hash>, TreeError> {
    within(stores, size).await?;
    if seq >= size {
        return Err(TreeError::OutOfRange { size });
    }
    compute(stores, size, |reader| tlog::prove_record(size, seq, reader)).await
}

/// The proof that the tree of `size` leaves begins with the one of `from` (RFC 6962 §2.1.2); `from` is at least 1.
pub async fn consistency_proof(
    stores: &mut (impl LogStore + ?Sized),
    size: u64,
    from: u64,
) -> Result<Vec<Hash>, TreeError> {
    within(stores, size).await?;
    if from == 0 || from > size {
        return Err(TreeError::OutOfRange { size });
    }
    compute(stores, size, |reader| tlog::prove_tree(size, from, reader)).await
}

/// The subtrees of a growing tree: enough to append to it and to know its root, with a hash a level.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frontier {
    size: u64,
    /// Roots of the maximal full subtrees, largest first, each with its level.
    stack: Vec<(u8, Hash)>,
}

/// A full subtree that an append completed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Merged {
    /// Its height.
    pub level: u8,
    /// Its number among the subtrees of that height.
    pub index: u64,
    /// Its root.
    pub hash: Hash,
}

impl Frontier {
    /// The tree whose maximal full subtrees have these roots, largest first: one a set bit of `size`.
    pub fn new(size: u64, roots: &[Hash]) -> Option<Self> {
        let levels: Vec<u8> =
            (0..64_u8).rev().filter(|level| size.checked_shr(u32::from(*level)).is_some_and(|n| n & 1 == 1)).collect();
        (levels.len() == roots.len())
            .then(|| Self { size, stack: levels.into_iter().zip(roots.iter().copied()).collect() })
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots that [`Frontier::new`] takes.
    pub fn roots(&self) -> Vec<Hash> {
        self.stack.iter().map(|(_, hash)| *hash).collect()
    }

    /// Appends a leaf; returns the subtrees that it completed, smallest first, without the leaf itself.
    pub fn append(&mut self, leaf: Hash) -> Vec<Merged> {
        self.append_subtree(0, leaf)
    }

    /// Appends a full subtree of `level`, which must begin where the tree ends.
    pub fn append_subtree(&mut self, level: u8, root: Hash) -> Vec<Merged> {
        let mut merged = Vec::new();
        let (mut level, mut hash) = (level, root);
        self.size += 1_u64 << level;
        while let Some((top, left)) = self.stack.last().copied()
            && top == level
        {
            self.stack.pop();
            hash = tlog::node_hash(left, hash);
            level += 1;
            merged.push(Merged { level, index: (self.size >> level) - 1, hash });
        }
        self.stack.push((level, hash));
        merged
    }

    /// The root.
    pub fn root(&self) -> Hash {
        let mut parts = self.stack.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = parts.next() else { return tlog::EMPTY_HASH };
        parts.fold(last, |right, left| tlog::node_hash(left, right))
    }
}

/// A tree in memory: of all leaves, or of a run of leaves between subtrees of which only the roots are known.
#[derive(Debug, Clone, Default)]
pub struct PartialTree {
    frontier: Frontier,
    known: HashMap<u64, Hash>,
    forgetful: bool,
}

impl PartialTree {
    /// A tree that begins with leaves of which only the roots of subtrees are known.
    pub fn after(left: Frontier) -> Self {
        let mut known = HashMap::new();
        let mut start = 0_u64;
        for (level, hash) in &left.stack {
            known.insert(tlog::stored_hash_index(*level, start >> level), *hash);
            start += 1 << level;
        }
        Self { frontier: left, known, forgetful: false }
    }

    /// An empty tree that only ever knows its root, in a few hashes' memory.
    pub fn forgetful() -> Self {
        Self { forgetful: true, ..Self::default() }
    }

    /// Appends a full subtree of `level`; a leaf is one of level 0.
    pub fn append(&mut self, level: u8, root: Hash) {
        let index = self.frontier.size >> level;
        let merged = self.frontier.append_subtree(level, root);
        if self.forgetful {
            return;
        }
        self.known.insert(tlog::stored_hash_index(level, index), root);
        for merged in merged {
            self.known.insert(tlog::stored_hash_index(merged.level, merged.index), merged.hash);
        }
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.frontier.size
    }

    /// The root.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The audit path of leaf `seq`; `None` when the tree does not know enough of its neighbours.
    pub fn inclusion_proof(&self, seq: u64) -> Option<Vec<Hash>> {
        tlog::prove_record(self.frontier.size, seq, self).ok()
    }
}

impl HashReader for PartialTree {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        indexes.iter().map(|index| self.known.get(index).copied().ok_or(tlog::Error::IndexesNotInTree)).collect()
    }
}

/// Levels of the maximal full subtrees of the leaves `[from, until)`, in order.
pub fn subtrees(from: u64, until: u64) -> Vec<u8> {
    let (mut levels, mut at) = (Vec::new(), from);
    while at < until {
        let aligned = if at == 0 { 63 } else { at.trailing_zeros() };
        let fits = (until - at).ilog2();
        let level = aligned.min(fits);
        at += 1 << level;
        levels.push(u8::try_from(level).unwrap_or(63));
    }
    levels
}

/// The roots of the maximal full subtrees of the stored leaves `[from, until)`, in order.
pub async fn subtree_roots(
    stores: &mut (impl LogStore + ?Sized),
    from: u64,
    until: u64,
) -> Result<Vec<Hash>, TreeError> {
    within(stores, until).await?;
    let mut indexes = Vec::new();
    let mut at = from;
    for level in subtrees(from, until) {
        indexes.push(tlog::stored_hash_index(level, at >> level));
        at += 1 << level;
    }
    compute(stores, until, |reader| reader.read_hashes(&indexes)).await
}

/// Whether `proof` shows that leaf `seq` with this hash is in the tree of `size` leaves with this root.
pub fn check_inclusion(proof: &[Hash], size: u64, root: Hash, seq: u64, leaf: Hash) -> bool {
    proof.len() <= 64 && tlog::check_record(&proof.to_vec(), size, root, seq, leaf).is_ok()
}

/// Whether `proof` shows that the tree of `size` leaves with this root begins with the one of `from` leaves.
pub fn check_consistency(proof: &[Hash], size: u64, root: Hash, from: u64, from_root: Hash) -> bool {
    proof.len() <= 64 && tlog::check_tree(&proof.to_vec(), size, root, from, from_root).is_ok()
}
