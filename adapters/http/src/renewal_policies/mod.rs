//! Renewal policys.

use crate::edge::{Gate, Route};
use certctl_inventory::RenewalPolicy;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

mod create;
mod delete;
mod get;
mod list;
mod update;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::PolicyRead), list),
        crate::route!(Gate::Permission(Permission::PolicyEdit), create),
        crate::route!(Gate::Permission(Permission::PolicyRead), get),
        crate::route!(Gate::Permission(Permission::PolicyEdit), update),
        crate::route!(Gate::Permission(Permission::PolicyDelete), delete),
    ]
}

/// When certificates are renewed, and who hears of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RenewalPolicy)]
pub(crate) struct RenewalPolicyBody {
    id: String,
    name: String,
    /// Days before the end at which renewal begins.
    renewal_window_days: i32,
    auto_renew: bool,
    max_retries: i32,
    retry_interval_seconds: i32,
    alert_thresholds_days: Vec<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    certificate_profile_id: Option<String>,
    /// Channels by tier; absent, every tier goes to `Email`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    alert_channels: BTreeMap<String, Vec<String>>,
    /// Tier by days before the end.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    alert_severity_map: BTreeMap<String, String>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<RenewalPolicy> for RenewalPolicyBody {
    fn from(policy: RenewalPolicy) -> Self {
        Self {
            id: policy.id,
            name: policy.name,
            renewal_window_days: policy.renewal_window_days,
            auto_renew: policy.auto_renew,
            max_retries: policy.max_retries,
            retry_interval_seconds: policy.retry_interval_seconds,
            alert_thresholds_days: policy.alert_thresholds_days,
            certificate_profile_id: policy.certificate_profile_id,
            alert_channels: policy.alert_channels,
            alert_severity_map: policy.alert_severity_map,
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        }
    }
}
