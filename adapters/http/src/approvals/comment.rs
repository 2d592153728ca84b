//! `POST /api/v1/approvals/{id}/comments`

use super::CommentBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use serde::Deserialize;
use utoipa::ToSchema;

/// A remark.
#[derive(Deserialize, ToSchema)]
#[schema(as = ApprovalCommentInput)]
pub(crate) struct Input {
    /// No control characters other than line breaks and tabs, and not blank.
    #[schema(min_length = 1, max_length = 2000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    text: String,
}

/// Adds a remark: by who asked, or by who may decide.
#[utoipa::path(
    post, path = "/api/v1/approvals/{id}/comments", tag = "approvals", request_body = Input,
    params(("id" = String, Path, description = "Id of the approval request.")),
    responses(
        (status = 201, body = CommentBody),
        (status = 403, body = crate::edge::ErrorBody, description = "The caller neither asked nor may decide."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let text = body.value.text;
    cx.change(&body.digest, async |tx| {
        let comment = certctl_approval::comment(tx, cx.ambient(), caller, &id, text).await?;
        Ok(Reply::created(CommentBody::from(comment)))
    })
    .await
}
