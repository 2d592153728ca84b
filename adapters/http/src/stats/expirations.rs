//! `GET /api/v1/stats/expiration-timeline`

use super::{ask, days};
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Certificates that end on a day.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExpirationDay {
    /// The day, in UTC.
    #[schema(format = Date)]
    date: String,
    count: i64,
}

/// How many certificates end on each of the next days, today first.
#[utoipa::path(
    get, path = "/api/v1/stats/expiration-timeline", tag = "stats",
    params(("days" = Option<u32>, Query, description = "Days, 1 to 365; 30 otherwise.")),
    responses((status = 200, body = Vec<ExpirationDay>)),
)]
pub(crate) async fn handler(cx: Cx, params: QueryParams) -> Result<HttpResponse, ApiError> {
    let days = days(params)?;
    let series = ask(&cx, async |tx, caller| certctl_stats::expirations(tx, cx.ambient(), caller, days).await).await?;
    let body = series.into_iter().map(|day| ExpirationDay { date: day.date.to_string(), count: day.count });
    Ok(HttpResponse::Ok().json(body.collect::<Vec<_>>()))
}
