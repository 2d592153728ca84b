//! `GET /login`

use super::{page, return_to, see_other};
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use certctl_oidc::Failure;

/// A line above the forms.
pub(super) struct Notice {
    pub(super) kind: &'static str,
    /// `alert` is read out at once, `status` when there is time.
    pub(super) role: &'static str,
    pub(super) text: &'static str,
}

impl Notice {
    pub(super) const fn problem(text: &'static str) -> Self {
        Self { kind: "problem", role: "alert", text }
    }

    const fn hint(text: &'static str) -> Self {
        Self { kind: "hint", role: "status", text }
    }
}

struct ProviderLink {
    name: String,
    href: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    notice: Option<Notice>,
    /// The category of a failure, for whoever is asked for help.
    reason: Option<&'static str>,
    /// Whether nobody needs to sign in.
    open: bool,
    providers: Vec<ProviderLink>,
    breakglass: bool,
    return_to: String,
    /// The form that was sent in vain.
    form: &'static str,
}

/// What the page is shown for.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) notice: Option<Notice>,
    pub(super) reason: Option<&'static str>,
    /// Whether somebody asked for the emergency form; it is there only when it works as well.
    pub(super) emergency: bool,
    pub(super) form: &'static str,
}

/// The page, in front of `return_to`.
pub(super) async fn show(cx: &Cx, status: StatusCode, return_to: &str, shown: Shown) -> Result<HttpResponse, ApiError> {
    let state = cx.state();
    let providers = cx.read(async |tx| Ok(tx.usable_providers().await?)).await?;
    let link = |id: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        format!("/auth/oidc/login?{}", query.append_pair("provider", id).append_pair("return_to", return_to).finish())
    };
    let template = LoginPage {
        notice: shown.notice,
        reason: shown.reason,
        open: state.access.anonymous_admin(),
        providers: providers.into_iter().map(|p| ProviderLink { href: link(&p.id), name: p.name }).collect(),
        breakglass: shown.emergency && crate::auth::breakglass::open(state).await?,
        return_to: return_to.to_owned(),
        form: shown.form,
    };
    page(status, &template)
}

/// What a session's end is told as.
fn expired(cause: &str) -> Notice {
    let text = match cause {
        "idle_timeout" => "You were signed out because you did nothing for a while. Sign in again to go on.",
        "absolute_timeout" => "Your session reached its longest time. Sign in again to go on.",
        "back_channel_revoked" => "Your organisation's sign-in ended your session. Sign in again.",
        "deactivated" => "Your account here is switched off. Ask an administrator.",
        "revoked" => {
            "Your session was ended, by an administrator or because something about your access changed. Sign in again."
        }
        "logged_out" => return Notice::hint("You are signed out."),
        _ => "Your session is not valid any more. Sign in again.",
    };
    Notice::problem(text)
}

fn failed(reason: Option<&str>) -> (Option<Notice>, Option<&'static str>) {
    let failure = reason.and_then(Failure::parse).unwrap_or(Failure::Unspecified);
    (Some(Notice::problem(failure.text())), Some(failure.as_str()))
}

/// The sign-in page. `error=oidc_failed` with `reason`, `session_expired` and `signed_out` say why one is here;
/// `breakglass` asks for the emergency form, which is there only while it works.
#[utoipa::path(
    get, path = "/login", tag = "pages",
    params(
        ("return_to" = Option<String>, Query, description = "Path of this server to go to afterwards."),
        ("error" = Option<String>, Query, description = "`oidc_failed` after a sign-in through a provider that came to nothing."),
        ("reason" = Option<String>, Query, description = "Category of that failure."),
        ("session_expired" = Option<String>, Query, description = "Why the session ended, as the challenge of a 401 says."),
        ("signed_out" = Option<String>, Query, description = "Present after signing out."),
        ("breakglass" = Option<String>, Query, description = "Present to ask for the emergency form."),
    ),
    responses(
        (status = 200, content_type = "text/html", body = String),
        (status = 303, description = "Somebody is signed in already."),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let wanted = params.text("return_to");
    let return_to = return_to::or_home(wanted.as_deref());
    if cx.presented_session().await?.is_ok() {
        return Ok(see_other(return_to));
    }
    let (error, reason) = (params.text("error"), params.text("reason"));
    let mut shown =
        Shown { emergency: cx.request().query_string().split('&').any(asks_for_emergency), ..Shown::default() };
    if error.is_some() {
        (shown.notice, shown.reason) = failed(reason.as_deref());
    } else if let Some(cause) = params.text("session_expired") {
        shown.notice = Some(expired(&cause));
    } else if params.text("signed_out").is_some() {
        shown.notice = Some(expired("logged_out"));
    }
    show(&cx, StatusCode::OK, return_to, shown).await
}

/// The parameter has no value when people type it.
fn asks_for_emergency(pair: &str) -> bool {
    pair.split('=').next() == Some("breakglass")
}
