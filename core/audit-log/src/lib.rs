//! The tamper-evident log under the audit trail.
//!
//! Events are sealed after their commit, off the path of the change they tell of: one leader numbers them without
//! gaps, hashes each in a canonical form and appends the hash as a leaf of a Merkle tree (RFC 6962 §2.1). The tree's
//! head is signed now and then as a C2SP checkpoint with a key that the database does not hold. Whoever keeps a
//! checkpoint elsewhere can tell whether the trail still says what it said then.

mod canonical;
mod checkpoint;
mod export;
mod import;
mod legacy;
mod note;
mod offline;
mod ports;
mod reading;
mod retention;
mod seal;
mod service;
mod tree;
mod verify;

pub use canonical::{HASH_VERSION, canonical, leaf_hash};
pub use checkpoint::{Checkpoint, CheckpointError, LogKey, TrustedKeys};
pub use export::{
    DEFAULT_LIMIT, Export, ExportCommand, ExportFilter, ExportItem, ExportLine, ExportStore, LARGEST_LIMIT, Skipped,
    Trailer,
};
pub use import::{ImportError, Imported, ImportedEvent, LegacyImport, import_legacy, prepare_import};
pub use legacy::{LegacyBreak, LegacyChain, LegacyRow, check_legacy, legacy_hash};
pub use note::{NoteError, NoteKey, SignedNote, VerifierKey};
pub use offline::{Bundle, Checked, Evidence, OfflineError, bundle, check_bundle, check_export};
pub use ports::{Backlog, Leaf, LogStore, Node, SealedRow, StoredCheckpoint, Unsealed, Witness, WitnessError};
pub use reading::{
    Consistency, Inclusion, latest_checkpoint, prove_consistency, prove_inclusion, read_tile, request_checkpoint,
};
pub use retention::{ArchiveFile, ArchivePlace, Month, Retention, RetentionStore, drop_archived, due, write_archive};
pub use seal::{Fork, SealError, SealOutcome, SealSettings, seal, sign_now};
pub use service::{OpenError, SealedLog};
pub use tlog_tiles::tlog::Hash;
pub use tree::{
    Frontier, Merged, PartialTree, TILE_WIDTH, TreeError, check_consistency, check_inclusion, consistency_proof,
    inclusion_proof, root_at, subtree_roots, subtrees, tile, tile_path,
};
pub use verify::{
    Archive, Finding, LogStatus, Mode, Run, RunResult, StoredFinding, VerificationStore, abandon, begin, begin_due,
    log_status, request_verification, verify_step,
};
