//! `PATCH /api/v1/auth/oidc/providers/{id}`

use super::input::Change;
use super::{ProviderBody, edit};
use crate::edge::{ApiError, Cx, JsonBody, QueryParams};
use actix_web::HttpResponse;

/// Changes some of a provider, as switching it off and on.
#[utoipa::path(
    patch, path = "/api/v1/auth/oidc/providers/{id}", tag = "auth", request_body = Change,
    params(
        ("id" = String, Path, description = "Id of the provider."),
        ("skip_check" = Option<bool>, Query, description = "Keeps another issuer or certificates without asking it."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = ProviderBody),
        (status = 409, body = crate::edge::ErrorBody, description = "The name is taken, the provider is archived, or its issuer is in use."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, params: QueryParams, body: JsonBody<Change>) -> Result<HttpResponse, ApiError> {
    edit(&cx, params, &body.digest, body.value.settings()?).await
}
