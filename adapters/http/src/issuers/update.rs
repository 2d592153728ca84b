//! `PUT /api/v1/issuers/{id}`

use super::IssuerBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use crate::input::present;
use actix_web::HttpResponse;
use certctl_inventory::{Patch, UpdateIssuer};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A change of a issuer: an absent member stays as it is, `null` clears.
#[derive(Deserialize, ToSchema)]
#[schema(as = IssuerChange)]
pub(crate) struct Input {
    /// Unique; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// Must be the present type; it never changes.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    r#type: Patch<String>,
    /// The whole configuration; `null` means the defaults.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    config: Patch<Value>,
    /// Whether it signs.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    enabled: Patch<bool>,
    /// `single`.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    hierarchy_mode: Patch<String>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
    #[serde(default, rename = "last_tested_at")]
    #[schema(ignore)]
    _last_tested_at: Option<Value>,
    #[serde(default, rename = "test_status")]
    #[schema(ignore)]
    _test_status: Option<Value>,
    #[serde(default, rename = "source")]
    #[schema(ignore)]
    _source: Option<Value>,
}

/// Changes a issuer.
#[utoipa::path(
    put, path = "/api/v1/issuers/{id}", tag = "issuers", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the issuer."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = IssuerBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let input = body.value;
    let command = UpdateIssuer {
        id,
        expected_version,
        name: present("name", input.name)?,
        kind: present("type", input.r#type)?,
        config: input.config,
        enabled: present("enabled", input.enabled)?,
        hierarchy_mode: present("hierarchy_mode", input.hierarchy_mode)?,
    };
    cx.change(&body.digest, async |tx| {
        let changed = certctl_inventory::update_issuer(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(IssuerBody::from(changed)).version(updated_at, version))
    })
    .await
}
