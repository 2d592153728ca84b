//! `GET /api/v1/docs`

use crate::edge::ApiError;
use actix_web::{HttpResponse, web};

/// The API reference as a page that needs no script and no network.
#[utoipa::path(get, path = "/api/v1/docs", tag = "probes", responses((status = 200, content_type = "text/html", body = String)))]
pub(crate) async fn handler(document: web::Data<String>) -> Result<HttpResponse, ApiError> {
    let page = crate::openapi::reference_page(document.get_ref())?;
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page))
}
