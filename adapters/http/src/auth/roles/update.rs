//! `PUT /api/v1/auth/roles/{id}`

use super::RoleBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use crate::input::present;
use actix_web::HttpResponse;
use certctl_inventory::Patch;
use certctl_rbac::UpdateRole;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A change of a role: an absent member stays as it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = RoleChange)]
pub(crate) struct Input {
    /// Unique; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// For people; `null` clears.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    description: Patch<String>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<Value>,
    #[serde(default, rename = "tenant_id")]
    #[schema(ignore)]
    _tenant_id: Option<Value>,
    #[serde(default, rename = "system")]
    #[schema(ignore)]
    _system: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Changes a role's name and description.
#[utoipa::path(
    put, path = "/api/v1/auth/roles/{id}", tag = "auth", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the role."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = RoleBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let Input { name, description, .. } = body.value;
    let description = match description {
        Patch::Keep => None,
        Patch::Clear => Some(String::new()),
        Patch::Set(text) => Some(text),
    };
    let command = UpdateRole { id, expected_version, name: present("name", name)?, description };
    cx.change(&body.digest, async |tx| {
        let changed = certctl_rbac::update_role(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(RoleBody::from(changed)).version(updated_at, version))
    })
    .await
}
