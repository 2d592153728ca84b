//! `GET /api/v1/auth/breakglass/credentials`

use super::CredentialBody;
use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Every credential.
#[derive(Serialize, ToSchema)]
pub(crate) struct CredentialList {
    credentials: Vec<CredentialBody>,
}

/// Emergency credentials with their failures and locks, by actor.
#[utoipa::path(
    get, path = "/api/v1/auth/breakglass/credentials", tag = "auth",
    responses(
        (status = 200, body = CredentialList),
        (status = 404, description = "The emergency way in is switched off.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let stored = cx.read(async |tx| Ok(certctl_breakglass::list_credentials(tx, caller).await?)).await?;
    cx.list(&CredentialList { credentials: stored.into_iter().map(Into::into).collect() })
}
