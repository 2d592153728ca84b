//! `GET /api/v1/docs`

use crate::edge::ApiError;
use crate::edge::headers::policy_with_style;
use crate::openapi::{COMMITTED, REFERENCE_STYLE, reference_page};
use actix_web::HttpResponse;
use data_encoding::BASE64;
use ring::digest;

/// The API reference as a page that needs no script and no network.
#[utoipa::path(get, path = "/api/v1/docs", tag = "probes", responses((status = 200, content_type = "text/html", body = String)))]
pub(crate) async fn handler() -> Result<HttpResponse, ApiError> {
    let page = reference_page(COMMITTED)?;
    let style = BASE64.encode(digest::digest(&digest::SHA256, REFERENCE_STYLE.as_bytes()).as_ref());
    Ok(HttpResponse::Ok()
        .insert_header(("Content-Security-Policy", policy_with_style(&style)))
        .content_type("text/html; charset=utf-8")
        .body(page))
}
