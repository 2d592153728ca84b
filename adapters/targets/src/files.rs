//! The file transaction that file-based connectors share: either every file of a deployment holds the new bytes and
//! the service accepted them, or every file holds the old ones. A journal makes that true across a crash as well.

mod access;
mod disk;
mod journal;
mod locks;

pub use journal::{Replayed, replay};

use crate::host::Host;
use access::Access;
use certctl_kernel::{IdKind, Secret};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a destination that is a symbolic link means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymlinkPolicy {
    /// Write the file it points to.
    Follow,
    /// Refuse the deployment.
    Refuse,
    /// Put a file in the link's place.
    Replace,
}

/// A file as it is to be.
pub struct FileSpec {
    /// Absolute path.
    pub path: PathBuf,
    /// Its content, which may be a private key.
    pub bytes: Secret<Vec<u8>>,
    /// Mode that the target asks for.
    pub mode: Option<u32>,
    /// Mode of a file that is not there yet.
    pub default_mode: u32,
    /// Owner that the target asks for.
    pub owner: Option<String>,
    /// Group that the target asks for.
    pub group: Option<String>,
    /// Accounts of which the first that exists owns a file that is not there yet.
    pub default_owners: &'static [&'static str],
}

/// A deployment's files.
pub struct Plan {
    /// Names the journal.
    pub job_id: String,
    /// Names the folder of backups.
    pub target_id: String,
    /// In the order of their renames.
    pub files: Vec<FileSpec>,
    /// What links mean.
    pub symlink: SymlinkPolicy,
    /// Backups kept a file once the deployment is good.
    pub backups_kept: usize,
    /// Command that makes the service read its files, for the way back after a crash.
    pub reload: Vec<String>,
}

/// What the service has to say on the way. Errors are texts for the operator.
pub trait Hooks {
    /// Looks at the staged files (destination → staged copy) before anything changes.
    fn pre_commit(&mut self, staged: &BTreeMap<PathBuf, PathBuf>) -> Result<(), String>;
    /// Makes the service use the new files and checks that it does.
    fn post_commit(&mut self) -> Result<(), String>;
    /// Makes the service use the old files again, after they were restored, and checks that it does.
    fn after_restore(&mut self) -> Result<(), String>;
}

/// Where a transaction stands; a crash right after each is what the tests try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The journal is on disk.
    Journalled,
    /// The old file has a backup.
    BackedUp,
    /// The new file lies beside its destination.
    Staged,
    /// The new file took its place.
    Renamed,
    /// The service accepted the files.
    Committed,
}

/// What a transaction did.
#[derive(Debug, PartialEq, Eq)]
pub struct Applied {
    /// False when every file was as it should be.
    pub changed: bool,
    /// Things that did not work and do not matter to the service.
    pub notes: Vec<String>,
}

/// Why a transaction did not happen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Nothing changed: the plan is invalid, or a file can't be read, backed up or staged.
    #[error("{0}")]
    NotStarted(String),
    /// Nothing changed: the service refuses the staged files.
    #[error("validate failed: {0}")]
    Refused(String),
    /// The old files are back and the service uses them.
    #[error("rolled back: {0}")]
    RolledBack(String),
    /// The way back failed too.
    #[error("rollback failed: {cause}; {rollback_cause}")]
    RollbackFailed {
        /// What failed first.
        cause: String,
        /// What failed on the way back.
        rollback_cause: String,
    },
}

/// One file on its way: where it really lies, what was there, and what will be.
struct Item<'a> {
    spec: &'a FileSpec,
    path: PathBuf,
    access: Access,
    before: Option<disk::Before>,
}

impl Item<'_> {
    fn is_current(&self) -> bool {
        self.before.as_ref().is_some_and(|before| {
            before.bytes.matches(self.spec.bytes.expose()) && self.access.is_met_by(&before.access, self.spec)
        })
    }
}

/// The destination with its links resolved, after the checks that it may be written.
fn destination(host: &Host, spec: &FileSpec, policy: SymlinkPolicy) -> Result<PathBuf, String> {
    let shown = spec.path.display();
    let parent = spec.path.parent().ok_or_else(|| format!("{shown} has no directory"))?;
    let name = spec.path.file_name().ok_or_else(|| format!("{shown} names no file"))?;
    let parent = parent.canonicalize().map_err(|error| format!("the directory of {shown} can't be used: {error}"))?;
    let mut path = parent.join(name);
    if path.symlink_metadata().is_ok_and(|facts| facts.is_symlink()) {
        path = match policy {
            SymlinkPolicy::Replace => path,
            SymlinkPolicy::Refuse => return Err(format!("{shown} is a symbolic link, which this target refuses")),
            SymlinkPolicy::Follow => {
                path.canonicalize().map_err(|error| format!("the symbolic link {shown} can't be followed: {error}"))?
            }
        };
    }
    host.check_path(&path)?;
    disk::check_directories(&path)?;
    Ok(path)
}

fn items<'a>(host: &Host, plan: &'a Plan) -> Result<Vec<Item<'a>>, String> {
    let mut items: Vec<Item<'a>> = Vec::new();
    for spec in &plan.files {
        if !spec.path.is_absolute() {
            return Err(format!("{} is not an absolute path", spec.path.display()));
        }
        let path = destination(host, spec, plan.symlink)?;
        if items.iter().any(|item| item.path == path) {
            return Err(format!("{} is written twice", path.display()));
        }
        items.push(Item { spec, path, access: Access::default(), before: None });
    }
    if items.is_empty() {
        return Err("there is no file to write".to_owned());
    }
    Ok(items)
}

/// Brings the files of `plan` into place.
pub fn apply(host: &Host, plan: &Plan, hooks: &mut dyn Hooks) -> Result<Applied, TransactionError> {
    let not_started = TransactionError::NotStarted;
    for (id, name) in [(&plan.job_id, "job"), (&plan.target_id, "target")] {
        IdKind::check_supplied(id).map_err(|error| not_started(format!("the {name} id {error}")))?;
    }
    let mut items = items(host, plan).map_err(not_started)?;
    let _locks = locks::take(host, items.iter().map(|item| item.path.as_path())).map_err(not_started)?;
    for item in &mut items {
        item.before = disk::read(&item.path).map_err(not_started)?;
        item.access =
            access::decide(item.spec, item.before.as_ref().map(|before| &before.access)).map_err(not_started)?;
    }
    if items.iter().all(Item::is_current) {
        journal::forget(host, &items.iter().map(|item| item.path.clone()).collect::<Vec<_>>(), None);
        return Ok(Applied { changed: false, notes: Vec::new() });
    }
    Transaction { host, plan, items, notes: Vec::new() }.run(hooks)
}

/// Tells where a plan would write, or why it could not; changes nothing.
pub fn check(host: &Host, plan: &Plan) -> Result<Vec<String>, String> {
    let mut told = Vec::new();
    for mut item in items(host, plan)? {
        item.before = disk::read(&item.path)?;
        let access = access::decide(item.spec, item.before.as_ref().map(|before| &before.access))?;
        disk::check_room(&item.path, item.spec.bytes.expose().len())?;
        disk::check_writable(&item.path)?;
        let state = if item.before.is_some() { "replaced" } else { "new" };
        told.push(format!("{} ({state}, mode {:04o})", item.path.display(), access.mode));
    }
    Ok(told)
}

/// Writes a file that nobody else may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), String> {
    disk::write_new(path, bytes, &Access::private()).map(drop)
}

struct Transaction<'a> {
    host: &'a Host,
    plan: &'a Plan,
    items: Vec<Item<'a>>,
    notes: Vec<String>,
}

impl Transaction<'_> {
    fn at(&self, stage: Stage, path: &Path) {
        (self.host.observer)(stage, path);
    }

    fn run(mut self, hooks: &mut dyn Hooks) -> Result<Applied, TransactionError> {
        let mut journal = journal::open(self.host, self.plan, &self.items).map_err(TransactionError::NotStarted)?;
        self.at(Stage::Journalled, journal.path());
        if let Err(cause) = self.prepare(&journal) {
            journal.discard();
            return Err(TransactionError::NotStarted(cause));
        }
        if let Err(cause) = hooks.pre_commit(&journal.staged()) {
            journal.discard();
            return Err(TransactionError::Refused(cause));
        }
        if let Err(cause) = self.rename_all(&journal) {
            return Err(match journal.undo(&mut self.notes) {
                Ok(()) => {
                    journal.discard();
                    TransactionError::RolledBack(cause)
                }
                Err(rollback_cause) => TransactionError::RollbackFailed { cause, rollback_cause },
            });
        }
        if let Err(cause) = hooks.post_commit() {
            let restored = journal.undo(&mut self.notes).and_then(|()| hooks.after_restore());
            return Err(match restored {
                Ok(()) => {
                    journal.discard();
                    TransactionError::RolledBack(cause)
                }
                Err(rollback_cause) => TransactionError::RollbackFailed { cause, rollback_cause },
            });
        }
        journal.commit();
        self.at(Stage::Committed, journal.path());
        let paths: Vec<PathBuf> = self.items.iter().map(|item| item.path.clone()).collect();
        journal::forget(self.host, &paths, Some(journal.path()));
        for path in &paths {
            if let Err(note) = disk::prune(self.host, self.plan, path) {
                self.notes.push(note);
            }
        }
        journal.close();
        Ok(Applied { changed: true, notes: self.notes })
    }

    /// Backups and staged copies; nothing that the service could see.
    fn prepare(&mut self, journal: &journal::Journal<'_>) -> Result<(), String> {
        for (item, entry) in self.items.iter().zip(journal.entries()) {
            if let (Some(before), Some(backup)) = (&item.before, &entry.backup) {
                disk::write_new(backup, before.bytes.expose(), &Access::private())?;
                (self.host.observer)(Stage::BackedUp, &item.path);
            }
        }
        for (item, entry) in self.items.iter().zip(journal.entries()) {
            disk::check_room(&item.path, item.spec.bytes.expose().len())?;
            if let Some(note) = disk::write_new(&entry.temp, item.spec.bytes.expose(), &item.access)? {
                self.notes.push(note);
            }
            (self.host.observer)(Stage::Staged, &item.path);
        }
        Ok(())
    }

    fn rename_all(&self, journal: &journal::Journal<'_>) -> Result<(), String> {
        for entry in journal.entries() {
            disk::rename(&entry.temp, &entry.path)?;
            self.at(Stage::Renamed, &entry.path);
        }
        Ok(())
    }
}
