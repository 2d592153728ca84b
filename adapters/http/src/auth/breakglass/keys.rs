//! `GET /api/v1/auth/breakglass/webauthn/keys`

use super::SecurityKeyBody;
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Security keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecurityKeyList {
    keys: Vec<SecurityKeyBody>,
}

/// The caller's security keys, or those of another person, for which `auth.breakglass.admin` is needed.
#[utoipa::path(
    get, path = "/api/v1/auth/breakglass/webauthn/keys", tag = "auth",
    params(("actor_id" = Option<String>, Query, description = "Whose keys; the caller's when left out.")),
    responses(
        (status = 200, body = SecurityKeyList),
        (status = 404, description = "The emergency way in is switched off.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let actor_id = params.text("actor_id");
    params.finish()?;
    let keys = cx.read(async |tx| Ok(certctl_breakglass::list_keys(tx, caller, actor_id.as_deref()).await?)).await?;
    cx.list(&SecurityKeyList { keys: keys.into_iter().map(Into::into).collect() })
}
