//! `POST /auth/breakglass/login-form`

use super::form::Form;
use super::login::{Notice, Shown, show};
use super::{guard_form, in_words, return_to, see_other};
use crate::auth::breakglass::limit;
use crate::auth::breakglass::sign_in::{Presented, SignIn, with_password};
use crate::edge::cookies::{session_cookies, set_cookies};
use crate::edge::{ApiError, Cx, SecretOctets};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;

const WRONG: &str = "The account or the password is wrong, the account is locked, or it may not sign in.";
const NEEDS_SCRIPT: &str = "The password is right. This account also needs its security key, which a browser asks only with JavaScript: \
     switch it on and sign in again.";

/// Signs in with an emergency account, for the sign-in page's form without script; see `POST /auth/breakglass/login`.
#[utoipa::path(
    post, path = "/auth/breakglass/login-form", tag = "pages",
    request_body(content_type = "application/x-www-form-urlencoded", content = String),
    responses(
        (status = 303, description = "The cookies are set; go on."),
        (status = 400, description = "The form is no form of ours.", content_type = "text/html", body = String),
        (status = 401, description = "Nobody is signed in.", content_type = "text/html", body = String),
        (status = 403, description = "Another page sent the form.", content_type = "text/html", body = String),
        (status = 404, description = "The emergency way in is not open.", body = crate::edge::ErrorBody),
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
        limit(&cx).await?;
        guard_form(&cx)?;
        let form = Form::read(&cx, body)?;
        return_to::or_home(Some(form.field("return_to"))).clone_into(&mut wanted);
        let presented = Presented { actor_id: form.field("actor_id").to_owned(), password: form.secret("password") };
        with_password(&cx, Some(presented)).await
    };
    let error = match done.await {
        Ok(SignIn::Session(minted)) => {
            let mut response = see_other(&wanted);
            set_cookies(&mut response, &session_cookies(&minted, &cx.state().sessions()?.settings))?;
            return Ok(response);
        }
        Ok(SignIn::SecondFactor(_)) => (StatusCode::UNAUTHORIZED, NEEDS_SCRIPT),
        Err(error) => (error.status, in_words(&error, WRONG)),
    };
    let (status, text) = error;
    let shown = Shown { notice: Some(Notice::problem(text)), emergency: true, form: "breakglass", ..Shown::default() };
    show(&cx, status, return_to::or_home(Some(&wanted)), shown).await
}
