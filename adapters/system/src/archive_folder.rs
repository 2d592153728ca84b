//! Archives of the audit trail in a folder.

use async_trait::async_trait;
use certctl_audit_log::{ArchiveFile, ArchivePlace, WitnessError};
use data_encoding::HEXLOWER;
use ring::digest;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

/// A folder that is made, for its owner alone, when the first archive is written.
#[derive(Debug, Clone)]
pub struct ArchiveFolder(PathBuf);

impl ArchiveFolder {
    /// Writes into this folder.
    pub const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }
}

struct Writing {
    file: File,
    hash: digest::Context,
    fresh: PathBuf,
    path: PathBuf,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> WitnessError + '_ {
    move |error| WitnessError(format!("{}: {error}", path.display()))
}

#[async_trait]
impl ArchivePlace for ArchiveFolder {
    async fn begin(&self, name: &str) -> Result<Box<dyn ArchiveFile>, WitnessError> {
        if !self.0.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(failed(&self.0))?;
        }
        let path = self.0.join(name);
        // Two replicas that write into one folder don't meet before the database lets one of them drop the month.
        let fresh = self.0.join(format!("{name}.{}.new", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).await;
        let file = file.map_err(failed(&fresh))?;
        Ok(Box::new(Writing { file, hash: digest::Context::new(&digest::SHA256), fresh, path }))
    }
}

#[async_trait]
impl ArchiveFile for Writing {
    async fn write(&mut self, text: &str) -> Result<(), WitnessError> {
        self.hash.update(text.as_bytes());
        self.file.write_all(text.as_bytes()).await.map_err(failed(&self.fresh))
    }

    async fn finish(mut self: Box<Self>) -> Result<(String, String), WitnessError> {
        self.file.flush().await.map_err(failed(&self.fresh))?;
        self.file.sync_all().await.map_err(failed(&self.fresh))?;
        tokio::fs::rename(&self.fresh, &self.path).await.map_err(failed(&self.path))?;
        if let Some(folder) = self.path.parent() {
            File::open(folder).await.map_err(failed(folder))?.sync_all().await.map_err(failed(folder))?;
        }
        let name = self.path.display().to_string();
        Ok((name, HEXLOWER.encode(self.hash.finish().as_ref())))
    }
}
