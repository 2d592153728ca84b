//! `POST /api/v1/audit/checkpoint`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;

/// Seals what waits and signs the head of the log now; a body is ignored. Gives the latest head when nothing was added
/// since.
#[utoipa::path(
    post, path = "/api/v1/audit/checkpoint", tag = "audit",
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 404, description = "The log is empty.", body = crate::edge::ErrorBody),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (caller, log) = (cx.caller()?, cx.state().log()?);
    let mut unit = cx.state().db.begin().await?;
    let signed = match certctl_audit_log::request_checkpoint(unit.stores(), cx.ambient(), caller, log).await {
        Ok(signed) => signed,
        Err(error) => {
            unit.discard().await?;
            return Err(error.into());
        }
    };
    unit.save_unaudited("a head is itself the record of what was sealed").await?;
    log.keep(&signed).await.map_err(|error| ApiError::internal(&error.to_string()))?;
    Ok(super::note(signed.note))
}
