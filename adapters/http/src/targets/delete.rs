//! `DELETE /api/v1/targets/{id}`

use crate::edge::{ApiError, BodyDigest, Cx, QueryParams, Reply};
use actix_web::HttpResponse;

/// Takes a target out of service.
#[utoipa::path(
    delete, path = "/api/v1/targets/{id}", tag = "targets",
    params(
        ("id" = String, Path, description = "Id of the target."),
        ("detach" = Option<bool>, Query, description = "Take it from its certificates."),
        ("force" = Option<bool>, Query, description = "Take it from its certificates and call its open jobs off."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 204, description = "Out of service."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let detach = params.flag("detach")?.unwrap_or(false);
    let force = params.flag("force")?.unwrap_or(false);
    params.finish()?;
    let (id, caller, expected) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    cx.change(&BodyDigest::default(), async |tx| {
        certctl_deployment::delete_target(tx, cx.ambient(), caller, &id, expected, detach, force).await?;
        Ok(Reply::<()>::no_content())
    })
    .await
}
