//! How long a certificate lives.

use certctl_kernel::Timestamp;
use time::Duration;

pub(crate) struct Lifetime {
    /// Upper bounds; the least that is set counts.
    pub(crate) wanted: [Option<Duration>; 3],
    pub(crate) backdate: Duration,
    pub(crate) now: Timestamp,
    pub(crate) ca_not_before: Option<Timestamp>,
    pub(crate) chain_not_after: Timestamp,
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    at - Duration::nanoseconds(i64::from(at.nanosecond()))
}

/// notBefore, notAfter (inclusive, so that the length is exactly the one allowed), and whether the CA's end cut it.
pub(crate) fn lifetime(input: &Lifetime) -> Result<(Timestamp, Timestamp, bool), String> {
    let length = input.wanted.iter().flatten().copied().min().unwrap_or(Duration::ZERO);
    let length = Duration::seconds(length.whole_seconds());
    if length < Duration::seconds(10) {
        return Err("the lifetime asked for is below ten seconds".to_owned());
    }
    let not_before = whole_seconds(input.now - input.backdate.min(length / 10));
    let not_before = input.ca_not_before.map_or(not_before, |ca| not_before.max(ca));
    let wanted_end = not_before + length - Duration::SECOND;
    let not_after = wanted_end.min(whole_seconds(input.chain_not_after));
    if not_after <= input.now {
        return Err("a CA certificate of the chain has expired; renew it".to_owned());
    }
    if not_after - not_before + Duration::SECOND < length / 2 {
        return Err("a CA certificate of the chain ends before half of the lifetime asked for; renew it".to_owned());
    }
    Ok((not_before, not_after, not_after < wanted_end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(length: i64, ca_left: i64) -> Lifetime {
        let now = Timestamp::UNIX_EPOCH + Duration::days(20_000) + Duration::microseconds(1);
        Lifetime {
            wanted: [Some(Duration::seconds(length)), None, None],
            backdate: Duration::seconds(60),
            now,
            ca_not_before: None,
            chain_not_after: now + Duration::seconds(ca_left),
        }
    }

    #[test]
    fn a_short_certificate_is_backdated_by_a_tenth_at_most() {
        let (not_before, not_after, _) = lifetime(&input(100, 1000)).expect("a lifetime");
        assert_eq!((not_after - not_before).whole_seconds(), 99);
        assert_eq!(not_before, Timestamp::UNIX_EPOCH + Duration::days(20_000) - Duration::seconds(10));
    }

    #[test]
    fn a_ca_that_ends_too_early_refuses() {
        assert!(lifetime(&input(1000, 400)).is_err());
        assert!(lifetime(&input(1000, -1)).is_err());
        assert!(lifetime(&input(1000, 600)).expect("more than half").2);
    }

    proptest! {
        #[test]
        fn c05_no_certificate_outlives_its_chain_or_its_bound(length in 10..100_000_000_i64, left in 1..100_000_000_i64) {
            let input = input(length, left);
            if let Ok((not_before, not_after, clamped)) = lifetime(&input) {
                prop_assert!(not_after <= input.chain_not_after);
                prop_assert!(not_before <= input.now && input.now < not_after);
                let inclusive = (not_after - not_before).whole_seconds() + 1;
                prop_assert!(inclusive <= length && (clamped || inclusive == length));
                prop_assert_eq!(not_before.nanosecond(), 0);
            }
        }
    }
}
