//! `GET /login/page.js`

use super::file;
use actix_web::HttpResponse;

/// The script of the sign-in pages: security keys, which no form can ask.
#[utoipa::path(
    get, path = "/login/page.js", tag = "pages",
    responses((status = 200, content_type = "text/javascript", body = String)),
    security(),
)]
pub(crate) async fn handler() -> HttpResponse {
    file("text/javascript; charset=utf-8", include_str!("../../assets/page.js"))
}
