//! `GET /`

use super::{page, see_other};
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use certctl_kernel::timestamp;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    actor: String,
    way: &'static str,
    roles: String,
    until: Option<String>,
    /// Whether an emergency account is signed in.
    emergency: bool,
    /// Names of security keys, where they can be registered.
    keys: Option<Vec<String>>,
    signed_in: bool,
}

/// Who is signed in, with a way out; whoever is not is sent to the sign-in page.
#[utoipa::path(
    get, path = "/", tag = "pages",
    responses(
        (status = 200, content_type = "text/html", body = String),
        (status = 303, description = "Nobody is signed in."),
    ),
    security(),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let state = cx.state();
    let presented = cx.header("cookie").is_some_and(|jar| jar.contains(crate::edge::cookies::SESSION));
    let principal = match cx.presented_session().await? {
        Ok(principal) => principal,
        Err(_) if state.access.anonymous_admin() => {
            let template = HomePage {
                actor: certctl_rbac::DEMO_ACTOR.to_owned(),
                way: "nothing: this server runs in its demo mode",
                roles: certctl_rbac::ADMIN_ROLE.to_owned(),
                until: None,
                emergency: false,
                keys: None,
                signed_in: false,
            };
            return page(StatusCode::OK, &template);
        }
        Err(refusal) if presented => return Ok(see_other(&format!("/login?session_expired={}", refusal.cause()))),
        Err(_) => return Ok(see_other("/login")),
    };
    let session = principal.session.as_deref();
    let (way, emergency) = match session.map(|session| session.way.as_str()) {
        Some("oidc") => ("your organisation's account", false),
        Some("breakglass") => ("an emergency account", true),
        _ => ("an API key", false),
    };
    let offered = emergency && state.breakglass.as_ref().is_some_and(|breakglass| breakglass.webauthn.is_some());
    let keys = if offered {
        let keys = cx.read(async |tx| Ok(tx.security_keys(&principal.actor.id).await?)).await?;
        Some(keys.into_iter().map(|key| key.name).collect())
    } else {
        None
    };
    let template = HomePage {
        way,
        roles: principal.roles.join(", "),
        until: session.map(|session| timestamp::to_rfc3339(session.absolute_expires_at)),
        emergency,
        keys,
        signed_in: true,
        actor: principal.actor.id,
    };
    page(StatusCode::OK, &template)
}
