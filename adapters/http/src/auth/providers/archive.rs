//! `POST /api/v1/auth/oidc/providers/{id}/archive`

use super::{ProviderBody, sealer};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use serde::Deserialize;
use utoipa::ToSchema;

/// Nothing needs to be said.
#[derive(Deserialize, ToSchema)]
#[schema(as = OIDCProviderArchiveInput)]
pub(crate) struct Input {}

/// Takes a provider out of use for good: it must be disabled, without live sessions, and its people purged. Its row
/// stays, so that they stay known; its secret and mappings go, and its name is free again.
#[utoipa::path(
    post, path = "/api/v1/auth/oidc/providers/{id}/archive", tag = "auth", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the provider."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = ProviderBody),
        (status = 409, body = crate::edge::ErrorBody, description = "Something is left to do first; the message says what."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let sealer = sealer(&cx)?;
    cx.change(&body.digest, async |tx| {
        let gone = certctl_oidc::archive_provider(tx, cx.ambient(), sealer, caller, &id, expected).await?;
        let (updated_at, version) = (gone.updated_at, gone.row_version);
        Ok(Reply::ok(ProviderBody::from(gone)).version(updated_at, version))
    })
    .await
}
