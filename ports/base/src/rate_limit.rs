//! Rate limits: the generic cell rate algorithm and where its state is kept.

use async_trait::async_trait;
use certctl_kernel::StoreError;
use std::time::Duration;

/// How much one key may do: `burst` units at once, one more each `interval`.
///
/// The generic cell rate algorithm (ITU-T I.371) keeps one instant a key, the theoretical arrival time (TAT): when the
/// key will be at rest again. A unit moves it one interval further, and is refused when that would put it more than
/// `burst` intervals ahead of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    burst: u32,
    interval_nanos: i64,
}

/// What became of one request for a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether there was a unit.
    pub allowed: bool,
    /// Units that an idle key has.
    pub limit: u32,
    /// Units left now.
    pub remaining: u32,
    /// When a refused unit would be there; zero when it was allowed.
    pub retry_after: Duration,
    /// When the key is at rest again.
    pub reset_after: Duration,
}

/// The new state and the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Theoretical arrival time to keep, in nanoseconds since the Unix epoch; unchanged in meaning by a refusal.
    pub tat: i64,
    /// The answer.
    pub verdict: Verdict,
}

impl Quota {
    /// `units` in each `per`, of which `burst` may come at once. Zero counts as one.
    pub fn new(units: u32, per: Duration, burst: u32) -> Self {
        let per = i64::try_from(per.as_nanos()).unwrap_or(i64::MAX);
        Self { burst: burst.max(1), interval_nanos: (per / i64::from(units.max(1))).max(1) }
    }

    /// `rate` units a second with a burst of `burst`.
    pub fn per_second(rate: u32, burst: u32) -> Self {
        Self::new(rate, Duration::from_secs(1), burst)
    }

    /// `units` a minute, all of them at once if need be.
    pub fn per_minute(units: u32) -> Self {
        Self::new(units, Duration::from_mins(1), units)
    }

    /// `units` an hour, all of them at once if need be.
    pub fn per_hour(units: u32) -> Self {
        Self::new(units, Duration::from_hours(1), units)
    }

    /// Units that an idle key has.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Nanoseconds until one unit comes back.
    pub const fn interval_nanos(self) -> i64 {
        self.interval_nanos
    }

    /// Nanoseconds until an exhausted key is at rest: how far the TAT may lie ahead.
    pub const fn window_nanos(self) -> i64 {
        self.interval_nanos.saturating_mul(self.burst as i64)
    }

    /// Asks for one unit at `now` (nanoseconds since the Unix epoch) of a key whose TAT is `tat`.
    pub fn take(self, tat: i64, now: i64) -> Decision {
        let base = self.base(tat, now);
        let next = base.saturating_add(self.interval_nanos);
        if next > now.saturating_add(self.window_nanos()) {
            return Decision { tat: base, verdict: self.verdict(base, now, false) };
        }
        Decision { tat: next, verdict: self.verdict(next, now, true) }
    }

    /// Whether one unit would be there; takes none.
    pub fn peek(self, tat: i64, now: i64) -> Verdict {
        let base = self.base(tat, now);
        let there = base.saturating_add(self.interval_nanos) <= now.saturating_add(self.window_nanos());
        self.verdict(base, now, there)
    }

    /// The answer that belongs to a TAT after the fact.
    pub fn verdict(self, tat: i64, now: i64, allowed: bool) -> Verdict {
        let end = now.saturating_add(self.window_nanos());
        let tat = self.base(tat, now);
        let left = end.saturating_sub(tat) / self.interval_nanos;
        let wait = tat.saturating_add(self.interval_nanos).saturating_sub(end);
        Verdict {
            allowed,
            limit: self.burst,
            remaining: if allowed { u32::try_from(left).unwrap_or(0) } else { 0 },
            retry_after: if allowed { Duration::ZERO } else { nanos(wait.max(1)) },
            reset_after: nanos(tat.saturating_sub(now)),
        }
    }

    /// A TAT in the past is rest. One beyond the window was written before the clock was set back, and must not keep
    /// the key out for as long as the clock went.
    fn base(self, tat: i64, now: i64) -> i64 {
        tat.clamp(now, now.saturating_add(self.window_nanos()))
    }
}

fn nanos(value: i64) -> Duration {
    Duration::from_nanos(u64::try_from(value).unwrap_or(0))
}

/// Names one count: two limiters never share one, whatever their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket<'a> {
    /// The limiter.
    pub limiter: &'a str,
    /// Whose requests are counted.
    pub key: &'a str,
}

/// Where limits count.
///
/// Contract: [`RateLimits::take`] decides as [`Quota::take`] does, atomically for concurrent callers of one bucket;
/// buckets of other keys or limiters are untouched; [`RateLimits::peek`] changes nothing; [`RateLimits::sweep`] forgets
/// only buckets that are at rest. An answer comes quickly or is an error: whoever asks knows what to do without one.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Takes one unit.
    async fn take(&self, bucket: Bucket<'_>, quota: Quota) -> Result<Verdict, StoreError>;
    /// Whether one unit would be there.
    async fn peek(&self, bucket: Bucket<'_>, quota: Quota) -> Result<Verdict, StoreError>;
    /// Forgets buckets at rest; returns how many.
    async fn sweep(&self) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_790_000_000_000_000_000;
    const REST: i64 = i64::MIN;

    #[test]
    fn the_burst_passes_then_one_an_interval() {
        let quota = Quota::per_minute(3);
        let (mut tat, mut left) = (REST, Vec::new());
        for _ in 0..3 {
            let decision = quota.take(tat, NOW);
            assert!(decision.verdict.allowed);
            left.push(decision.verdict.remaining);
            tat = decision.tat;
        }
        assert_eq!(left, [2, 1, 0]);
        let refused = quota.take(tat, NOW);
        assert_eq!((refused.verdict.allowed, refused.tat), (false, tat));
        assert_eq!(refused.verdict.retry_after, Duration::from_secs(20));
        assert_eq!(refused.verdict.reset_after, Duration::from_mins(1));
        let early = NOW + 20_000_000_000 - 1;
        assert!(!quota.take(tat, early).verdict.allowed && quota.take(tat, early + 1).verdict.allowed);
    }

    #[test]
    fn a_clock_set_back_costs_at_most_one_window() {
        let quota = Quota::per_minute(3);
        let ahead = NOW + 48 * 3_600_000_000_000;
        let refused = quota.take(ahead, NOW);
        assert_eq!((refused.verdict.allowed, refused.verdict.reset_after), (false, Duration::from_mins(1)));
    }

    #[test]
    fn zero_is_one_and_the_largest_figures_do_not_overflow() {
        assert_eq!(Quota::per_second(0, 0), Quota::per_second(1, 1));
        let vast = Quota::new(1, Duration::MAX, u32::MAX);
        assert!(vast.take(REST, NOW).verdict.allowed);
        assert_eq!(Quota::per_second(u32::MAX, 1).interval_nanos(), 1);
    }

    proptest! {
        /// Over any stretch of time no key gets more than the burst and what came back meanwhile.
        #[test]
        fn no_schedule_gets_more_than_burst_and_rate(
            units in 1u32..50,
            burst in 1u32..50,
            gaps in prop::collection::vec(0i64..2_000_000_000, 1..200),
        ) {
            let quota = Quota::per_second(units, burst);
            let (mut tat, mut now, mut passed) = (REST, NOW, 0i64);
            for gap in gaps {
                now += gap;
                let peeked = quota.peek(tat, now);
                let decision = quota.take(tat, now);
                prop_assert_eq!(peeked.allowed, decision.verdict.allowed);
                prop_assert!(decision.tat >= now && decision.tat <= now + quota.window_nanos());
                passed += i64::from(decision.verdict.allowed);
                tat = decision.tat;
            }
            prop_assert!(passed <= i64::from(burst) + (now - NOW) / quota.interval_nanos() + 1);
        }

        /// Whoever waits as long as told is served, and not a nanosecond earlier.
        #[test]
        fn retry_after_is_exact(units in 1u32..1000, burst in 1u32..100, asked in 1u32..300) {
            let quota = Quota::per_second(units, burst);
            let mut tat = REST;
            for _ in 0..asked {
                let decision = quota.take(tat, NOW);
                tat = decision.tat;
                if !decision.verdict.allowed {
                    let wait = i64::try_from(decision.verdict.retry_after.as_nanos()).unwrap();
                    prop_assert!(quota.take(tat, NOW + wait).verdict.allowed);
                    prop_assert!(!quota.take(tat, NOW + wait - 1).verdict.allowed);
                }
            }
        }

        /// What is said to remain can be taken at once, and no more.
        #[test]
        fn remaining_is_what_can_be_taken(units in 1u32..1000, burst in 1u32..60, asked in 0u32..60) {
            let quota = Quota::per_second(units, burst);
            let mut tat = REST;
            for _ in 0..asked {
                tat = quota.take(tat, NOW).tat;
            }
            let left = quota.peek(tat, NOW).remaining;
            for _ in 0..left {
                let decision = quota.take(tat, NOW);
                prop_assert!(decision.verdict.allowed);
                tat = decision.tat;
            }
            prop_assert!(!quota.take(tat, NOW).verdict.allowed);
        }
    }
}
