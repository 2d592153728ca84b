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
    /// 1 to 2000 characters.
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
