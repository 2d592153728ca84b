//! `GET /api/v1/openapi.json`

use crate::edge::ApiError;
use actix_web::HttpResponse;

/// The OpenAPI 3.1 document of this server.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "probes", responses((status = 200, content_type = "application/json")))]
pub(crate) async fn handler() -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().content_type("application/json").body(crate::openapi::COMMITTED))
}
