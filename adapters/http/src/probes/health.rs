//! `GET /health`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use certctl_kernel::timestamp::to_rfc3339;
use serde::Serialize;
use utoipa::ToSchema;

/// The process runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
    timestamp: String,
}

/// Tells that the process runs; touches no database.
#[utoipa::path(get, path = "/health", tag = "probes", responses((status = 200, body = Health)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(Health { status: "healthy", timestamp: to_rfc3339(cx.ambient().now()) }))
}
