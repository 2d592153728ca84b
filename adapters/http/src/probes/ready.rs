//! `GET /ready`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use utoipa::ToSchema;

const PING_LIMIT: Duration = Duration::from_secs(2);

/// The server can do its work.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    status: &'static str,
    db: &'static str,
}

/// Tells whether the server can do its work: started, not draining, database answering within two seconds.
#[utoipa::path(get, path = "/ready", tag = "probes", responses((status = 200, body = Ready)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    if !cx.state().accepting.load(Ordering::SeqCst) {
        return Err(
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_accepting", "starting or shutting down").retry_after(1)
        );
    }
    let reachable = tokio::time::timeout(PING_LIMIT, cx.state().db.ping()).await;
    if !matches!(reachable, Ok(Ok(()))) {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "db_unavailable", "the database does not answer")
            .with("status", "db_unavailable".into())
            .retry_after(5));
    }
    Ok(HttpResponse::Ok().json(Ready { status: "ready", db: "reachable" }))
}
