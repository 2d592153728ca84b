//! The agent's life: one thread for heartbeats, one for polls, a few for work.

use crate::client::{CallError, Client};
use crate::keys::KeyStore;
use crate::outbox::Outbox;
use crate::queue::{Piece, Queue};
use crate::settings::Settings;
use crate::stop::Stop;
use crate::work::{Ended, WorkItem, Worker};
use crate::{enrol, private_file};
use certctl_ports::{Clock, Random};
use certctl_system::{SystemClock, SystemRandom};
use certctl_targets::Host;
use serde::Deserialize;
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

/// What each failed poll in a row adds to the wait, and the most it adds.
const SLOWER: Duration = Duration::from_secs(30);
const SLOWEST: Duration = Duration::from_mins(5);

struct Agent {
    worker: Worker,
    facts: Value,
    queue: Queue<WorkItem>,
    stop: Stop,
    random: SystemRandom,
    /// Held while the agent lives: two agents on one state directory would undo each other's deployments.
    _lock: File,
}

#[derive(Deserialize)]
struct Work {
    #[serde(default)]
    jobs: Vec<Value>,
}

impl Agent {
    fn start(settings: &Settings) -> Result<Self, String> {
        private_file::directory(&settings.state_dir)
            .map_err(|error| format!("{}: {error}", settings.state_dir.display()))?;
        let lock = lock(settings)?;
        let keys = KeyStore::open(&settings.key_dir).map_err(|error| error.to_string())?;
        let credential = enrol::credential(settings).map_err(|error| error.to_string())?;
        let client = Client::new(settings)?.with_credential(credential.api_key);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut host = Host::new(&settings.state_dir, clock);
        host.allow_commands.clone_from(&settings.command_allow);
        host.backup_retention = settings.backup_retention;
        host.deny_paths = vec![settings.key_dir.clone()];
        host.observer = Arc::new(|stage, path| tracing::debug!(?stage, path = %path.display(), "deploying"));
        let outbox = Outbox::open(&settings.state_dir)?;
        tracing::info!(agent_id = credential.agent_id, server = settings.server, "the agent starts");
        let worker = Worker {
            agent_id: credential.agent_id,
            client,
            keys,
            outbox,
            host,
            verify_deployment: settings.verify_deployment,
        };
        worker.recover();
        Ok(Self {
            worker,
            facts: enrol::host_facts(settings),
            queue: Queue::default(),
            stop: Stop::default(),
            random: SystemRandom::new(),
            _lock: lock,
        })
    }

    /// A share of `length`, evenly spread over `from..to` hundredths.
    fn share(&self, length: Duration, from: u32, to: u32) -> Duration {
        let mut octets = [0u8; 4];
        self.random.fill(&mut octets);
        let fraction = f64::from(u32::from_be_bytes(octets)) / f64::from(u32::MAX);
        length.mul_f64((f64::from(from) + fraction * f64::from(to - from)) / 100.0)
    }

    fn heartbeat(&self) -> Result<(), CallError> {
        let path = format!("/api/v1/agents/{}/heartbeat", self.worker.agent_id);
        self.worker.client.post(&path, &self.facts).map(drop)
    }

    fn poll(&self) -> Result<Vec<WorkItem>, CallError> {
        // Reports that can't be delivered must not keep new work away.
        if let Err(error) = self.worker.outbox.deliver(&self.worker.client) {
            tracing::warn!(%error, "reports wait for the control plane");
        }
        let answer = self.worker.client.get(&format!("/api/v1/agents/{}/work", self.worker.agent_id))?;
        let work: Work = serde_json::from_value(answer)
            .map_err(|error| CallError::Unreachable(format!("its work list: {error}")))?;
        // One item that this agent does not understand must not hide the others.
        let read = |item: Value| match serde_json::from_value(item) {
            Ok(item) => Some(item),
            Err(error) => {
                tracing::warn!(%error, "a piece of work can't be read");
                None
            }
        };
        Ok(work.jobs.into_iter().filter_map(read).collect())
    }

    /// Ends the agent when the control plane retired it.
    fn check_retired(&self, error: &CallError) {
        if matches!(error, CallError::Retired) {
            tracing::warn!("the control plane retired this agent; it ends and need not be started again");
            self.stop.raise();
        }
    }

    fn heartbeats(&self, interval: Duration) {
        let mut wait = self.share(interval, 0, 100);
        while !self.stop.wait(wait) {
            if let Err(error) = self.heartbeat() {
                tracing::warn!(%error, "heartbeat failed");
                self.check_retired(&error);
            }
            wait = self.share(interval, 90, 110);
        }
    }

    fn polls(&self, interval: Duration) {
        let mut failures = 0;
        let mut wait = self.share(interval, 0, 100);
        while !self.stop.wait(wait) {
            wait = self.share(interval, 90, 110);
            match self.poll() {
                Ok(items) => {
                    failures = 0;
                    for item in items {
                        let piece = Piece { id: item.id.clone(), keys: item.keys(&self.worker.host), work: item };
                        self.queue.put(piece);
                    }
                }
                Err(error) => {
                    failures += 1;
                    wait += SLOWER.saturating_mul(failures).min(SLOWEST);
                    tracing::warn!(%error, failures, next_in_s = wait.as_secs(), "poll failed");
                    self.check_retired(&error);
                }
            }
        }
        self.queue.close();
    }

    fn work(&self) {
        while let Some(piece) = self.queue.take() {
            self.handle(&piece.work);
            self.queue.done(&piece.id, &piece.keys);
        }
    }

    fn handle(&self, item: &WorkItem) -> Ended {
        tracing::info!(job_id = item.id, kind = item.kind, certificate_id = item.certificate_id, "work begins");
        let ended = self.worker.handle(item);
        match &ended {
            Ended::Done => tracing::info!(job_id = item.id, "work is done"),
            Ended::Failed(reason) => tracing::error!(job_id = item.id, reason, "work failed"),
            Ended::Later(reason) => tracing::warn!(job_id = item.id, reason, "work is put off"),
        }
        ended
    }
}

fn lock(settings: &Settings) -> Result<File, String> {
    let path = settings.state_dir.join("agent.lock");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!("another agent is running on {}", settings.state_dir.display())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Runs until a signal, or until the agent is retired.
pub fn forever(settings: &Settings) -> Result<(), String> {
    let agent = Agent::start(settings)?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("signals: {error}"))?;
    let handle = signals.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if signals.forever().next().is_some() {
                tracing::info!("a signal ends the agent after its current step");
                agent.stop.raise();
            }
        });
        let heartbeats = scope.spawn(|| agent.heartbeats(settings.heartbeat_interval));
        let polls = scope.spawn(|| agent.polls(settings.poll_interval));
        for _ in 0..settings.max_parallel {
            scope.spawn(|| agent.work());
        }
        // The poll loop ends last of the two loops that see the stop; it closes the queue for the workers.
        for thread in [heartbeats, polls] {
            if thread.join().is_err() {
                agent.stop.raise();
                agent.queue.close();
            }
        }
        handle.close();
    });
    tracing::info!("the agent ends");
    Ok(())
}

/// One heartbeat, one poll, and the work it brings.
pub fn once(settings: &Settings) -> Result<(), String> {
    let agent = Agent::start(settings)?;
    let round = agent.heartbeat().and_then(|()| agent.poll());
    let items = match round {
        Ok(items) => items,
        Err(CallError::Retired) => {
            tracing::warn!("the control plane retired this agent");
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut open = Vec::new();
    for item in items {
        if agent.stop.is_raised() {
            break;
        }
        match agent.handle(&item) {
            Ended::Done => {}
            Ended::Failed(reason) | Ended::Later(reason) => open.push(format!("{}: {reason}", item.id)),
        }
    }
    if open.is_empty() { Ok(()) } else { Err(open.join("; ")) }
}
