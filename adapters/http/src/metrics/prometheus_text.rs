//! `GET /api/v1/metrics/prometheus`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_stats::Inventory;
use prometheus::{Counter, CounterVec, Gauge, Opts, Registry, TextEncoder};

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters of this server and the figures of the inventory, in the text form of Prometheus 0.0.4.
#[utoipa::path(
    get, path = "/api/v1/metrics/prometheus", tag = "stats",
    responses((status = 200, content_type = "text/plain", body = String)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let state = cx.state();
    let counts = state.metrics.inventory(&cx).await?;
    let text = render(&counts, state.metrics.uptime(cx.ambient().now()), state.settings.version, state.settings.commit)
        .map_err(|error| ApiError::internal(&error.to_string()))?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).content_type(MEDIA_TYPE).body(text))
}

fn render(counts: &Inventory, uptime: f64, version: &str, commit: &str) -> prometheus::Result<String> {
    let figures = Registry::new();
    // Counts lie far below 2^52, from where on the conversion would round.
    #[allow(clippy::cast_precision_loss)]
    let gauge = |name: &str, help: &str, value: i64| measure(&figures, name, help, value as f64);
    gauge("certctl_certificate_total", "Certificates, archived ones left out.", counts.certificates.total)?;
    gauge("certctl_certificate_active", "Neither expiring, expired nor revoked.", counts.certificates.active())?;
    gauge("certctl_certificate_expiring_soon", "Ending within 30 days.", counts.certificates.expiring)?;
    gauge("certctl_certificate_expired", "Past their end.", counts.certificates.expired)?;
    gauge("certctl_certificate_revoked", "Revoked.", counts.certificates.revoked)?;
    gauge("certctl_agent_total", "Agents in service.", counts.fleet.total)?;
    gauge("certctl_agent_online", "Agents heard of within five minutes.", counts.fleet.online)?;
    gauge("certctl_job_pending", "Jobs that have not ended.", counts.jobs.pending)?;
    let late = counts.jobs.oldest_pending_seconds;
    measure(&figures, "certctl_job_oldest_pending_seconds", "Age of the longest wait for a run.", late)?;
    measure(&figures, "certctl_uptime_seconds", "Time since the start.", uptime)?;
    #[allow(clippy::cast_precision_loss)]
    let counter = |name: &str, help: &str, value: i64| count(&figures, name, help, value as f64);
    counter("certctl_job_completed_total", "Jobs that ended well.", counts.jobs.completed)?;
    counter("certctl_job_failed_total", "Attempts that failed.", counts.jobs.failed_attempts)?;
    let approvals = &counts.approvals;
    #[allow(clippy::cast_precision_loss)]
    measure(&figures, "certctl_approvals_pending", "Requests that wait for a decision.", approvals.pending as f64)?;
    let late = approvals.oldest_pending_seconds;
    measure(&figures, "certctl_approval_oldest_pending_seconds", "Age of the longest wait for a decision.", late)?;
    let decisions = Opts::new("certctl_approval_decisions_total", "Approval requests that ended.");
    let decisions = CounterVec::new(decisions, &["outcome"])?;
    for (outcome, value) in [
        ("approved", approvals.approved),
        ("rejected", approvals.rejected),
        ("expired", approvals.expired),
        ("withdrawn", approvals.withdrawn),
        ("bypassed", approvals.bypassed),
    ] {
        #[allow(clippy::cast_precision_loss)]
        decisions.with_label_values(&[outcome]).inc_by(value as f64);
    }
    figures.register(Box::new(decisions))?;
    let build = Opts::new("certctl_build_info", "What runs here.")
        .const_label("version", version)
        .const_label("commit", commit);
    let build = Gauge::with_opts(build)?;
    build.set(1.0);
    figures.register(Box::new(build))?;
    let mut families = figures.gather();
    families.extend(prometheus::gather());
    TextEncoder::new().encode_to_string(&families)
}

fn measure(registry: &Registry, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
    let gauge = Gauge::new(name, help)?;
    gauge.set(value);
    registry.register(Box::new(gauge))
}

fn count(registry: &Registry, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
    let counter = Counter::new(name, help)?;
    counter.inc_by(value);
    registry.register(Box::new(counter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_stats::{ApprovalCounts, CertificateCounts};

    #[test]
    fn figures_and_counters_stand_in_one_text() {
        super::super::counters::prepare();
        let certificates = CertificateCounts { total: 5, expiring: 1, expired: 0, revoked: 1 };
        let approvals = ApprovalCounts { pending: 2, rejected: 3, ..ApprovalCounts::default() };
        let counts = Inventory { certificates, approvals, ..Inventory::default() };
        let text = render(&counts, 1.5, "0.0.1", "abc").expect("renders");
        for line in [
            "certctl_certificate_active 3",
            "certctl_uptime_seconds 1.5",
            "certctl_approvals_pending 2",
            "certctl_approval_decisions_total{outcome=\"rejected\"} 3",
            "certctl_approval_decisions_total{outcome=\"bypassed\"} 0",
            "certctl_build_info{commit=\"abc\",version=\"0.0.1\"} 1",
            "# TYPE certctl_job_completed_total counter",
            "certctl_ocsp_counter_total{label=\"nonce_malformed\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is in\n{text}");
        }
    }
}
