//! Checkpoints of the audit log in files, outside the database.

use async_trait::async_trait;
use certctl_audit_log::{Witness, WitnessError};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Keeps the last checkpoint in a file, and appends each to a second one where that is wanted.
#[derive(Debug, Clone)]
pub struct FileWitness {
    last: PathBuf,
    every: Option<PathBuf>,
}

impl FileWitness {
    /// `last` is replaced by each checkpoint; `every` grows by each.
    pub const fn new(last: PathBuf, every: Option<PathBuf>) -> Self {
        Self { last, every }
    }

    fn read(&self) -> Result<Option<String>, WitnessError> {
        match std::fs::read_to_string(&self.last) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.last, &error)),
        }
    }

    fn write(&self, note: &str) -> Result<(), WitnessError> {
        if let Some(every) = &self.every {
            let appended = || {
                let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(every)?;
                // Two notes are told apart by the blank line; a note holds one itself, before its signatures.
                file.write_all(format!("{note}\n").as_bytes())?;
                file.sync_all()
            };
            appended().map_err(|error| failed(every, &error))?;
        }
        let replaced = || {
            let fresh = self.last.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(note.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &self.last)?;
            match self.last.parent() {
                Some(folder) => File::open(folder)?.sync_all(),
                None => Ok(()),
            }
        };
        replaced().map_err(|error| failed(&self.last, &error))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> WitnessError {
    WitnessError(format!("{}: {error}", path.display()))
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WitnessError> + Send + 'static,
) -> Result<T, WitnessError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(WitnessError(error.to_string())))
}

#[async_trait]
impl Witness for FileWitness {
    async fn last(&self) -> Result<Option<String>, WitnessError> {
        let files = self.clone();
        apart(move || files.read()).await
    }

    async fn keep(&self, note: &str) -> Result<(), WitnessError> {
        let (files, note) = (self.clone(), note.to_owned());
        apart(move || files.write(&note)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn the_last_is_kept_private_and_each_is_appended() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (last, every) = (dir.path().join("last"), dir.path().join("every"));
        let witness = FileWitness::new(last.clone(), Some(every.clone()));
        assert_eq!(witness.last().await, Ok(None));
        witness.keep("one\n").await.expect("kept");
        witness.keep("two\n").await.expect("kept");
        assert_eq!(witness.last().await, Ok(Some("two\n".to_owned())));
        assert_eq!(std::fs::read_to_string(every).expect("there"), "one\n\ntwo\n\n");
        assert_eq!(last.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_place_that_is_gone_is_an_error_and_not_an_empty_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let witness = FileWitness::new(dir.path().join("gone/last"), None);
        assert!(witness.keep("one\n").await.is_err());
        std::fs::create_dir(dir.path().join("last")).expect("a folder in its place");
        assert!(FileWitness::new(dir.path().join("last"), None).last().await.is_err());
    }
}
