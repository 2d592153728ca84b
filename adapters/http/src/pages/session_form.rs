//! `POST /auth/session-form`

use super::form::Form;
use super::login::{Notice, Shown, show};
use super::{guard_form, in_words, return_to, see_other};
use crate::auth::sessions::create::exchange;
use crate::edge::{ApiError, Cx, SecretOctets};
use actix_web::HttpResponse;

/// Exchanges an API key for a session, for the sign-in page's form; see `POST /api/v1/auth/session`.
#[utoipa::path(
    post, path = "/auth/session-form", tag = "pages",
    request_body(content_type = "application/x-www-form-urlencoded", content = String),
    responses(
        (status = 303, description = "The cookies are set; go on."),
        (status = 400, description = "The form is no form of ours.", content_type = "text/html", body = String),
        (status = 401, description = "The key is nobody's.", content_type = "text/html", body = String),
        (status = 403, description = "Another page sent the form.", content_type = "text/html", body = String),
        (status = 413, description = "The form is too long.", content_type = "text/html", body = String),
        (status = 415, description = "It is no form.", content_type = "text/html", body = String),
        (status = 429, description = "Too many attempts.", content_type = "text/html", body = String),
        (status = 503, description = "The database does not answer.", content_type = "text/html", body = String),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx, body: Result<SecretOctets, ApiError>) -> Result<HttpResponse, ApiError> {
    let mut wanted = String::new();
    let done = async {
        guard_form(&cx)?;
        let form = Form::read(&cx, body)?;
        return_to::or_home(Some(form.field("return_to"))).clone_into(&mut wanted);
        let mut response = see_other(&wanted);
        exchange(&cx, &form.secret("api_key"), &mut response).await?;
        Ok::<_, ApiError>(response)
    };
    match done.await {
        Ok(response) => Ok(response),
        Err(error) => {
            let notice = Notice::problem(in_words(&error, "This is not an API key of this server, or it has ended."));
            let shown = Shown { notice: Some(notice), form: "api_key", ..Shown::default() };
            show(&cx, error.status, return_to::or_home(Some(&wanted)), shown).await
        }
    }
}
