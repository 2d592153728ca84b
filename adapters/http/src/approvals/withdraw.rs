//! `POST /api/v1/approvals/{id}/withdraw`

use super::{DecisionInput, DecisionTaken};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;

/// Takes a request back; only the person who asked can. Its job is cancelled.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/withdraw", tag = "approvals", request_body = DecisionInput,
    params(("id" = String, Path, description = "Id of the approval request.")),
    responses(
        (status = 200, body = DecisionTaken),
        (status = 403, body = crate::edge::ErrorBody, description = "Somebody else asked for it."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<DecisionInput>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let note = body.value.note;
    cx.change(&body.digest, async |tx| {
        let decided = certctl_approval::withdraw(tx, cx.ambient(), caller, &id, note).await?;
        Ok(Reply::ok(DecisionTaken::from(decided)))
    })
    .await
}
