//! Use cases of renewal policies.

use crate::rules::{Broken, Changes, check_version, chosen, refuse_if_used, set_unless_empty};
use crate::{DEFAULT_THRESHOLDS, Patch, PolicyFilter, RenewalPolicy, RenewalPolicyStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{DEFAULT_TENANT, DomainError, ListQuery, Page, StoreError};
use certctl_ports::Ambient;
use certctl_rbac::{Caller, Permission};
use serde_json::json;
use std::collections::BTreeMap;

const TIERS: [&str; 3] = ["informational", "warning", "critical"];
const CHANNELS: [&str; 6] = ["Email", "Webhook", "Slack", "Teams", "PagerDuty", "OpsGenie"];
/// Suffixes tried when the id made from the name is taken.
const MOST_SUFFIXES: u32 = 10;

/// A policy to create; what is left out takes its default.
#[derive(Debug, Clone, Default)]
pub struct CreateRenewalPolicy {
    /// An id of the caller's choice.
    pub id: Option<String>,
    /// Name.
    pub name: String,
    /// 1 to 365; default 30.
    pub renewal_window_days: Option<i32>,
    /// Default true.
    pub auto_renew: Option<bool>,
    /// 0 to 10; default 3.
    pub max_retries: Option<i32>,
    /// 60 to 86400; default 3600.
    pub retry_interval_seconds: Option<i32>,
    /// Each 0 to 365; default [`DEFAULT_THRESHOLDS`].
    pub alert_thresholds_days: Option<Vec<i32>>,
    /// Channels by tier.
    pub alert_channels: BTreeMap<String, Vec<String>>,
    /// Tier by days.
    pub alert_severity_map: BTreeMap<String, String>,
    /// The profile it is made for.
    pub certificate_profile_id: Option<String>,
}

/// A change of a policy.
#[derive(Debug, Clone, Default)]
pub struct UpdateRenewalPolicy {
    /// Which.
    pub id: String,
    /// The row version that the caller has seen.
    pub expected_version: Option<i64>,
    /// New name.
    pub name: Option<String>,
    /// New window.
    pub renewal_window_days: Option<i32>,
    /// Whether renewal starts by itself.
    pub auto_renew: Option<bool>,
    /// New number of further attempts.
    pub max_retries: Option<i32>,
    /// New pause between attempts.
    pub retry_interval_seconds: Option<i32>,
    /// New thresholds; cleared, the default.
    pub alert_thresholds_days: Patch<Vec<i32>>,
    /// New channels.
    pub alert_channels: Patch<BTreeMap<String, Vec<String>>>,
    /// New severities.
    pub alert_severity_map: Patch<BTreeMap<String, String>>,
    /// New profile.
    pub certificate_profile_id: Patch<String>,
}

/// The id of a policy that was given none: `rp-` and the name in lower case with `-` for blanks and nothing but
/// `[a-z0-9-]`, at most 64 characters of it.
pub(crate) fn slug(name: &str) -> String {
    let kept: String = name
        .trim()
        .to_lowercase()
        .chars()
        .map(|c| if c == ' ' { '-' } else { c })
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
        .collect();
    let trimmed = kept.trim_matches('-');
    let cut = trimmed.get(..trimmed.len().min(64)).unwrap_or(trimmed);
    format!("rp-{}", if cut.is_empty() { "policy" } else { cut })
}

fn check(policy: &RenewalPolicy) -> Result<(), DomainError> {
    let mut broken = Broken::default();
    broken.check_name("name", &policy.name);
    let ranges = [
        ("renewal_window_days", policy.renewal_window_days, 1..=365),
        ("max_retries", policy.max_retries, 0..=10),
        ("retry_interval_seconds", policy.retry_interval_seconds, 60..=86_400),
    ];
    for (field, value, range) in ranges {
        if !range.contains(&value) {
            broken.add(field, "out_of_range", format!("must be {} to {}", range.start(), range.end()));
        }
    }
    if policy.alert_thresholds_days.len() > 32 {
        broken.add("alert_thresholds_days", "too_many", "must have at most 32 entries");
    }
    for (at, days) in policy.alert_thresholds_days.iter().enumerate() {
        if !(0..=365).contains(days) {
            broken.add(&format!("alert_thresholds_days[{at}]"), "out_of_range", "must be 0 to 365");
        }
    }
    for (tier, channels) in &policy.alert_channels {
        let field = format!("alert_channels.{tier}");
        if !TIERS.contains(&tier.as_str()) {
            broken.add(&field, "unknown_value", format!("is not a tier; tiers are {}", TIERS.join(", ")));
        }
        for channel in channels.iter().filter(|channel| !CHANNELS.contains(&channel.as_str())) {
            let message = format!("{channel} is not a channel; channels are {}", CHANNELS.join(", "));
            broken.add(&field, "unknown_value", message);
        }
    }
    for (days, tier) in &policy.alert_severity_map {
        let field = format!("alert_severity_map.{days}");
        let canonical = days.parse::<u32>().is_ok_and(|n| n <= 365 && n.to_string() == *days);
        if !canonical {
            broken.add(&field, "out_of_range", "is not a number of days from 0 to 365");
        }
        if !TIERS.contains(&tier.as_str()) {
            broken.add(&field, "unknown_value", format!("must be one of {}", TIERS.join(", ")));
        }
    }
    broken.check_optional_reference("certificate_profile_id", policy.certificate_profile_id.as_ref());
    broken.settle()
}

/// Creates a policy.
pub async fn create_renewal_policy(
    tx: &mut (impl RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: CreateRenewalPolicy,
) -> Result<RenewalPolicy, DomainError> {
    caller.require(Permission::PolicyEdit, &[])?;
    let chosen_id = chosen(command.id);
    let mut broken = Broken::default();
    broken.check_id(chosen_id.as_ref());
    broken.settle()?;
    let now = ambient.now();
    let name = command.name.trim().to_owned();
    let base = chosen_id.clone().unwrap_or_else(|| slug(&name));
    let mut policy = RenewalPolicy {
        id: base.clone(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        name,
        renewal_window_days: command.renewal_window_days.unwrap_or(30),
        auto_renew: command.auto_renew.unwrap_or(true),
        max_retries: command.max_retries.unwrap_or(3),
        retry_interval_seconds: command.retry_interval_seconds.unwrap_or(3600),
        alert_thresholds_days: command.alert_thresholds_days.unwrap_or_else(|| DEFAULT_THRESHOLDS.to_vec()),
        alert_channels: command.alert_channels,
        alert_severity_map: command.alert_severity_map,
        certificate_profile_id: command.certificate_profile_id.filter(|id| !id.is_empty()),
        row_version: 1,
        created_at: now,
        updated_at: now,
    };
    check(&policy)?;
    let most = if chosen_id.is_some() { 1 } else { MOST_SUFFIXES };
    let mut stored = false;
    for number in 1..=most {
        if number > 1 {
            policy.id = format!("{base}-{number}");
        }
        stored = tx.insert_renewal_policy(&policy).await?;
        if stored {
            break;
        }
    }
    if !stored {
        return Err(StoreError::Duplicate { field: "id".to_owned(), existing_id: Some(base) }.into());
    }
    let details = json!({"name": policy.name, "renewal_window_days": policy.renewal_window_days});
    tx.record(AuditEvent::new(Action::CreateRenewalPolicy, &caller.context, &policy.id, details)).await?;
    Ok(policy)
}

/// The policy with this id.
pub async fn get_renewal_policy(
    tx: &mut (impl RenewalPolicyStore + ?Sized),
    caller: &Caller,
    id: &str,
) -> Result<RenewalPolicy, DomainError> {
    caller.require(Permission::PolicyRead, &[])?;
    tx.renewal_policy(id).await?.ok_or_else(|| DomainError::not_found("renewal policy", id))
}

/// One page of policies, by name.
pub async fn list_renewal_policies(
    tx: &mut (impl RenewalPolicyStore + ?Sized),
    caller: &Caller,
    filter: &PolicyFilter,
    list: &ListQuery,
) -> Result<Page<RenewalPolicy>, DomainError> {
    caller.require(Permission::PolicyRead, &[])?;
    Ok(tx.renewal_policies_page(filter, list).await?)
}

/// Changes a policy.
pub async fn update_renewal_policy(
    tx: &mut (impl RenewalPolicyStore + AuditLog + ?Sized),
    ambient: &Ambient,
    caller: &Caller,
    command: UpdateRenewalPolicy,
) -> Result<RenewalPolicy, DomainError> {
    caller.require(Permission::PolicyEdit, &[])?;
    let stored = tx
        .renewal_policy_for_update(&command.id)
        .await?
        .ok_or_else(|| DomainError::not_found("renewal policy", &*command.id))?;
    check_version(command.expected_version, stored.row_version)?;
    let mut policy = stored.clone();
    set_unless_empty(command.name, &mut policy.name);
    policy.renewal_window_days = command.renewal_window_days.unwrap_or(stored.renewal_window_days);
    policy.auto_renew = command.auto_renew.unwrap_or(stored.auto_renew);
    policy.max_retries = command.max_retries.unwrap_or(stored.max_retries);
    policy.retry_interval_seconds = command.retry_interval_seconds.unwrap_or(stored.retry_interval_seconds);
    command.alert_thresholds_days.apply(&mut policy.alert_thresholds_days, DEFAULT_THRESHOLDS.to_vec());
    command.alert_channels.apply(&mut policy.alert_channels, BTreeMap::new());
    command.alert_severity_map.apply(&mut policy.alert_severity_map, BTreeMap::new());
    command.certificate_profile_id.apply_optional(&mut policy.certificate_profile_id);
    policy.certificate_profile_id = policy.certificate_profile_id.filter(|id| !id.is_empty());
    policy.updated_at = ambient.now();
    check(&policy)?;
    tx.update_renewal_policy(&policy).await?;
    policy.row_version += 1;
    let mut changes = Changes::default();
    changes.note("name", &stored.name, &policy.name);
    changes.note("renewal_window_days", &stored.renewal_window_days, &policy.renewal_window_days);
    changes.note("auto_renew", &stored.auto_renew, &policy.auto_renew);
    changes.note("max_retries", &stored.max_retries, &policy.max_retries);
    changes.note("retry_interval_seconds", &stored.retry_interval_seconds, &policy.retry_interval_seconds);
    changes.note("alert_thresholds_days", &stored.alert_thresholds_days, &policy.alert_thresholds_days);
    changes.note("alert_channels", &stored.alert_channels, &policy.alert_channels);
    changes.note("alert_severity_map", &stored.alert_severity_map, &policy.alert_severity_map);
    changes.note("certificate_profile_id", &stored.certificate_profile_id, &policy.certificate_profile_id);
    let event = AuditEvent::new(Action::UpdateRenewalPolicy, &caller.context, &policy.id, changes.into_details());
    tx.record(event).await?;
    Ok(policy)
}

/// Removes a policy that no certificate names.
pub async fn delete_renewal_policy(
    tx: &mut (impl RenewalPolicyStore + AuditLog + ?Sized),
    caller: &Caller,
    id: &str,
    expected_version: Option<i64>,
) -> Result<(), DomainError> {
    caller.require(Permission::PolicyDelete, &[])?;
    let policy = tx.renewal_policy_for_update(id).await?.ok_or_else(|| DomainError::not_found("renewal policy", id))?;
    check_version(expected_version, policy.row_version)?;
    refuse_if_used("renewal policy", &[("certificates", tx.renewal_policy_usage(id).await?)])?;
    tx.delete_renewal_policy(id).await?;
    let details = json!({"name": policy.name});
    tx.record(AuditEvent::new(Action::DeleteRenewalPolicy, &caller.context, id, details)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_kernel::IdKind;
    use proptest::prelude::*;

    #[test]
    fn slugs_follow_the_rule() {
        for (name, id) in [
            ("Default", "rp-default"),
            ("  Two Weeks  ", "rp-two-weeks"),
            ("Größe (90)", "rp-gre-90"),
            ("---", "rp-policy"),
            ("日本", "rp-policy"),
        ] {
            assert_eq!(slug(name), id, "{name}");
        }
        assert_eq!(slug(&"x".repeat(200)).len(), "rp-".len() + 64);
    }

    proptest! {
        #[test]
        fn every_slug_is_an_id(name in ".{0,300}") {
            prop_assert_eq!(IdKind::check_supplied(&slug(&name)), Ok(()));
        }
    }
}
