//! `GET /api/v1/stats/issuance-rate`

use super::{ask, days};
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Versions issued on a day.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuanceDay {
    /// The day, in UTC.
    #[schema(format = Date)]
    date: String,
    issued_count: i64,
}

/// How many versions were issued on each of the last days, today last.
#[utoipa::path(
    get, path = "/api/v1/stats/issuance-rate", tag = "stats",
    params(("days" = Option<u32>, Query, description = "Days, 1 to 365; 30 otherwise.")),
    responses((status = 200, body = Vec<IssuanceDay>)),
)]
pub(crate) async fn handler(cx: Cx, params: QueryParams) -> Result<HttpResponse, ApiError> {
    let days = days(params)?;
    let series = ask(&cx, async |tx, caller| certctl_stats::issued(tx, cx.ambient(), caller, days).await).await?;
    let body = series.into_iter().map(|day| IssuanceDay { date: day.date.to_string(), issued_count: day.count });
    Ok(HttpResponse::Ok().json(body.collect::<Vec<_>>()))
}
