//! `GET /api/v1/stats/job-trends`

use super::{ask, days};
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use certctl_stats::success_rate;
use serde::Serialize;
use utoipa::ToSchema;

/// How the jobs that ended on a day ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobTrendDay {
    /// The day, in UTC.
    #[schema(format = Date)]
    date: String,
    completed_count: i64,
    failed_count: i64,
    /// Per cent that ended well; 0 when none ended.
    success_rate: f64,
}

/// How the jobs of each of the last days ended, today last.
#[utoipa::path(
    get, path = "/api/v1/stats/job-trends", tag = "stats",
    params(("days" = Option<u32>, Query, description = "Days, 1 to 365; 30 otherwise.")),
    responses((status = 200, body = Vec<JobTrendDay>)),
)]
pub(crate) async fn handler(cx: Cx, params: QueryParams) -> Result<HttpResponse, ApiError> {
    let days = days(params)?;
    let series = ask(&cx, async |tx, caller| certctl_stats::jobs_ended(tx, cx.ambient(), caller, days).await).await?;
    let body = series.into_iter().map(|day| JobTrendDay {
        date: day.date.to_string(),
        completed_count: day.completed,
        failed_count: day.failed,
        success_rate: success_rate(day.completed, day.failed),
    });
    Ok(HttpResponse::Ok().json(body.collect::<Vec<_>>()))
}
