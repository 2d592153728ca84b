//! `POST /auth/logout-form`

use super::see_other;
use crate::auth::sessions::logout::log_out;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// Signs out, for the page's form; see `POST /auth/logout`.
#[utoipa::path(
    post, path = "/auth/logout-form", tag = "pages",
    responses(
        (status = 303, description = "No session is left; go on to the sign-in page."),
        (status = 403, description = "Another site's page asked.", body = crate::edge::ErrorBody),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let mut response = see_other("/login?signed_out=1");
    log_out(&cx, &mut response).await?;
    Ok(response)
}
