//! `GET /api/v1/approvals/{id}`

use super::{ApprovalBody, CommentBody};
use crate::edge::{ApiError, Cx, Reply};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// An approval request with what was said about it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalDetail {
    #[serde(flatten)]
    approval: ApprovalBody,
    /// Oldest first.
    comments: Vec<CommentBody>,
}

/// One request with its comments.
#[utoipa::path(
    get, path = "/api/v1/approvals/{id}", tag = "approvals",
    params(("id" = String, Path, description = "Id of the approval request.")),
    responses((status = 200, body = ApprovalDetail)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    let (request, comments) = cx.read(async |tx| Ok(certctl_approval::get_approval(tx, caller, &id).await?)).await?;
    let comments = comments.into_iter().map(CommentBody::from).collect();
    cx.object(&Reply::ok(ApprovalDetail { approval: ApprovalBody::from(request), comments }))
}
