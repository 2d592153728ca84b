//! `DELETE /api/v1/auth/keys/{id}/roles/{role_id}`

use super::revoke;
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use certctl_kernel::{Actor, ActorType};

/// Takes a role back from the caller behind an API key.
#[utoipa::path(
    delete, path = "/api/v1/auth/keys/{id}/roles/{role_id}", tag = "auth",
    params(
        ("id" = String, Path, description = "Name of the key."),
        ("role_id" = String, Path, description = "Id of the role, or a default role's short name."),
        ("scope_type" = Option<String>, Query, description = "This grant only; left out, those of every scope."),
        ("scope_id" = Option<String>, Query, description = "Id of the profile or issuer."),
    ),
    responses((status = 204, description = "The role is no longer granted.")),
)]
pub(crate) async fn handler(cx: Cx, params: QueryParams) -> Result<HttpResponse, ApiError> {
    let actor = Actor::new(cx.path("id")?, ActorType::APIKey);
    revoke(&cx, params, actor).await
}
