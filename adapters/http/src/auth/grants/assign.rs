//! `POST /api/v1/auth/actors/{type}/{id}/roles`

use super::{GrantBody, GrantInput, actor_in};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;

/// Gives a role to a principal of any kind; the same grant again changes nothing but its end.
#[utoipa::path(
    post, path = "/api/v1/auth/actors/{type}/{id}/roles", tag = "auth", request_body = GrantInput,
    params(
        ("type" = String, Path, description = "`User`, `Agent` or `APIKey`."),
        ("id" = String, Path, description = "Id of the principal."),
    ),
    responses((status = 201, body = GrantBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<GrantInput>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let command = body.value.command(actor_in(&cx)?)?;
    cx.change(&body.digest, async |tx| {
        let grant = certctl_rbac::grant_role(tx, cx.ambient(), caller, command).await?;
        Ok(Reply::created(GrantBody::new(grant, cx.ambient().now())))
    })
    .await
}
