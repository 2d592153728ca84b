//! `GET /api/v1/audit/{id}`

use super::AuditEventBody;
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use certctl_kernel::DomainError;

/// One event, by its own id.
#[utoipa::path(
    get, path = "/api/v1/audit/{id}", tag = "audit",
    params(("id" = String, Path, description = "Id of the event.")),
    responses((status = 200, body = AuditEventBody)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let id = cx.path("id")?;
    let found = cx.read(async |tx| Ok(tx.audit_event(&id).await?)).await?;
    let record = found.ok_or_else(|| DomainError::not_found("audit event", id))?;
    cx.object(&Reply::ok(AuditEventBody::from(record)))
}
