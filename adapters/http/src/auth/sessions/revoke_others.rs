//! `DELETE /api/v1/auth/sessions`

use crate::edge::{ApiError, BodyDigest, Cx, QueryParams, Reply};
use actix_web::HttpResponse;
use certctl_session::Session;
use serde::Serialize;
use utoipa::ToSchema;

/// What ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedCount {
    revoked_count: usize,
}

/// Ends all of the caller's sessions but the one that asks. A caller with an API key has no such session and ends all.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions", tag = "auth",
    params(("except" = String, Query, description = "Must be `current`.")),
    responses((status = 200, body = RevokedCount)),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let except = params.text("except");
    params.finish()?;
    if except.as_deref() != Some("current") {
        return Err(ApiError::invalid("except", "invalid", "must be `current`"));
    }
    let caller = cx.caller()?;
    let current = cx.current_session().map(Session::current_id);
    cx.change(&BodyDigest::default(), async |tx| {
        let revoked_count = certctl_session::revoke_others(tx, cx.ambient(), caller, current).await?;
        Ok(Reply::ok(RevokedCount { revoked_count }))
    })
    .await
}
