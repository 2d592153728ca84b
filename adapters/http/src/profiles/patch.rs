//! `PATCH /api/v1/profiles/{id}`

use super::ProfileBody;
use super::update::{Input, change};
use crate::approvals::AwaitsApproval;
use crate::edge::{ApiError, Cx, JsonBody};
use actix_web::HttpResponse;

/// Changes the members of a profile that are given; `null` clears one. One that demands approval, or is to demand it, is
/// changed when a second person granted the change (202).
#[utoipa::path(
    patch, path = "/api/v1/profiles/{id}", tag = "profiles", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the profile."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = ProfileBody),
        (status = 202, body = AwaitsApproval, description = "A second person must grant the change first."),
        (status = 409, body = crate::edge::ErrorBody, description = "The name is in use, or another change waits for a decision."),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    change(&cx, body).await
}
