//! `GET /api/v1/auth/info`

use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// How to sign in here.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuthInfo {
    /// `api-key`, `oidc` or `none`.
    auth_type: &'static str,
    /// Whether this client must sign in first: false with a session that is good, or where nobody must.
    required: bool,
}

/// How clients sign in.
#[utoipa::path(get, path = "/api/v1/auth/info", tag = "auth", responses((status = 200, body = AuthInfo)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let auth_type = cx.state().settings.auth_type;
    let signed_in = cx.presented_session().await?.is_ok();
    cx.object(&Reply::ok(AuthInfo { auth_type, required: auth_type != "none" && !signed_in }))
}
