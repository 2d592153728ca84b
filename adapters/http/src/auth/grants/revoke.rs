//! `DELETE /api/v1/auth/actors/{type}/{id}/roles/{role_id}`

use super::{actor_in, revoke};
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;

/// Takes a role back from a principal of any kind.
#[utoipa::path(
    delete, path = "/api/v1/auth/actors/{type}/{id}/roles/{role_id}", tag = "auth",
    params(
        ("type" = String, Path, description = "`User`, `Agent` or `APIKey`."),
        ("id" = String, Path, description = "Id of the principal."),
        ("role_id" = String, Path, description = "Id of the role, or a default role's short name."),
        ("scope_type" = Option<String>, Query, description = "This grant only; left out, those of every scope."),
        ("scope_id" = Option<String>, Query, description = "Id of the profile or issuer."),
    ),
    responses((status = 204, description = "The role is no longer granted.")),
)]
pub(crate) async fn handler(cx: Cx, params: QueryParams) -> Result<HttpResponse, ApiError> {
    let actor = actor_in(&cx)?;
    revoke(&cx, params, actor).await
}
