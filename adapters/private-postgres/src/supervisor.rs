//! Starting, watching and stopping the server process.

use crate::process::{Process, send};
use crate::{Cluster, PrivatePostgresError, orphan};
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A process that lived this long did not die of its start.
const HEALTHY: Duration = Duration::from_mins(1);
/// How long the leftovers of a killed postgres may need to notice and end.
const LEFTOVERS: Duration = Duration::from_secs(30);

/// A running private PostgreSQL. When the process dies by itself it is started again. Dropped without `stop`, as on an
/// error at boot, it is told to stop and not waited for.
#[derive(Debug)]
pub struct PrivatePostgres {
    stop: watch::Sender<bool>,
    supervisor: Option<JoinHandle<()>>,
    pid: Arc<AtomicU32>,
}

impl PrivatePostgres {
    /// Starts the cluster and returns when it takes connections, crash recovery included. A process that an earlier,
    /// killed server left behind is stopped first.
    pub async fn start(cluster: Cluster) -> Result<Self, PrivatePostgresError> {
        orphan::stop(&cluster).await?;
        let pid = Arc::new(AtomicU32::new(0));
        // From here on a dropped future stops what it started.
        let (stop, stopping) = watch::channel(false);
        let mut running = Self { stop, supervisor: None, pid: Arc::clone(&pid) };
        let process = first(&cluster, &pid).await?;
        running.supervisor = Some(tokio::spawn(supervise(cluster, process, pid, stopping)));
        Ok(running)
    }

    /// Stops the process: open transactions are rolled back, everything committed is on disk.
    pub async fn stop(mut self) {
        if self.stop.send(true).is_err() {
            tracing::warn!("the supervisor of PostgreSQL ended before it was told to");
        }
        if let Some(supervisor) = self.supervisor.take()
            && let Err(error) = supervisor.await
        {
            tracing::warn!(%error, "the supervisor of PostgreSQL failed");
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // The supervisor may be gone with its runtime, so the process is told here; it hears of `stop` by the drop.
        match self.pid.load(Ordering::SeqCst) {
            0 => {}
            pid => send(Some(pid), Signal::INT),
        }
    }
}

async fn first(cluster: &Cluster, pid: &AtomicU32) -> Result<Process, PrivatePostgresError> {
    let deadline = Instant::now() + LEFTOVERS;
    loop {
        let mut process = Process::launch(cluster)?;
        pid.store(process.child.id().unwrap_or(0), Ordering::SeqCst);
        let outcome = process.until_ready(cluster).await;
        let Err(error) = outcome else { return Ok(process) };
        if process.child.id().is_some() {
            process.end().await;
        }
        pid.store(0, Ordering::SeqCst);
        if !process.met_leftovers(cluster) || Instant::now() > deadline {
            return Err(error);
        }
        tokio::time::sleep(SHORTEST_PAUSE).await;
    }
}

async fn supervise(cluster: Cluster, mut process: Process, pid: Arc<AtomicU32>, mut stopping: watch::Receiver<bool>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let since = Instant::now();
        tokio::select! {
            status = process.child.wait() => {
                pid.store(0, Ordering::SeqCst);
                tracing::error!(?status, log = %cluster.log.display(), "the private PostgreSQL ended by itself; starting it again");
            }
            _ = stopping.changed() => {
                process.end().await;
                pid.store(0, Ordering::SeqCst);
                return;
            }
        }
        if since.elapsed() > HEALTHY {
            pause = SHORTEST_PAUSE;
        }
        match again(&cluster, &pid, &mut pause, &mut stopping).await {
            Some(next) => process = next,
            None => return,
        }
        tracing::info!("the private PostgreSQL takes connections again");
    }
}

/// Starts it again, with growing pauses, until it takes connections; `None` when told to stop meanwhile.
async fn again(
    cluster: &Cluster,
    pid: &AtomicU32,
    pause: &mut Duration,
    stopping: &mut watch::Receiver<bool>,
) -> Option<Process> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            _ = stopping.changed() => return None,
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        let mut process = match Process::launch(cluster) {
            Ok(process) => process,
            Err(error) => {
                tracing::error!(%error, "the private PostgreSQL does not start");
                continue;
            }
        };
        pid.store(process.child.id().unwrap_or(0), Ordering::SeqCst);
        let outcome = tokio::select! {
            outcome = process.until_ready(cluster) => Some(outcome),
            _ = stopping.changed() => None,
        };
        let stopped = outcome.is_none();
        match outcome {
            Some(Ok(())) => return Some(process),
            Some(Err(error)) => tracing::error!(%error, "the private PostgreSQL does not start"),
            None => {}
        }
        if process.child.id().is_some() {
            process.end().await;
        }
        pid.store(0, Ordering::SeqCst);
        if stopped {
            return None;
        }
    }
}
