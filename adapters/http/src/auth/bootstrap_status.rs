//! `GET /api/v1/auth/bootstrap`

use super::Bootstrap;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the bootstrap token would work now.
#[derive(Serialize, ToSchema)]
pub(crate) struct BootstrapStatus {
    available: bool,
}

/// Whether the first administrator can be made; says no more than that.
#[utoipa::path(get, path = "/api/v1/auth/bootstrap", tag = "auth", responses((status = 200, body = BootstrapStatus)))]
pub(crate) async fn handler(cx: Cx, bootstrap: Option<web::Data<Bootstrap>>) -> Result<HttpResponse, ApiError> {
    let token = bootstrap.as_ref().and_then(|bootstrap| bootstrap.token());
    let looked = cx.read(async |tx| Ok(certctl_bootstrap::available(tx, token, cx.ambient().now()).await)).await;
    cx.object(&Reply::ok(BootstrapStatus { available: looked.unwrap_or(false) }))
}
