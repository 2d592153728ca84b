//! The single acts on the disk, each made durable before the next.

use super::Plan;
use super::access::Access;
use crate::host::Host;
use certctl_kernel::Secret;
use certctl_x509::sha256_hex;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Files above this are not certificates.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// A file system must have this many times the payload free.
const ROOM: u64 = 10;

/// A file as it was.
pub struct Before {
    pub bytes: Secret<Vec<u8>>,
    pub access: Access,
}

/// Options that open a file of the agent's own.
pub fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// A folder below the state directory, made on first use.
pub fn state_folder(host: &Host, name: &str) -> Result<PathBuf, String> {
    let folder = host.state_dir.join(name);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("{} can't be made: {error}", folder.display()))?;
    Ok(folder)
}

/// Refuses a destination below a directory that anyone may write: they could put a link in its place.
pub fn check_directories(path: &Path) -> Result<(), String> {
    for directory in path.ancestors().skip(1) {
        let facts = directory.metadata().map_err(|error| format!("{} can't be read: {error}", directory.display()))?;
        let mode = facts.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(format!("{} may be written by everyone", directory.display()));
        }
    }
    Ok(())
}

/// Refuses to start on a file system that is nearly full.
pub fn check_room(path: &Path, payload: usize) -> Result<(), String> {
    let directory = path.parent().unwrap_or(path);
    let facts = rustix::fs::statvfs(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    let wanted = (payload as u64).saturating_mul(ROOM);
    if free < wanted {
        return Err(format!("{} has {free} octets free; {wanted} are wanted", directory.display()));
    }
    Ok(())
}

/// Refuses a directory that this process may not write.
pub fn check_writable(path: &Path) -> Result<(), String> {
    use rustix::fs::Access as Want;
    let directory = path.parent().unwrap_or(path);
    rustix::fs::access(directory, Want::WRITE_OK | Want::EXEC_OK)
        .map_err(|error| format!("{} can't be written: {error}", directory.display()))
}

/// Reads a file; `None` when there is none.
pub fn read(path: &Path) -> Result<Option<Before>, String> {
    let failed = |error: std::io::Error| format!("{} can't be read: {error}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    if facts.len() > MAX_FILE {
        return Err(format!("{} is larger than any certificate file", path.display()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    let access = Access { mode: facts.mode() & 0o7777, uid: Some(facts.uid()), gid: Some(facts.gid()) };
    Ok(Some(Before { bytes: Secret::new(bytes), access }))
}

/// Makes a directory's entries durable.
pub fn sync_directory(path: &Path) -> Result<(), String> {
    let directory = path.parent().unwrap_or(path);
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| format!("{} can't be made durable: {error}", directory.display()))
}

/// Writes a file that must not exist yet, readable by nobody else until its access is set. Returns a note when the
/// owner could not be set by an ordinary user, which the service may not even need.
pub fn write_new(path: &Path, bytes: &[u8], access: &Access) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("{} can't be written: {error}", path.display());
    let mut file = private_options().create_new(true).open(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    let mut note = None;
    let facts = file.metadata().map_err(failed)?;
    let uid = access.uid.filter(|uid| *uid != facts.uid());
    let gid = access.gid.filter(|gid| *gid != facts.gid());
    if (uid.is_some() || gid.is_some())
        && let Err(error) = fchown(&file, uid, gid)
    {
        let message = format!("the owner of {} can't be set: {error}", path.display());
        if rustix::process::geteuid().is_root() {
            return Err(message);
        }
        note = Some(message);
    }
    file.set_permissions(Permissions::from_mode(access.mode)).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    sync_directory(path)?;
    Ok(note)
}

/// Puts a file in another's place.
pub fn rename(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::rename(from, to).map_err(|error| format!("{} can't be put in place: {error}", to.display()))?;
    sync_directory(to)
}

/// Removes a file, durably; that it is gone already is fine.
pub fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_directory(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{} can't be removed: {error}", path.display())),
    }
}

/// Where the backups of a destination lie, and how their names begin.
fn backup_place(host: &Host, target_id: &str, path: &Path) -> Result<(PathBuf, String), String> {
    let folder = state_folder(host, "backups")?;
    let folder = folder.join(target_id);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("{} can't be made: {error}", folder.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hash = sha256_hex(path.as_os_str().as_bytes());
    Ok((folder, format!("{name}.{}.certctl-bak.", &hash[..16])))
}

/// A free name for a backup.
pub fn backup_path(host: &Host, target_id: &str, path: &Path, mut nanos: i128) -> Result<PathBuf, String> {
    let (folder, prefix) = backup_place(host, target_id, path)?;
    loop {
        let candidate = folder.join(format!("{prefix}{nanos:019}"));
        if candidate.symlink_metadata().is_err() {
            return Ok(candidate);
        }
        nanos += 1;
    }
}

/// A free name beside a destination for its new content.
pub fn temp_path(path: &Path, mut nanos: i128) -> PathBuf {
    loop {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".certctl-tmp.{nanos:019}"));
        let candidate = path.with_file_name(name);
        if candidate.symlink_metadata().is_err() {
            return candidate;
        }
        nanos += 1;
    }
}

/// Removes all but the newest backups of a destination.
pub fn prune(host: &Host, plan: &Plan, path: &Path) -> Result<(), String> {
    let (folder, prefix) = backup_place(host, &plan.target_id, path)?;
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{} can't be read: {error}", folder.display()))?;
    let mut backups: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    backups.sort_unstable();
    let surplus = backups.len().saturating_sub(plan.backups_kept);
    backups.iter().take(surplus).try_for_each(|backup| remove(backup))
}
