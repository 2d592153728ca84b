//! `DELETE /api/v1/profiles/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, QueryParams, Reply};
use actix_web::HttpResponse;

/// Removes a profile. While something refers to it, 409; `force=true` detaches it first.
#[utoipa::path(
    delete, path = "/api/v1/profiles/{id}", tag = "profiles",
    params(
        ("id" = String, Path, description = "Id of the profile."),
        ("force" = Option<bool>, Query, description = "Detach certificates and renewal policies first."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let force = params.flag("force")?.unwrap_or(false);
    params.finish()?;
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_profile::delete_profile(tx, caller, &id, expected, force).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
