//! What monitoring reads. Counters live in the process and start at zero with it, as Prometheus expects; figures of the
//! inventory come from one aggregate that is counted at most every ten seconds, so that scrapes can't load the database.
//!
//! No label ever holds an id, a name, an address or an actor.

use crate::edge::{ApiError, Cx, Gate, Route};
use certctl_kernel::Timestamp;
use certctl_rbac::Permission;
use certctl_stats::Inventory;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

mod counters;
mod json;
mod prometheus_text;

pub(crate) use counters::{OcspEvent, breakglass_login, login, observe_request, ocsp, rate_limited};

const COUNTED_AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::MetricsRead), json),
        crate::route!(Gate::Permission(Permission::MetricsRead), prometheus_text),
    ]
}

/// The last count of the inventory, and since when the server runs.
pub(crate) struct MetricsState {
    pub(crate) started_at: Timestamp,
    counted: Mutex<Option<(Instant, Inventory)>>,
}

impl MetricsState {
    pub(crate) fn new(started_at: Timestamp) -> Self {
        counters::prepare();
        Self { started_at, counted: Mutex::new(None) }
    }

    /// Seconds since the start.
    fn uptime(&self, now: Timestamp) -> f64 {
        (now - self.started_at).as_seconds_f64().max(0.0)
    }

    /// The inventory as counted lately. Scrapes that meet wait for one count.
    async fn inventory(&self, cx: &Cx) -> Result<Inventory, ApiError> {
        let caller = cx.caller()?;
        caller.require(Permission::MetricsRead, &[])?;
        let mut counted = self.counted.lock().await;
        if let Some((at, inventory)) = *counted
            && at.elapsed() < COUNTED_AT_MOST_EVERY
        {
            return Ok(inventory);
        }
        let now = cx.ambient().now();
        let inventory =
            cx.read(async |tx| Ok(certctl_stats::inventory(tx, now, caller, Permission::MetricsRead).await?)).await?;
        *counted = Some((Instant::now(), inventory));
        Ok(inventory)
    }
}
