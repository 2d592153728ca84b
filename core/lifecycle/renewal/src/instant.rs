//! When a leaf is renewed.

use certctl_inventory::RenewalPolicy;
use certctl_kernel::Timestamp;
use time::Duration;

/// How long before its end a leaf's renewal window opens: the policy's days, but never more than a third of the
/// leaf's life, so that short-lived leaves are not renewed from the day they are issued.
pub fn renewal_window(not_before: Timestamp, not_after: Timestamp, policy: &RenewalPolicy) -> Duration {
    let life = (not_after - not_before).max(Duration::ZERO);
    Duration::days(i64::from(policy.renewal_window_days.max(0))).min(life / 3)
}

/// When the leaf is due for renewal: an instant that is uniform over the first half of its renewal window and the same
/// on every replica and at every tick, because the version's id seeds it. `None` when the policy does not renew.
///
/// The second half of the window stays free for further attempts.
pub fn renewal_instant(
    not_before: Timestamp,
    not_after: Timestamp,
    policy: &RenewalPolicy,
    version_id: &str,
) -> Option<Timestamp> {
    if !policy.auto_renew {
        return None;
    }
    let window = renewal_window(not_before, not_after, policy);
    let open = not_after - window;
    let half: Duration = window / 2;
    let span = half.whole_milliseconds().max(0);
    let offset = span * i128::from(spread(version_id)) / i128::from(u32::MAX);
    let offset = i64::try_from(offset).unwrap_or(0);
    Some(certctl_kernel::timestamp::truncate(open + Duration::milliseconds(offset)))
}

/// FNV-1a with a final mix: spreads ids evenly; it guards no secret, so no cryptography is needed.
fn spread(seed: &str) -> u32 {
    let mut hash = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    u32::try_from(hash >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn start() -> Timestamp {
        time::OffsetDateTime::UNIX_EPOCH + Duration::days(20_000)
    }

    fn policy(days: i32, auto_renew: bool) -> RenewalPolicy {
        RenewalPolicy {
            id: "rp-1".into(),
            tenant_id: certctl_kernel::DEFAULT_TENANT.into(),
            name: "standard".into(),
            renewal_window_days: days,
            auto_renew,
            max_retries: 3,
            retry_interval_seconds: 3600,
            alert_thresholds_days: vec![],
            alert_channels: BTreeMap::new(),
            alert_severity_map: BTreeMap::new(),
            certificate_profile_id: None,
            row_version: 1,
            created_at: start(),
            updated_at: start(),
        }
    }

    #[test]
    fn a_policy_that_does_not_renew_gives_no_instant() {
        assert_eq!(renewal_instant(start(), start() + Duration::days(90), &policy(30, false), "cv-1"), None);
    }

    #[test]
    fn the_window_is_the_policys_but_at_most_a_third_of_the_life() {
        let window =
            |life: i64, days: i32| renewal_window(start(), start() + Duration::days(life), &policy(days, true));
        assert_eq!(window(365, 30), Duration::days(30));
        assert_eq!(window(47, 30), Duration::days(47) / 3);
        assert_eq!(window(6, 30), Duration::days(2));
    }

    #[test]
    fn many_leaves_issued_at_once_are_spread_over_the_window() {
        let (begin, end) = (start(), start() + Duration::days(90));
        let mut first_quarter = 0;
        for number in 0..1000 {
            let at = renewal_instant(begin, end, &policy(30, true), &format!("cv-{number}")).expect("renews");
            if at < end - Duration::days(30) + Duration::hours(90) {
                first_quarter += 1;
            }
        }
        assert!((200..300).contains(&first_quarter), "{first_quarter} of 1000 in a quarter of the span");
    }

    proptest! {
        #[test]
        fn the_instant_is_stable_and_lies_in_the_first_half_of_the_window(
            life in 1_i64..2000, days in 1_i32..=365, id in "cv-[0-9a-z]{26}",
        ) {
            let (begin, end) = (start(), start() + Duration::days(life));
            let at = renewal_instant(begin, end, &policy(days, true), &id).expect("renews");
            let window = renewal_window(begin, end, &policy(days, true));
            prop_assert!(at >= end - window && at <= end - window / 2);
            prop_assert!(at > begin);
            prop_assert_eq!(Some(at), renewal_instant(begin, end, &policy(days, true), &id));
        }
    }
}
