//! `POST /api/v1/approvals/{id}/reject`

use super::{DecisionInput, DecisionTaken};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;

/// Refuses a request: its job is cancelled, a profile stays as it is. Whoever asked, and keys that name no person, can't.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/reject", tag = "approvals", request_body = DecisionInput,
    params(("id" = String, Path, description = "Id of the approval request.")),
    responses(
        (status = 200, body = DecisionTaken),
        (status = 403, body = crate::edge::ErrorBody, description = "The caller may not decide this request."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<DecisionInput>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let note = body.value.note;
    cx.change(&body.digest, async |tx| {
        let decided = certctl_approval::reject(tx, cx.ambient(), caller, &id, note).await?;
        Ok(Reply::ok(DecisionTaken::from(decided)))
    })
    .await
}
