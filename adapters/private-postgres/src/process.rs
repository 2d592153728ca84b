//! One postgres process: launched, waited for, ended.

use crate::cluster::explain;
use crate::orphan::pid_file;
use crate::program::{last_lines, program};
use crate::{Cluster, PrivatePostgresError};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// Crash recovery of a large log takes minutes; a postgres that is alive is doing it.
const START_LIMIT: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(10);
/// How long sessions may end by themselves; the server's own pool is closed by now.
const SMART: Duration = Duration::from_millis(500);
/// How long the final checkpoint may take.
const FAST: Duration = Duration::from_mins(1);
const IMMEDIATE: Duration = Duration::from_secs(5);
const LONGEST_LOG: u64 = 10 << 20;

/// A postgres process and where its messages begin in the log.
pub(crate) struct Process {
    pub(crate) child: Child,
    log_start: u64,
}

impl Process {
    /// Starts postgres; it takes connections once `until_ready` has returned.
    pub(crate) fn launch(cluster: &Cluster) -> Result<Self, PrivatePostgresError> {
        let log =
            open_log(&cluster.log).map_err(PrivatePostgresError::io(format!("opening {}", cluster.log.display())))?;
        let log_start = log.metadata().map_or(0, |metadata| metadata.len());
        let errors = log.try_clone().map_err(PrivatePostgresError::io("opening the log twice"))?;
        let mut command = program(cluster, "postgres");
        command
            .arg("-D")
            .arg(&cluster.data)
            .arg("-k")
            .arg(&cluster.sockets)
            .args(["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"])
            .args(["-c", "fsync=on", "-c", "full_page_writes=on", "-c", "synchronous_commit=on"])
            .args(["-c", "shared_buffers=128MB", "-c", "wal_compression=on", "-c", "log_min_messages=warning"])
            .arg("-c")
            .arg(format!("max_connections={}", cluster.connections))
            // Its own group: a Ctrl-C meant for us must not stop the database before we have drained.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let child = command.spawn().map_err(PrivatePostgresError::io("starting postgres"))?;
        Ok(Self { child, log_start })
    }

    /// Returns when postgres takes connections, or with its own words when it ended. Dropping the wait harms nothing.
    pub(crate) async fn until_ready(&mut self, cluster: &Cluster) -> Result<(), PrivatePostgresError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = last_lines(&self.messages(&cluster.log));
                let error = PrivatePostgresError::NotReady(format!(
                    "it ended with {status}: {said} (log: {})",
                    cluster.log.display()
                ));
                return Err(explain(error, cluster, &cluster.data));
            }
            if is_ready(&cluster.data, self.child.id()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(PrivatePostgresError::NotReady(format!(
                    "no answer in {START_LIMIT:?} (log: {})",
                    cluster.log.display()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether it ended because processes of a killed postgres still hold the shared memory; they end by themselves.
    pub(crate) fn met_leftovers(&self, cluster: &Cluster) -> bool {
        let said = self.messages(&cluster.log);
        said.contains("pre-existing shared memory block") || said.contains("is still in use")
    }

    fn messages(&self, log: &Path) -> String {
        let mut octets = Vec::new();
        let read = File::open(log).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.log_start))?;
            file.read_to_end(&mut octets)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&octets).into_owned(),
            Err(error) => format!("the log can't be read: {error}"),
        }
    }

    /// Ends it in order: first as soon as all sessions have ended, then by ending them, at last at once.
    pub(crate) async fn end(&mut self) {
        for (signal, patience) in [(Signal::TERM, SMART), (Signal::INT, FAST), (Signal::QUIT, IMMEDIATE)] {
            send(self.child.id(), signal);
            if tokio::time::timeout(patience, self.child.wait()).await.is_ok() {
                tracing::info!("the private PostgreSQL stopped");
                return;
            }
        }
        tracing::error!("the private PostgreSQL did not stop in time; it recovers at the next start");
    }
}

/// Signals a process that we have not yet waited for, so that the number is still its own.
pub(crate) fn send(pid: Option<u32>, signal: Signal) {
    let Some(pid) = pid.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    if let Err(error) = kill_process(pid, signal) {
        tracing::warn!(%error, "PostgreSQL could not be told to stop");
    }
}

/// Statements and values can stand in the log, so nobody else reads it. One older log is kept.
fn open_log(path: &Path) -> std::io::Result<File> {
    if path.metadata().is_ok_and(|metadata| metadata.len() > LONGEST_LOG) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// PostgreSQL writes its state into the eighth line of `postmaster.pid`.
fn is_ready(data: &Path, pid: Option<u32>) -> bool {
    let Ok(text) = std::fs::read_to_string(pid_file(data)) else { return false };
    let mut lines = text.lines();
    pid.is_some()
        && lines.next().and_then(|line| line.trim().parse().ok()) == pid
        && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}
