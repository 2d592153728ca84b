//! The request log's way to the database: a queue that never holds a request up, and a writer of batches.

use certctl_audit::AccessEntry;
use certctl_unit_of_work::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Entries that wait at most; beyond, they are counted as lost.
const QUEUE: usize = 20_000;
/// Entries of one statement.
const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_millis(500);
const TRIES: u32 = 3;

/// Takes entries.
#[derive(Clone)]
pub struct AccessLog {
    queue: mpsc::Sender<AccessEntry>,
    every: u32,
    seen: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

/// Writes what was taken.
pub struct AccessLogWriter {
    queue: mpsc::Receiver<AccessEntry>,
    lost: Arc<AtomicU64>,
}

/// A request log of which one read in `every` is kept; changes and refusals are kept all.
pub fn access_log(every: u32) -> (AccessLog, AccessLogWriter) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let log = AccessLog { queue: sender, every: every.max(1), seen: Arc::default(), lost: Arc::clone(&lost) };
    (log, AccessLogWriter { queue: receiver, lost })
}

impl AccessLog {
    /// For how many requests an entry of this kind stands; `None` when this one is not kept.
    pub(crate) fn sample(&self, reading: bool, status: u16) -> Option<u32> {
        if !reading || status >= 400 || self.every == 1 {
            return Some(1);
        }
        let turn = self.seen.fetch_add(1, Ordering::Relaxed);
        turn.is_multiple_of(u64::from(self.every)).then_some(self.every)
    }

    /// Queues an entry; a full queue loses it rather than hold the answer up.
    pub(crate) fn take(&self, entry: AccessEntry) {
        if self.queue.try_send(entry).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl AccessLogWriter {
    /// Writes until `finish` comes, and then what is left.
    pub async fn run(mut self, database: Arc<dyn Database>, mut finish: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut ending = false;
        loop {
            if ending {
                if self.queue.recv_many(&mut batch, BATCH).await == 0 {
                    return;
                }
            } else {
                tokio::select! {
                    _ = self.queue.recv_many(&mut batch, BATCH) => {}
                    _ = &mut finish => {
                        ending = true;
                        self.queue.close();
                    }
                }
            }
            self.write(database.as_ref(), &mut batch).await;
            if !ending {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn write(&self, database: &dyn Database, batch: &mut Vec<AccessEntry>) {
        if batch.is_empty() {
            return;
        }
        for attempt in 1..=TRIES {
            let stored = async {
                let mut unit = database.begin().await?;
                unit.stores().append_access(batch).await?;
                unit.save_unaudited("the request log is kept apart from the trail").await
            };
            match stored.await {
                Ok(()) => break,
                Err(error) if attempt == TRIES => {
                    self.lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    tracing::error!(%error, entries = batch.len(), "entries of the request log could not be stored");
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        batch.clear();
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "the request log lost entries: the queue was full or the database away");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_reads_one_in_so_many_is_kept_and_of_all_else_every_one() {
        let (log, _writer) = access_log(10);
        let kept: u32 = (0..100).filter_map(|_| log.sample(true, 200)).sum();
        assert_eq!(kept, 100, "what is kept stands for all");
        assert_eq!((0..100).filter_map(|_| log.sample(true, 200)).count(), 10);
        assert!((0..20).all(|_| log.sample(false, 200) == Some(1) && log.sample(true, 403) == Some(1)));
    }
}
