//! Renewal policies: when a certificate is renewed, and who hears of it.

use certctl_kernel::{Id, Timestamp};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Days before the end at which alerts go out unless the policy says otherwise.
pub const DEFAULT_THRESHOLDS: [i32; 4] = [30, 14, 7, 0];

/// When and how certificates are renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewalPolicy {
    /// `rp-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Unique name.
    pub name: String,
    /// Days before the end at which renewal begins.
    pub renewal_window_days: i32,
    /// Whether renewal starts by itself.
    pub auto_renew: bool,
    /// Further attempts after a failure.
    pub max_retries: i32,
    /// Seconds between attempts.
    pub retry_interval_seconds: i32,
    /// Days before the end at which alerts go out.
    pub alert_thresholds_days: Vec<i32>,
    /// Channels by severity tier.
    pub alert_channels: BTreeMap<String, Vec<String>>,
    /// Severity tier by threshold in days, as text.
    pub alert_severity_map: BTreeMap<String, String>,
    /// The profile it was made for.
    pub certificate_profile_id: Option<Id>,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Filters of the renewal policy list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PolicyFilter {
    /// Part of the id or name, without regard to case.
    pub q: Option<String>,
}

impl PolicyFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("renewal-policies", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
