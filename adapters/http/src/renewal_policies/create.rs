//! `POST /api/v1/renewal-policies`

use super::RenewalPolicyBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_inventory::CreateRenewalPolicy;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A renewal policy to create.
#[derive(Deserialize, ToSchema)]
#[schema(as = RenewalPolicyInput)]
pub(crate) struct Input {
    /// An id of your choice; absent, `rp-` and the name.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]
    id: Option<String>,
    /// Unique, up to 255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// Days before the end at which renewal begins, 1 to 365.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 365)]
    renewal_window_days: Option<i32>,
    /// Whether renewal starts by itself.
    #[serde(default)]
    auto_renew: Option<bool>,
    /// Further attempts after a failure, 0 to 10.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10)]
    max_retries: Option<i32>,
    /// Pause between attempts, 60 to 86400.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 86400)]
    retry_interval_seconds: Option<i32>,
    /// Days before the end at which alerts go out.
    #[serde(default)]
    #[schema(max_items = 32)]
    alert_thresholds_days: Option<Vec<i32>>,
    /// Channels by tier.
    #[serde(default)]
    alert_channels: Option<BTreeMap<String, Vec<String>>>,
    /// Tier by days before the end.
    #[serde(default)]
    alert_severity_map: Option<BTreeMap<String, String>>,
    /// The profile it is made for.
    #[serde(default)]
    certificate_profile_id: Option<String>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Creates a renewal policy.
#[utoipa::path(
    post, path = "/api/v1/renewal-policies", tag = "renewal-policies", request_body = Input,
    responses((status = 201, body = RenewalPolicyBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let input = body.value;
    let command = CreateRenewalPolicy {
        id: input.id,
        name: input.name,
        renewal_window_days: input.renewal_window_days,
        auto_renew: input.auto_renew,
        max_retries: input.max_retries,
        retry_interval_seconds: input.retry_interval_seconds,
        alert_thresholds_days: input.alert_thresholds_days,
        alert_channels: input.alert_channels.unwrap_or_default(),
        alert_severity_map: input.alert_severity_map.unwrap_or_default(),
        certificate_profile_id: input.certificate_profile_id,
    };
    cx.change(&body.digest, async |tx| {
        let made = certctl_inventory::create_renewal_policy(tx, cx.ambient(), caller, command).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(RenewalPolicyBody::from(made)).version(updated_at, version))
    })
    .await
}
