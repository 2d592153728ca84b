//! Starting, watching and stopping the server process.

use crate::{Cluster, PrivatePostgresError};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A running private PostgreSQL. When the process dies by itself it is started again.
pub struct PrivatePostgres {
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl PrivatePostgres {
    /// Starts the cluster and returns when it takes connections, crash recovery included. A process that an earlier,
    /// killed server left behind is stopped first.
    pub async fn start(cluster: Cluster) -> Result<Self, PrivatePostgresError> {
        stop_orphan(&cluster).await?;
        let child = spawn(&cluster).await?;
        let (stop, stopping) = watch::channel(false);
        let supervisor = tokio::spawn(supervise(cluster, child, stopping));
        Ok(Self { stop, supervisor })
    }

    /// Stops the process: open transactions are rolled back, everything committed is on disk.
    pub async fn stop(self) {
        if self.stop.send(true).is_err() {
            tracing::warn!("the supervisor of PostgreSQL ended before it was told to");
        }
        if let Err(error) = self.supervisor.await {
            tracing::warn!(%error, "the supervisor of PostgreSQL failed");
        }
    }
}

async fn supervise(cluster: Cluster, mut child: Child, mut stopping: watch::Receiver<bool>) {
    let mut pause = Duration::from_millis(100);
    loop {
        tokio::select! {
            status = child.wait() => {
                tracing::error!(?status, "the private PostgreSQL ended by itself; starting it again");
            }
            _ = stopping.changed() => {
                shut_down(&mut child).await;
                return;
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopping.changed() => return,
            }
            match spawn(&cluster).await {
                Ok(again) => {
                    child = again;
                    pause = Duration::from_millis(100);
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "the private PostgreSQL does not start");
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }
}

async fn shut_down(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // Fast shutdown: sessions end, a checkpoint is written.
        if let Err(error) = kill_process(pid, Signal::INT) {
            tracing::warn!(%error, "PostgreSQL could not be told to stop");
        }
    }
    match tokio::time::timeout(STOP_LIMIT, child.wait()).await {
        Ok(_) => tracing::info!("the private PostgreSQL stopped"),
        Err(_) => tracing::error!("the private PostgreSQL did not stop in time; it recovers at the next start"),
    }
}

async fn spawn(cluster: &Cluster) -> Result<Child, PrivatePostgresError> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&cluster.log)
        .map_err(PrivatePostgresError::io(format!("opening {}", cluster.log.display())))?;
    let errors = log.try_clone().map_err(PrivatePostgresError::io("opening the log twice"))?;
    let mut command = Command::new(cluster.binaries.program("postgres"));
    cluster.user.apply(&mut command);
    command
        .arg("-D")
        .arg(&cluster.data)
        .arg("-k")
        .arg(&cluster.sockets)
        .args(["-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", "-c", "max_connections=100"])
        .args(["-c", "shared_buffers=128MB", "-c", "wal_compression=on", "-c", "log_min_messages=warning"])
        .current_dir("/")
        .env_remove("PGDATA")
        // Its own group: a Ctrl-C meant for us must not stop the database before we have drained.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    let mut child = command.spawn().map_err(PrivatePostgresError::io("starting postgres"))?;
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(PrivatePostgresError::NotReady(format!(
                "it ended with {status}; see {}",
                cluster.log.display()
            )));
        }
        if is_ready(&cluster.data, child.id()) {
            return Ok(child);
        }
        if Instant::now() > deadline {
            return Err(PrivatePostgresError::NotReady(format!(
                "no answer in {START_LIMIT:?}; see {}",
                cluster.log.display()
            )));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// PostgreSQL writes its state into the eighth line of `postmaster.pid`.
fn is_ready(data: &Path, pid: Option<u32>) -> bool {
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else { return false };
    let mut lines = text.lines();
    lines.next().and_then(|line| line.trim().parse().ok()) == pid
        && lines.nth(6).is_some_and(|state| state.trim() == "ready")
}

async fn stop_orphan(cluster: &Cluster) -> Result<(), PrivatePostgresError> {
    let Ok(text) = std::fs::read_to_string(cluster.data.join("postmaster.pid")) else { return Ok(()) };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw) else {
        return Ok(());
    };
    if !runs_on(pid, &cluster.data) {
        return Ok(());
    }
    tracing::warn!(pid = pid.as_raw_nonzero().get(), "stopping a PostgreSQL that an earlier server left behind");
    kill_process(pid, Signal::INT)
        .map_err(|error| PrivatePostgresError::Io { step: "stopping the orphan".to_owned(), source: error.into() })?;
    let deadline = Instant::now() + STOP_LIMIT;
    while test_kill_process(pid).is_ok() && runs_on(pid, &cluster.data) {
        if Instant::now() > deadline {
            return Err(PrivatePostgresError::NotReady("the PostgreSQL left behind does not stop".to_owned()));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Whether the process is a postgres on this very folder: process numbers are reused.
fn runs_on(pid: Pid, data: &Path) -> bool {
    let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
    match std::fs::read(path) {
        Ok(octets) => {
            let text = String::from_utf8_lossy(&octets);
            let mut words = text.split('\0');
            words.next().is_some_and(|program| program.ends_with("postgres"))
                && words.any(|word| Path::new(word) == data)
        }
        Err(_) => false,
    }
}
