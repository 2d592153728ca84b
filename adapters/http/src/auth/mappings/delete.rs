//! `DELETE /api/v1/auth/oidc/group-mappings/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;

/// Removes a mapping. Roles that nothing gives any more end at once.
#[utoipa::path(
    delete, path = "/api/v1/auth/oidc/group-mappings/{id}", tag = "auth",
    params(
        ("id" = String, Path, description = "Id of the mapping."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 409, body = crate::edge::ErrorBody, description = "No administrator would be left."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_oidc::remove_mapping(tx, cx.ambient(), caller, &id, expected).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
