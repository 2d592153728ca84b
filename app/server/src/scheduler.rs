//! Loops that run in the background: one replica at a time, each run in a transaction of its own, its outcome kept.

use crate::metrics;
use certctl_kernel::DomainError;
use certctl_ports::Ambient;
use certctl_unit_of_work::{Database, LoopRun, Stores};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What every loop needs.
#[derive(Clone)]
pub(crate) struct Scheduler {
    pub(crate) database: Arc<dyn Database>,
    pub(crate) ambient: Ambient,
    pub(crate) stopping: watch::Receiver<bool>,
}

const RUN_LIMIT: Duration = Duration::from_mins(5);

impl Scheduler {
    /// Runs `work` at once and then every `interval` with ten per cent of jitter, until the server stops. A failed run
    /// is logged and kept; it never ends the loop.
    pub(crate) fn every<W>(&self, name: &'static str, interval: Duration, work: W) -> tokio::task::JoinHandle<()>
    where
        W: AsyncFn(&mut dyn Stores, &Ambient) -> Result<i64, DomainError> + 'static,
    {
        let mut scheduler = self.clone();
        actix_web::rt::spawn(async move {
            loop {
                if *scheduler.stopping.borrow() {
                    return;
                }
                let started = tokio::time::Instant::now();
                let result = match tokio::time::timeout(RUN_LIMIT, scheduler.once(name, &work)).await {
                    Ok(Ok(Some(items))) => {
                        if items > 0 {
                            tracing::info!(run = name, items, "loop ran");
                        }
                        "success"
                    }
                    Ok(Ok(None)) => "elsewhere",
                    Ok(Err(error)) => {
                        tracing::error!(run = name, %error, "loop failed");
                        "failure"
                    }
                    Err(_) => {
                        tracing::error!(run = name, "loop took too long");
                        "timeout"
                    }
                };
                metrics::observe(name, result, started.elapsed(), scheduler.ambient.now());
                let pause = scheduler.jittered(interval);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = scheduler.stopping.changed() => return,
                }
            }
        })
    }

    /// One run; `None` when another replica leads this loop.
    async fn once<W>(&self, name: &'static str, work: &W) -> Result<Option<i64>, DomainError>
    where
        W: AsyncFn(&mut dyn Stores, &Ambient) -> Result<i64, DomainError>,
    {
        let started_at = self.ambient.now();
        let mut unit = self.database.begin().await?;
        if !unit.stores().try_lead(name).await? {
            unit.discard().await?;
            return Ok(None);
        }
        let outcome = work(unit.stores(), &self.ambient).await;
        let run = |items, error| LoopRun {
            loop_name: name.to_owned(),
            replica: format!("pid-{}", std::process::id()),
            started_at,
            finished_at: self.ambient.now(),
            items,
            error,
        };
        match outcome {
            Ok(items) => {
                unit.stores().record_loop_run(&run(items, None)).await?;
                unit.save_unaudited("each item of the run recorded its own event").await?;
                Ok(Some(items))
            }
            Err(error) => {
                unit.discard().await?;
                let mut unit = self.database.begin().await?;
                unit.stores().record_loop_run(&run(0, Some(error.to_string()))).await?;
                unit.save_unaudited("a failed run changed nothing").await?;
                Err(error)
            }
        }
    }

    fn jittered(&self, interval: Duration) -> Duration {
        let [octet] = self.ambient.octets::<1>();
        interval.mul_f64(0.9 + 0.2 * f64::from(octet) / 255.0)
    }
}
