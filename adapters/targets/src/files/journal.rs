//! What a transaction is about to do, on disk before it does it. A journal that is still there when the agent starts
//! belongs to a deployment that a crash cut short: its files go back to the old bytes and the service reloads.

use super::access::Access;
use super::disk;
use super::{Item, Plan};
use crate::command;
use crate::host::Host;
use certctl_x509::sha256_hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// One file of a transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub path: PathBuf,
    pub temp: PathBuf,
    /// Where the old bytes lie; `None` when there was no file.
    pub backup: Option<PathBuf>,
    pub old: Option<Access>,
    pub old_sha256: Option<String>,
    pub new_sha256: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    job_id: String,
    target_id: String,
    /// The service accepted the new files: nothing is left to undo.
    committed: bool,
    reload: Vec<String>,
    entries: Vec<Entry>,
}

/// An open journal.
pub struct Journal<'a> {
    host: &'a Host,
    path: PathBuf,
    record: Record,
}

/// A deployment that a crash had cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The job.
    pub job_id: String,
    /// The target.
    pub target_id: String,
    /// True when the crash came after the service had accepted the new files.
    pub was_committed: bool,
    /// What went wrong on the way back, if anything did.
    pub failure: Option<String>,
}

fn folder(host: &Host) -> Result<PathBuf, String> {
    disk::state_folder(host, "deploy")
}

/// Writes the journal of a plan.
pub fn open<'a>(host: &'a Host, plan: &Plan, items: &[Item<'_>]) -> Result<Journal<'a>, String> {
    let nanos = host.clock.now().unix_timestamp_nanos();
    let mut entries = Vec::new();
    for item in items {
        let before = item.before.as_ref();
        entries.push(Entry {
            temp: disk::temp_path(&item.path, nanos),
            backup: before.map(|_| disk::backup_path(host, &plan.target_id, &item.path, nanos)).transpose()?,
            old: before.map(|before| before.access.clone()),
            old_sha256: before.map(|before| sha256_hex(before.bytes.expose())),
            new_sha256: sha256_hex(item.spec.bytes.expose()),
            path: item.path.clone(),
        });
    }
    let record = Record {
        job_id: plan.job_id.clone(),
        target_id: plan.target_id.clone(),
        committed: false,
        reload: plan.reload.clone(),
        entries,
    };
    let path = folder(host)?.join(format!("{}.json", plan.job_id));
    let journal = Journal { host, path, record };
    journal.write()?;
    Ok(journal)
}

impl Journal<'_> {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn entries(&self) -> &[Entry] {
        &self.record.entries
    }

    /// Destination → staged copy.
    pub fn staged(&self) -> BTreeMap<PathBuf, PathBuf> {
        self.record.entries.iter().map(|entry| (entry.path.clone(), entry.temp.clone())).collect()
    }

    fn write(&self) -> Result<(), String> {
        let text =
            serde_json::to_vec(&self.record).map_err(|error| format!("the journal can't be written: {error}"))?;
        let temp = disk::temp_path(&self.path, self.host.clock.now().unix_timestamp_nanos());
        disk::write_new(&temp, &text, &Access::private())?;
        disk::rename(&temp, &self.path)
    }

    /// Brings every file back to what it was. Files that hold neither the old nor the new bytes were changed by
    /// someone else since and are left alone, with a note.
    pub fn undo(&self, notes: &mut Vec<String>) -> Result<(), String> {
        let mut failures = Vec::new();
        // Backwards: the key, renamed first, is restored last, and a crash in here leaves a state that replays.
        for entry in self.record.entries.iter().rev() {
            if let Err(failure) = self.undo_one(entry, notes) {
                failures.push(failure);
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
    }

    fn undo_one(&self, entry: &Entry, notes: &mut Vec<String>) -> Result<(), String> {
        disk::remove(&entry.temp)?;
        let now = disk::read(&entry.path)?.map(|file| sha256_hex(file.bytes.expose()));
        if now == entry.old_sha256 && entry.old_sha256.as_ref() != Some(&entry.new_sha256) {
            return Ok(());
        }
        if now.as_ref() != Some(&entry.new_sha256) {
            notes.push(format!("{} was changed by someone else and is left alone", entry.path.display()));
            return Ok(());
        }
        let (Some(backup), Some(access)) = (&entry.backup, &entry.old) else {
            return disk::remove(&entry.path);
        };
        let old = disk::read(backup)?.ok_or_else(|| format!("the backup {} is gone", backup.display()))?;
        let temp = disk::temp_path(&entry.path, self.host.clock.now().unix_timestamp_nanos());
        notes.extend(disk::write_new(&temp, old.bytes.expose(), access)?);
        disk::rename(&temp, &entry.path)
    }

    /// Notes that the service accepted the files. A crash before this line is undone at the next start; one after it
    /// is not.
    pub fn commit(&mut self) {
        self.record.committed = true;
        if let Err(reason) = self.write() {
            tracing::warn!(reason, "the journal could not be marked as committed");
        }
    }

    /// Removes staged copies, this transaction's backups and the journal: nothing of it remains.
    pub fn discard(self) {
        for entry in &self.record.entries {
            for path in [Some(&entry.temp), entry.backup.as_ref()].into_iter().flatten() {
                if let Err(reason) = disk::remove(path) {
                    tracing::warn!(reason, "a leftover of a deployment stays");
                }
            }
        }
        self.close();
    }

    /// Removes the journal.
    pub fn close(self) {
        if let Err(reason) = disk::remove(&self.path) {
            tracing::warn!(reason, "the journal of a finished deployment stays");
        }
    }
}

fn load(host: &Host) -> Result<Vec<Journal<'_>>, String> {
    let folder = folder(host)?;
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{} can't be read: {error}", folder.display()))?;
    let mut journals = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        // Anything else is a journal in its own writing: by a deployment at work, or by one that a crash cut short.
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            // Its deployment has ended since the folder was read.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{} can't be read: {error}", path.display())),
        };
        let record =
            serde_json::from_slice(&text).map_err(|error| format!("{} is damaged: {error}", path.display()))?;
        journals.push(Journal { host, path, record });
    }
    journals.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(journals)
}

/// Removes journals that a crash cut short in their own writing: their transactions had not begun.
fn remove_unfinished(host: &Host) -> Result<(), String> {
    let folder = folder(host)?;
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{} can't be read: {error}", folder.display()))?;
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "json"))
        .try_for_each(|path| disk::remove(&path))
}

/// Drops older journals of the same files: what they would undo is no longer there.
pub fn forget(host: &Host, paths: &[PathBuf], except: Option<&Path>) {
    match load(host) {
        Ok(journals) => {
            for journal in journals {
                let overlaps = journal.entries().iter().any(|entry| paths.contains(&entry.path));
                if overlaps && Some(journal.path()) != except {
                    journal.close();
                }
            }
        }
        Err(reason) => tracing::warn!(reason, "older journals could not be looked through"),
    }
}

/// Undoes what a crash cut short. Call it once, before the first deployment.
pub fn replay(host: &Host) -> Result<Vec<Replayed>, String> {
    remove_unfinished(host)?;
    let mut replayed = Vec::new();
    for journal in load(host)? {
        let mut told = Replayed {
            job_id: journal.record.job_id.clone(),
            target_id: journal.record.target_id.clone(),
            was_committed: journal.record.committed,
            failure: None,
        };
        if journal.record.committed {
            journal.close();
        } else {
            let _locks = super::locks::take(host, journal.entries().iter().map(|entry| entry.path.as_path()))?;
            let mut notes = Vec::new();
            let undone = journal.undo(&mut notes).and_then(|()| {
                if journal.record.reload.is_empty() {
                    return Ok(());
                }
                command::run(host, &journal.record.reload, command::DEFAULT_TIMEOUT)
                    .map(drop)
                    .map_err(|error| format!("the old files are back, but the service did not reload: {error}"))
            });
            for note in notes {
                tracing::warn!(note, job_id = told.job_id, "while undoing a deployment that a crash cut short");
            }
            match undone {
                Ok(()) => journal.discard(),
                Err(failure) => told.failure = Some(failure),
            }
        }
        replayed.push(told);
    }
    Ok(replayed)
}
