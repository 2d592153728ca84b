//! What issuers tell monitoring, the same for every kind.

use certctl_port_issuer::IssuerError;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, register_histogram_vec, register_int_counter_vec};
use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::time::Instant;

static ISSUED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Orders for a certificate by how they ended.";
    register_int_counter_vec!("certctl_issuance_total", help, &["issuer_type", "outcome"]).expect("registered once")
});

static FAILURES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let (name, help) = ("certctl_issuance_failures_total", "Orders for a certificate that failed, by why.");
    register_int_counter_vec!(name, help, &["issuer_type", "error_class"]).expect("registered once")
});

static DURATIONS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let options = HistogramOpts::new("certctl_issuance_duration_seconds", "Time from an order to its certificate.")
        .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0]);
    register_histogram_vec!(options, &["issuer_type"]).expect("registered once")
});

/// Runs an order and counts how it ended.
pub(crate) async fn observed<T>(
    issuer_type: &str,
    order: impl Future<Output = Result<T, IssuerError>> + Send,
) -> Result<T, IssuerError> {
    let started = Instant::now();
    let outcome = order.await;
    count(issuer_type, outcome.as_ref().err(), started.elapsed());
    outcome
}

fn count(issuer_type: &str, error: Option<&IssuerError>, took: Duration) {
    DURATIONS.with_label_values(&[issuer_type]).observe(took.as_secs_f64());
    ISSUED.with_label_values(&[issuer_type, if error.is_none() { "success" } else { "failure" }]).inc();
    if let Some(error) = error {
        FAILURES.with_label_values(&[issuer_type, class(error)]).inc();
    }
}

/// Why an order failed, in the words of the metric.
fn class(error: &IssuerError) -> &'static str {
    match error {
        IssuerError::Misconfigured(_) | IssuerError::Lint(_) | IssuerError::NotSupported(_) => "validation",
        IssuerError::Upstream(_) => "upstream_5xx",
        IssuerError::Unknown(_) | IssuerError::Unusable { .. } | IssuerError::Signing(_) | IssuerError::Store(_) => {
            "other"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_counts_once_under_its_outcome_and_a_failure_under_its_class_too() {
        let kind = "test-of-counting";
        count(kind, None, Duration::from_millis(2));
        count(kind, Some(&IssuerError::Lint(Vec::new())), Duration::from_millis(2));
        assert_eq!(ISSUED.with_label_values(&[kind, "success"]).get(), 1);
        assert_eq!(ISSUED.with_label_values(&[kind, "failure"]).get(), 1);
        assert_eq!(FAILURES.with_label_values(&[kind, "validation"]).get(), 1);
        assert_eq!(DURATIONS.with_label_values(&[kind]).get_sample_count(), 2);
    }
}
