//! `GET /api/v1/audit/tile/{level}/{index}`

use crate::edge::{ApiError, Cx};
use actix_web::{HttpRequest, HttpResponse};
use certctl_kernel::DomainError;

/// Hashes of the tree, for mirrors (C2SP tlog-tiles with the prefix `/api/v1/audit`): 256 of them, or as many as
/// `.p/<width>` after the index says. The index is written in groups of three digits, all but the last after an `x`.
#[utoipa::path(
    get, path = "/api/v1/audit/tile/{level}/{index:.*}", tag = "audit",
    params(
        ("level" = u8, Path, description = "0 for leaves, 1 for the roots of 256 leaves each, and so on."),
        ("index" = String, Path, description = "Such as `067`, `x001/234` or `067.p/8`."),
    ),
    responses((status = 200, content_type = "application/octet-stream", body = inline(crate::openapi::Octets))),
)]
pub(crate) async fn handler(cx: Cx, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let (level, index) = (request.match_info().query("level"), request.match_info().query("index"));
    let path = format!("{level}/{index}");
    let (level, index, width) =
        certctl_audit_log::tile_path(&path).ok_or_else(|| DomainError::not_found("tile", path))?;
    let octets = cx.read(async |tx| Ok(certctl_audit_log::read_tile(tx, caller, level, index, width).await?)).await?;
    // A tile never changes once it is there.
    Ok(HttpResponse::Ok()
        .insert_header(("Cache-Control", "private, max-age=31536000, immutable"))
        .content_type("application/octet-stream")
        .body(octets))
}
