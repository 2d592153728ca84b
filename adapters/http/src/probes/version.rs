//! `GET /api/v1/version`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// What runs here.
#[derive(Serialize, ToSchema)]
pub(crate) struct BuildInfo {
    version: &'static str,
    commit: &'static str,
    modified: bool,
    build_time: &'static str,
    /// Kept for existing clients; names the compiler.
    go_version: &'static str,
    runtime: &'static str,
}

/// The version and commit of the binary.
#[utoipa::path(get, path = "/api/v1/version", tag = "probes", responses((status = 200, body = BuildInfo)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let settings = &cx.state().settings;
    Ok(HttpResponse::Ok().json(BuildInfo {
        version: settings.version,
        commit: settings.commit,
        modified: settings.commit.ends_with("-dirty"),
        build_time: "",
        go_version: "",
        runtime: settings.compiler,
    }))
}
