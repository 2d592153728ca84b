//! `POST /api/v1/auth/keys/{id}/roles`

use super::GrantInput;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_kernel::{Actor, ActorType};

/// Gives a role to the caller behind an API key; the same grant again changes nothing but its end.
#[utoipa::path(
    post, path = "/api/v1/auth/keys/{id}/roles", tag = "auth", request_body = GrantInput,
    params(("id" = String, Path, description = "Name of the key.")),
    responses((status = 204, description = "The role is granted.")),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<GrantInput>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let command = body.value.command(Actor::new(cx.path("id")?, ActorType::APIKey))?;
    cx.change(&body.digest, async |tx| {
        certctl_rbac::grant_role(tx, cx.ambient(), caller, command).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
