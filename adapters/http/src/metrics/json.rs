//! `GET /api/v1/metrics`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_kernel::{Timestamp, timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// The figures of the inventory as JSON; everything else is in the Prometheus form.
#[derive(Serialize, ToSchema)]
pub(crate) struct MetricsBody {
    gauge: Gauges,
    counter: Counters,
    uptime: Uptime,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MetricsGauges)]
struct Gauges {
    certificate_total: i64,
    certificate_active: i64,
    certificate_expiring_soon: i64,
    certificate_expired: i64,
    certificate_revoked: i64,
    agent_total: i64,
    agent_online: i64,
    job_pending: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MetricsCounters)]
#[allow(clippy::struct_field_names)] // The wire's names.
struct Counters {
    job_completed_total: i64,
    /// Attempts that failed.
    job_failed_total: i64,
    /// Notifications that were given up; this build sends none.
    notifications_dead_total: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MetricsUptime)]
struct Uptime {
    #[serde(rename = "uptime_seconds")]
    seconds: i64,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    server_started: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    measured_at: Timestamp,
}

/// The figures of the inventory, at most ten seconds old.
#[utoipa::path(get, path = "/api/v1/metrics", tag = "stats", responses((status = 200, body = MetricsBody)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let metrics = &cx.state().metrics;
    let counts = metrics.inventory(&cx).await?;
    let now = cx.ambient().now();
    Ok(HttpResponse::Ok().json(MetricsBody {
        gauge: Gauges {
            certificate_total: counts.certificates.total,
            certificate_active: counts.certificates.active(),
            certificate_expiring_soon: counts.certificates.expiring,
            certificate_expired: counts.certificates.expired,
            certificate_revoked: counts.certificates.revoked,
            agent_total: counts.fleet.total,
            agent_online: counts.fleet.online,
            job_pending: counts.jobs.pending,
        },
        counter: Counters {
            job_completed_total: counts.jobs.completed,
            job_failed_total: counts.jobs.failed_attempts,
            notifications_dead_total: 0,
        },
        uptime: Uptime {
            seconds: (now - metrics.started_at).whole_seconds().max(0),
            server_started: metrics.started_at,
            measured_at: now,
        },
    }))
}
