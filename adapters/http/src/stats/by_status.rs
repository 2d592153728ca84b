//! `GET /api/v1/stats/certificates-by-status`

use super::ask;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_stats::StatusCount;
use serde::Serialize;
use utoipa::ToSchema;

/// Certificates in a state.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusCount)]
pub(crate) struct StatusCountBody {
    /// The state; Active, Expiring and Expired by date.
    status: String,
    count: i64,
}

impl From<StatusCount> for StatusCountBody {
    fn from(count: StatusCount) -> Self {
        Self { status: count.status, count: count.count }
    }
}

/// Certificates by state, sorted by its name.
#[utoipa::path(
    get, path = "/api/v1/stats/certificates-by-status", tag = "stats",
    responses((status = 200, body = Vec<StatusCountBody>)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let counts =
        ask(&cx, async |tx, caller| certctl_stats::certificates_by_status(tx, cx.ambient(), caller).await).await?;
    Ok(HttpResponse::Ok().json(counts.into_iter().map(StatusCountBody::from).collect::<Vec<_>>()))
}
