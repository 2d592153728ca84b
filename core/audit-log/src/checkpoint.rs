//! Checkpoints: the signed head of the tree (C2SP tlog-checkpoint).

use crate::note::{NoteError, NoteKey, SignedNote, VerifierKey};
use certctl_kernel::Timestamp;
use tlog_tiles::checkpoint::Checkpoint as Body;
use tlog_tiles::tlog::Hash;

/// No log grows past this: the arithmetic of the tree stays far from its limits.
const MAX_TREE: u64 = 1 << 48;
const TIME: &str = "time ";

/// A checkpoint can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is not sound or not signed by a trusted key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is no checkpoint.
    #[error("the signed text is not a checkpoint (C2SP tlog-checkpoint)")]
    Malformed,
    /// It is a checkpoint of another log.
    #[error("the checkpoint is of the log {found}, not of {wanted}")]
    Origin {
        /// The log that it is of.
        found: String,
        /// The log that was asked about.
        wanted: String,
    },
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The log's name, its own for ever.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    /// When it was signed, by the signer's clock.
    pub signed_at: Option<Timestamp>,
}

impl Checkpoint {
    /// The text to sign.
    fn text(&self) -> Result<String, CheckpointError> {
        let extension = self.signed_at.map(|at| format!("{TIME}{}\n", at.unix_timestamp())).unwrap_or_default();
        let body = Body::new(&self.origin, self.size, self.root, &extension).map_err(|_| CheckpointError::Malformed)?;
        String::from_utf8(body.to_bytes()).map_err(|_| CheckpointError::Malformed)
    }

    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = Body::from_bytes(text.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        if body.size() > MAX_TREE {
            return Err(CheckpointError::Malformed);
        }
        let time = body.extension().lines().find_map(|line| line.strip_prefix(TIME));
        let signed_at = time.and_then(|text| Timestamp::from_unix_timestamp(text.parse().ok()?).ok());
        Ok(Self { origin: body.origin().to_owned(), size: body.size(), root: *body.hash(), signed_at })
    }
}

/// Name and signing key of one log.
#[derive(Clone)]
pub struct LogKey {
    key: NoteKey,
}

impl LogKey {
    /// The key's name is the log's origin, as C2SP recommends.
    pub const fn new(key: NoteKey) -> Self {
        Self { key }
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        self.key.verifier().name()
    }

    /// The public half.
    pub const fn verifier(&self) -> &VerifierKey {
        self.key.verifier()
    }

    /// The signed note of a tree's head.
    pub fn sign(&self, size: u64, root: Hash, now: Timestamp) -> Result<String, CheckpointError> {
        let checkpoint = Checkpoint { origin: self.origin().to_owned(), size, root, signed_at: Some(now) };
        Ok(self.key.sign(&checkpoint.text()?)?)
    }
}

/// The keys whose checkpoints are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(pub Vec<VerifierKey>);

impl TrustedKeys {
    /// The checkpoint in a note that one of the keys signed.
    pub fn open(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Checkpoint::parse(note.verify(&self.0)?)?;
        // The name under which a key signs is the log's: a key of another log says nothing about this one.
        match self.0.iter().find(|key| key.name() == checkpoint.origin) {
            Some(_) => Ok(checkpoint),
            None => Err(CheckpointError::Origin {
                found: checkpoint.origin,
                wanted: self.0.iter().map(VerifierKey::name).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}
