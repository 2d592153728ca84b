//! `PUT /api/v1/renewal-policies/{id}`

use super::RenewalPolicyBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use crate::input::present;
use actix_web::HttpResponse;
use certctl_inventory::{Patch, UpdateRenewalPolicy};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A change of a renewal policy: an absent member stays as it is, `null` clears.
#[derive(Deserialize, ToSchema)]
#[schema(as = RenewalPolicyChange)]
pub(crate) struct Input {
    /// Unique; empty means unchanged.
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    /// Days before the end at which renewal begins, 1 to 365.
    #[serde(default)]
    #[schema(value_type = i32, required = false, minimum = 1, maximum = 365)]
    renewal_window_days: Patch<i32>,
    /// Whether renewal starts by itself.
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    auto_renew: Patch<bool>,
    /// Further attempts after a failure, 0 to 10.
    #[serde(default)]
    #[schema(value_type = i32, required = false, minimum = 0, maximum = 10)]
    max_retries: Patch<i32>,
    /// Pause between attempts, 60 to 86400.
    #[serde(default)]
    #[schema(value_type = i32, required = false, minimum = 60, maximum = 86400)]
    retry_interval_seconds: Patch<i32>,
    /// Days before the end at which alerts go out.
    #[serde(default)]
    #[schema(value_type = Option<Vec<i32>>)]
    alert_thresholds_days: Patch<Vec<i32>>,
    /// Channels by tier.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, Vec<String>>>)]
    alert_channels: Patch<BTreeMap<String, Vec<String>>>,
    /// Tier by days before the end.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    alert_severity_map: Patch<BTreeMap<String, String>>,
    /// The profile it is made for.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    certificate_profile_id: Patch<String>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Changes a renewal policy.
#[utoipa::path(
    put, path = "/api/v1/renewal-policies/{id}", tag = "renewal-policies", request_body = Input,
    params(
        ("id" = String, Path, description = "Id of the renewal policy."),
        ("If-Match" = Option<String>, Header, description = "The ETag last seen."),
    ),
    responses(
        (status = 200, body = RenewalPolicyBody),
        (status = 412, body = crate::edge::ErrorBody, description = "It changed since it was read."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller, expected_version) = (cx.path("id")?, cx.caller()?, cx.expected_version()?);
    let input = body.value;
    let command = UpdateRenewalPolicy {
        id,
        expected_version,
        name: present("name", input.name)?,
        renewal_window_days: present("renewal_window_days", input.renewal_window_days)?,
        auto_renew: present("auto_renew", input.auto_renew)?,
        max_retries: present("max_retries", input.max_retries)?,
        retry_interval_seconds: present("retry_interval_seconds", input.retry_interval_seconds)?,
        alert_thresholds_days: input.alert_thresholds_days,
        alert_channels: input.alert_channels,
        alert_severity_map: input.alert_severity_map,
        certificate_profile_id: input.certificate_profile_id,
    };
    cx.change(&body.digest, async |tx| {
        let changed = certctl_inventory::update_renewal_policy(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (changed.updated_at, changed.row_version);
        Ok(Reply::ok(RenewalPolicyBody::from(changed)).version(updated_at, version))
    })
    .await
}
