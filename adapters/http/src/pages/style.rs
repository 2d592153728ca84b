//! `GET /login/page.css`

use super::file;
use actix_web::HttpResponse;

/// The style of the sign-in pages.
#[utoipa::path(
    get, path = "/login/page.css", tag = "pages",
    responses((status = 200, content_type = "text/css", body = String)),
    security(),
)]
pub(crate) async fn handler() -> HttpResponse {
    file("text/css; charset=utf-8", include_str!("../../assets/page.css"))
}
