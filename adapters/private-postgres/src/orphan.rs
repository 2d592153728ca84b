//! What an earlier server that was killed left behind.

use crate::{Cluster, PrivatePostgresError};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const STOP_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(10);

/// The file in which a running postgres keeps its process number and state.
pub(crate) fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

/// Stops a postgres that still runs on the cluster, and clears away the files of one that does not. The caller holds
/// the lock of the data directory, so no other certctl starts one meanwhile.
pub(crate) async fn stop(cluster: &Cluster) -> Result<(), PrivatePostgresError> {
    for file in [pid_file(&cluster.data), cluster.sockets.join(".s.PGSQL.5432.lock")] {
        let pid = process_in(&file)?;
        if let Some(pid) = pid.filter(|pid| runs_on(*pid, &cluster.data)) {
            end(pid, &cluster.data).await?;
        }
        // A number that no process has is left to postgres, which then looks for sessions of its dead predecessor. With
        // a live number, or none, it would refuse to start: after a reboot the number may be any process', in a
        // container it stays the dead postgres' own for as long as nobody waits for it.
        if pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            continue;
        }
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(PrivatePostgresError::io(format!("removing {}", file.display()))(error)),
        }
    }
    Ok(())
}

/// The process number in the first line.
fn process_in(file: &Path) -> Result<Option<Pid>, PrivatePostgresError> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PrivatePostgresError::io(format!("reading {}", file.display()))(error)),
    }
}

async fn end(pid: Pid, data: &Path) -> Result<(), PrivatePostgresError> {
    tracing::warn!(pid = pid.as_raw_nonzero().get(), "stopping a PostgreSQL that an earlier server left behind");
    match kill_process(pid, Signal::INT) {
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => return Err(PrivatePostgresError::io("stopping the PostgreSQL left behind")(error.into())),
    }
    let deadline = Instant::now() + STOP_LIMIT;
    while runs_on(pid, data) {
        if Instant::now() > deadline {
            let reason = format!("process {} of an earlier server does not stop", pid.as_raw_nonzero());
            return Err(PrivatePostgresError::NotReady(reason));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Whether the process is a live postgres on this very folder: process numbers are reused.
fn runs_on(pid: Pid, data: &Path) -> bool {
    if !Path::new("/proc/self/cmdline").exists() {
        // Without /proc the number is all there is, as for pg_ctl.
        return test_kill_process(pid).is_ok();
    }
    let Ok(octets) = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())) else { return false };
    let text = String::from_utf8_lossy(&octets);
    let mut words = text.split('\0');
    words.next().is_some_and(|program| program.ends_with("postgres")) && words.any(|word| Path::new(word) == data)
}
