//! What the loops and the connection pool tell monitoring.

use certctl_kernel::{StoreError, Timestamp};
use certctl_ports::SealedForm;
use certctl_postgres::Postgres;
use certctl_unit_of_work::Database;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, register_gauge,
    register_gauge_vec, register_histogram_vec, register_int_counter, register_int_counter_vec, register_int_gauge_vec,
};
use std::sync::LazyLock;
use std::time::Duration;

static RUNS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Runs of background loops by how they ended; elsewhere: another replica led.";
    register_int_counter_vec!("certctl_loop_runs_total", help, &["loop", "result"]).expect("registered once")
});

static DURATIONS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let options = HistogramOpts::new("certctl_loop_duration_seconds", "Length of a loop's run on this replica.")
        .buckets(vec![0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0]);
    register_histogram_vec!(options, &["loop"]).expect("registered once")
});

static LAST_SUCCESS: LazyLock<GaugeVec> = LazyLock::new(|| {
    let help = "When this replica last ran the loop to a good end, in Unix seconds.";
    register_gauge_vec!("certctl_loop_last_success_timestamp_seconds", help, &["loop"]).expect("registered once")
});

static SECRETS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Sealed values in the database by form and key.";
    register_int_gauge_vec!("certctl_secret_blobs", help, &["version", "kid"]).expect("registered once")
});

fn gauge(name: &str, help: &str) -> Gauge {
    register_gauge!(name, help).expect("registered once, under a valid name")
}

fn counter(name: &str, help: &str) -> IntCounter {
    register_int_counter!(name, help).expect("registered once, under a valid name")
}

/// What the audit log tells monitoring.
struct AuditLog {
    lag: Gauge,
    rows: Gauge,
    verified_at: Gauge,
    verifications: IntCounter,
    breaks: IntCounter,
}

static AUDIT_LOG: LazyLock<AuditLog> = LazyLock::new(|| AuditLog {
    lag: gauge("certctl_audit_seal_lag_seconds", "How long the oldest unsealed event has been waiting."),
    rows: gauge("certctl_audit_chain_rows", "Events in the sealed log."),
    verified_at: gauge(
        "certctl_audit_chain_last_verified_at",
        "When this replica last found the log sound, in Unix seconds; 0: never.",
    ),
    verifications: counter("certctl_audit_chain_verify_total", "Verifications that this replica brought to an end."),
    breaks: counter("certctl_audit_chain_break_detected_total", "Verifications that found something."),
});

/// Looks at the backlog and size of the audit log.
pub(crate) async fn look_at_log(database: &dyn Database, now: Timestamp) -> Result<(), StoreError> {
    let mut unit = database.read().await?;
    let backlog = unit.stores().backlog().await?;
    let size = unit.stores().log_size().await?;
    let lag = backlog.oldest.map_or(0.0, |oldest| (now - oldest).as_seconds_f64().max(0.0));
    AUDIT_LOG.lag.set(lag);
    // The log stays far below 2^52 events.
    #[allow(clippy::cast_precision_loss)]
    AUDIT_LOG.rows.set(size as f64);
    Ok(())
}

/// Counts a verification that ended `at`.
pub(crate) fn verified(sound: bool, at: Timestamp) {
    AUDIT_LOG.verifications.inc();
    if sound {
        #[allow(clippy::cast_precision_loss)]
        AUDIT_LOG.verified_at.set(at.unix_timestamp() as f64);
    } else {
        AUDIT_LOG.breaks.inc();
    }
}

/// Counts sealed values by the key that they need.
pub(crate) async fn count_secrets(database: &dyn Database) -> Result<(), StoreError> {
    let counts = database.read().await?.stores().sealed_counts().await?;
    // A key that nothing needs any more leaves the figures with it.
    SECRETS.reset();
    for count in counts {
        let (version, key) = match count.form {
            SealedForm::V1 => ("1", String::new()),
            SealedForm::V2 => ("2", String::new()),
            SealedForm::V3 => ("3", String::new()),
            SealedForm::V4(key) => ("4", key.to_string()),
        };
        SECRETS.with_label_values(&[version, key.as_str()]).add(count.blobs);
    }
    Ok(())
}

/// Counts a run that ended `at` with `result`.
pub(crate) fn observe(name: &str, result: &str, took: Duration, at: Timestamp) {
    RUNS.with_label_values(&[name, result]).inc();
    if result == "elsewhere" {
        return;
    }
    DURATIONS.with_label_values(&[name]).observe(took.as_secs_f64());
    if result == "success" {
        // Seconds since 1970 lie far below 2^52, from where on the conversion would round.
        #[allow(clippy::cast_precision_loss)]
        LAST_SUCCESS.with_label_values(&[name]).set(at.unix_timestamp() as f64);
    }
}

/// Connections to the database, looked at when they are asked for.
struct PoolCollector {
    database: Postgres,
    gauges: [IntGauge; 3],
}

impl Collector for PoolCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (size, available, waiting) = self.database.pool_status();
        for (gauge, value) in self.gauges.iter().zip([size, available, waiting]) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}

/// Shows the pool of `database`.
pub(crate) fn watch_pool(database: &Postgres) -> prometheus::Result<()> {
    let gauges = [
        IntGauge::new("certctl_db_pool_connections", "Open connections to the database.")?,
        IntGauge::new("certctl_db_pool_idle", "Open connections that nobody uses.")?,
        IntGauge::new("certctl_db_pool_waiting", "Requests that wait for a connection.")?,
    ];
    prometheus::register(Box::new(PoolCollector { database: database.clone(), gauges }))
}
