//! `POST /api/v1/approvals/{id}/approve`

use super::{DecisionInput, DecisionTaken};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;

/// Grants a request: its job goes on, or the profile is changed, in the same transaction. Whoever asked, and keys that name
/// no person, can't.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/approve", tag = "approvals", request_body = DecisionInput,
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
        let decided =
            certctl_approval::approve(tx, cx.ambient(), &cx.state().settings.approvals, caller, &id, note).await?;
        Ok(Reply::ok(DecisionTaken::from(decided)))
    })
    .await
}
