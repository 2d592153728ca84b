//! `GET /api/v1/auth/actors/{type}/{id}/roles`

use super::{ActorGrants, actor_in};
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// Grants of a principal. Everybody may see its own; those of others need `auth.key.list`.
#[utoipa::path(
    get, path = "/api/v1/auth/actors/{type}/{id}/roles", tag = "auth",
    params(
        ("type" = String, Path, description = "`User`, `Agent` or `APIKey`."),
        ("id" = String, Path, description = "Id of the principal."),
    ),
    responses(
        (status = 200, body = ActorGrants),
        (status = 304, description = "Nothing changed."),
        (status = 403, body = crate::edge::ErrorBody, description = "Another principal's, without `auth.key.list`."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (actor, caller) = (actor_in(&cx)?, cx.caller()?);
    let grants = cx.read(async |tx| Ok(certctl_rbac::list_grants(tx, caller, &actor).await?)).await?;
    cx.list(&ActorGrants::new(actor, grants, cx.ambient().now()))
}
