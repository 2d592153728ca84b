//! `GET /api/v1/auth/sessions`

use super::SessionBody;
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use certctl_kernel::{Actor, ActorType};
use certctl_session::{Session, SessionFilter, Whose, list_sessions};
use serde::Serialize;
use utoipa::ToSchema;

/// Live sessions, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionList {
    sessions: Vec<SessionBody>,
    /// How many there are over all pages.
    total: i64,
    /// Where the next page starts, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

/// Live sessions, newest first: the caller's own, or, with `auth.session.list.all`, another actor's or everybody's.
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", tag = "auth",
    params(
        ("actor_id" = Option<String>, Query, description = "Whose; `*` is everybody's. The caller's own when left out."),
        ("actor_type" = Option<String>, Query, description = "`User` or `APIKey`; the caller's own kind when left out."),
        ("provider_id" = Option<String>, Query, description = "Of people whom this provider vouched for."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "Position from `next_cursor`."),
    ),
    responses((status = 200, body = SessionList)),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let actor_id = params.text("actor_id");
    let kind = match params.text("actor_type") {
        None => caller.context.actor.kind,
        Some(text) => ActorType::parse(&text)
            .ok_or_else(|| ApiError::invalid("actor_type", "unknown_value", "must be User or APIKey"))?,
    };
    let filter = SessionFilter { provider_id: params.text("provider_id"), ..SessionFilter::default() };
    let whose = match actor_id.as_deref() {
        None if filter.provider_id.is_some() => Whose::All,
        None => Whose::Own,
        Some("*") => Whose::All,
        Some(id) => Whose::Of(Actor::new(id, kind)),
    };
    let list = params.list(&format!("sessions {whose:?} {filter:?}"))?;
    params.finish()?;
    let settings = &cx.state().sessions()?.settings;
    let ambient = cx.ambient();
    let page =
        cx.read(async |tx| Ok(list_sessions(tx, ambient, caller, settings, whose, filter, &list).await?)).await?;
    let current = cx.current_session().map(Session::current_id);
    cx.list(&SessionList {
        sessions: page.rows.into_iter().map(|session| SessionBody::new(session, settings, current)).collect(),
        total: page.total,
        next_cursor: page.next.map(|cursor| cursor.encode()),
    })
}
