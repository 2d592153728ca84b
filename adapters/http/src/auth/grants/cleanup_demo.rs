//! `POST /api/v1/auth/demo-residual/cleanup`

use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// What was taken back.
#[derive(Serialize, ToSchema)]
pub(crate) struct DemoCleanup {
    /// Grants of the demo principal.
    removed: usize,
}

/// Takes back what the demo principal holds through grants; repeating it is harmless.
#[utoipa::path(
    post, path = "/api/v1/auth/demo-residual/cleanup", tag = "auth",
    responses(
        (status = 200, body = DemoCleanup),
        (status = 503, body = crate::edge::ErrorBody, description = "The demo mode is on."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    if cx.state().access.anonymous_admin() {
        let message = "the demo mode is on; what its principal holds can't be taken back while it is";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "demo_mode", message));
    }
    cx.change(&BodyDigest::default(), async |tx| {
        let removed = certctl_rbac::remove_demo_residue(tx, cx.ambient(), caller).await?;
        Ok(Reply::ok(DemoCleanup { removed }))
    })
    .await
}
