//! The log as a running server holds it: its key, whom it believes, and where it keeps checkpoints outside.

use crate::checkpoint::{Checkpoint, CheckpointError, LogKey, TrustedKeys};
use crate::ports::{StoredCheckpoint, Witness, WitnessError};
use crate::seal::SealSettings;
use std::sync::{Arc, Mutex, PoisonError};

/// The log can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The place outside the database can't be read or written.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// What is kept there is no checkpoint of this log.
    #[error("the checkpoint kept outside the database: {0}")]
    Checkpoint(#[from] CheckpointError),
}

/// Key, trust, and the last checkpoint kept outside the database.
pub struct SealedLog {
    /// Signs heads.
    pub key: LogKey,
    /// Whose heads are believed, our own key among them.
    pub trusted: TrustedKeys,
    /// When heads are signed.
    pub settings: SealSettings,
    witness: Arc<dyn Witness>,
    kept: Mutex<Option<(Checkpoint, String)>>,
}

impl SealedLog {
    /// Reads what was kept last. A note that no trusted key signed is refused: somebody else wrote it, or the key was
    /// exchanged and the old one is to be named as trusted.
    pub async fn open(
        key: LogKey,
        mut trusted: TrustedKeys,
        settings: SealSettings,
        witness: Arc<dyn Witness>,
    ) -> Result<Self, OpenError> {
        if !trusted.0.contains(key.verifier()) {
            trusted.0.push(key.verifier().clone());
        }
        let kept = match witness.last().await? {
            Some(note) => Some((trusted.open(&note)?, note)),
            None => None,
        };
        Ok(Self { key, trusted, settings, witness, kept: Mutex::new(kept) })
    }

    /// The last checkpoint kept outside.
    pub fn kept(&self) -> Option<Checkpoint> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(checkpoint, _)| checkpoint.clone())
    }

    /// Keeps a checkpoint outside, after its transaction was saved. A smaller one than that kept is let be.
    pub async fn keep(&self, signed: &StoredCheckpoint) -> Result<(), OpenError> {
        let checkpoint = self.trusted.open(&signed.note)?;
        if self.kept().is_some_and(|kept| kept.size > checkpoint.size) {
            return Ok(());
        }
        self.witness.keep(&signed.note).await?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((checkpoint, signed.note.clone()));
        Ok(())
    }
}
