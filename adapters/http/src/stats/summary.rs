//! `GET /api/v1/stats/summary`

use super::ask;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use certctl_stats::Inventory;
use serde::Serialize;
use utoipa::ToSchema;

/// The figures of a dashboard's first page.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct DashboardFigures {
    /// Certificates, archived ones left out.
    total_certificates: i64,
    /// Ending within 30 days.
    expiring_certificates: i64,
    expired_certificates: i64,
    revoked_certificates: i64,
    /// Heard of within five minutes.
    active_agents: i64,
    offline_agents: i64,
    total_agents: i64,
    /// Waiting, held up or running.
    pending_jobs: i64,
    failed_jobs: i64,
    complete_jobs: i64,
    /// Notifications that were given up; this build sends none.
    notifications_dead: i64,
    /// When the figures were counted.
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    completed_at: Timestamp,
}

/// The figures, twice: some clients look for them at the top, others under `data`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DashboardSummary {
    #[serde(flatten)]
    figures: DashboardFigures,
    data: DashboardFigures,
}

impl DashboardFigures {
    fn new(counts: &Inventory, completed_at: Timestamp) -> Self {
        Self {
            total_certificates: counts.certificates.total,
            expiring_certificates: counts.certificates.expiring,
            expired_certificates: counts.certificates.expired,
            revoked_certificates: counts.certificates.revoked,
            active_agents: counts.fleet.online,
            offline_agents: counts.fleet.total - counts.fleet.online,
            total_agents: counts.fleet.total,
            pending_jobs: counts.jobs.pending,
            failed_jobs: counts.jobs.failed,
            complete_jobs: counts.jobs.completed,
            notifications_dead: 0,
            completed_at,
        }
    }
}

/// What there is, and how it stands.
#[utoipa::path(get, path = "/api/v1/stats/summary", tag = "stats", responses((status = 200, body = DashboardSummary)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let now = cx.ambient().now();
    let counts =
        ask(&cx, async |tx, caller| certctl_stats::inventory(tx, now, caller, Permission::StatsRead).await).await?;
    let figures = DashboardFigures::new(&counts, now);
    Ok(HttpResponse::Ok().json(DashboardSummary { data: figures.clone(), figures }))
}
