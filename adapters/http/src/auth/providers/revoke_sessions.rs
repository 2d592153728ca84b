//! `DELETE /api/v1/auth/oidc/providers/{id}/sessions`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// How many ended.
#[derive(Serialize, ToSchema)]
#[schema(as = OIDCProviderSessionsRevoked)]
pub(crate) struct Revoked {
    revoked_count: u64,
}

/// Ends every session that began with a sign-in through the provider.
#[utoipa::path(
    delete, path = "/api/v1/auth/oidc/providers/{id}/sessions", tag = "auth",
    params(("id" = String, Path, description = "Id of the provider.")),
    responses((status = 200, body = Revoked)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    cx.change(&BodyDigest::default(), async |tx| {
        let revoked_count = certctl_oidc::revoke_provider_sessions(tx, cx.ambient(), caller, &id).await?;
        Ok(Reply::ok(Revoked { revoked_count }))
    })
    .await
}
