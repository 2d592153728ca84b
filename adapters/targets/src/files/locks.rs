//! Advisory locks, one a path, held by one deployment of one process at a time.

use crate::host::Host;
use certctl_x509::sha256_hex;
use std::fs::{File, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a deployment waits for another one.
const PATIENCE: Duration = Duration::from_mins(2);

/// Held until dropped, or until the process ends.
pub struct Locks(#[expect(dead_code, reason = "an open file is the lock")] Vec<File>);

/// Takes the locks in sorted order, so that two deployments never wait for each other in a circle.
pub fn take<'a>(host: &Host, paths: impl Iterator<Item = &'a Path>) -> Result<Locks, String> {
    let folder = super::disk::state_folder(host, "locks")?;
    let mut sorted: Vec<&Path> = paths.collect();
    sorted.sort_unstable();
    let deadline = Instant::now() + PATIENCE;
    let mut held = Vec::new();
    for path in sorted {
        let name = folder.join(sha256_hex(path.as_os_str().as_bytes()));
        let file = super::disk::private_options()
            .create(true)
            .truncate(false)
            .open(&name)
            .map_err(|error| format!("the lock of {} can't be opened: {error}", path.display()))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(format!("another deployment has been writing {} for too long", path.display()));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(format!("the lock of {} can't be taken: {error}", path.display()));
                }
            }
        }
        held.push(file);
    }
    Ok(Locks(held))
}
