//! Rate limits in memory (GCRA).

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// A limiter keyed by text; each limiter counts apart from the others.
pub struct Limiter {
    inner: DefaultKeyedRateLimiter<String>,
    burst: u32,
    clock: DefaultClock,
}

impl Limiter {
    /// `rate` units a second with a burst of `burst`; both at least one.
    pub fn per_second(rate: u32, burst: u32) -> Self {
        Self::new(Quota::per_second(at_least_one(rate)), burst)
    }

    /// `rate` units a minute.
    pub fn per_minute(rate: u32) -> Self {
        Self::new(Quota::per_minute(at_least_one(rate)), rate)
    }

    /// `rate` units an hour.
    pub fn per_hour(rate: u32) -> Self {
        Self::new(Quota::per_hour(at_least_one(rate)), rate)
    }

    fn new(quota: Quota, burst: u32) -> Self {
        let quota = quota.allow_burst(at_least_one(burst));
        Self { inner: RateLimiter::keyed(quota), burst, clock: DefaultClock::default() }
    }

    /// Takes one unit for `key`; the error is the whole seconds to wait.
    pub fn check(&self, key: &str) -> Result<(), u32> {
        self.inner.check_key(&key.to_owned()).map_err(|denied| {
            let wait = denied.wait_time_from(self.clock.now());
            u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
        })
    }

    /// The burst, for quota headers.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Forgets keys that are at rest; call it now and then.
    pub fn tidy(&self) {
        self.inner.retain_recent();
    }
}

fn at_least_one(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_passes_and_the_next_waits_and_keys_are_apart() {
        let limiter = Limiter::per_hour(2);
        assert!(limiter.check("a").is_ok() && limiter.check("a").is_ok());
        assert!(limiter.check("a").is_err_and(|seconds| seconds > 1000));
        assert!(limiter.check("b").is_ok());
    }
}
