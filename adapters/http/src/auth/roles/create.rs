//! `POST /api/v1/auth/roles`

use super::RoleBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_rbac::CreateRole;
use serde::Deserialize;
use utoipa::ToSchema;

/// A role to make.
#[derive(Deserialize, ToSchema)]
#[schema(as = RoleInput)]
pub(crate) struct Input {
    /// Unique without regard to case, up to 255 characters.
    name: String,
    /// For people.
    #[serde(default)]
    description: Option<String>,
    /// A role whose permissions it starts with, such as `r-viewer`; the caller must hold all of them.
    #[serde(default)]
    clone_of: Option<String>,
}

/// Makes a role, empty or as a clone of another.
#[utoipa::path(
    post, path = "/api/v1/auth/roles", tag = "auth", request_body = Input,
    responses(
        (status = 201, body = RoleBody),
        (status = 404, body = crate::edge::ErrorBody, description = "There is no role to clone of this id."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let Input { name, description, clone_of } = body.value;
    let command = CreateRole { name, description: description.unwrap_or_default(), clone_of };
    cx.change(&body.digest, async |tx| {
        let made = certctl_rbac::create_role(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(RoleBody::from(made)).version(updated_at, version))
    })
    .await
}
