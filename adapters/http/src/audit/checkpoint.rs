//! `GET /api/v1/audit/checkpoint`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// The signed head of the log: a C2SP checkpoint. Keep one elsewhere, and later changes of the trail before it show.
#[utoipa::path(
    get, path = "/api/v1/audit/checkpoint", tag = "audit",
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 404, description = "No head was signed yet.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let latest = cx.read(async |tx| Ok(certctl_audit_log::latest_checkpoint(tx, caller).await?)).await?;
    Ok(super::note(latest.note))
}
