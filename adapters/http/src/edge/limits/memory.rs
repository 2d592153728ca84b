//! Limits that count in this process, for a server that is alone.

use async_trait::async_trait;
use certctl_kernel::StoreError;
use certctl_ports::{Ambient, Bucket, Quota, RateLimits, Verdict};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Keys that one limiter remembers. Each limiter has a map of its own, so that a flood of addresses pushes out
/// addresses and never principals.
const KEYS: u64 = 50_000;
const REST: i64 = i64::MIN;

type Keys = Cache<String, Arc<AtomicI64>>;

/// Counts in memory. A full map makes room by forgetting the key that was seen longest ago, and only for a new one.
pub(crate) struct MemoryLimits {
    ambient: Ambient,
    idle: Duration,
    keys: u64,
    limiters: RwLock<BTreeMap<String, Keys>>,
}

impl MemoryLimits {
    /// Forgets a key after `idle` without a request, or after the window of its quota where that is longer.
    pub(crate) fn new(ambient: Ambient, idle: Duration) -> Self {
        Self { ambient, idle, keys: KEYS, limiters: RwLock::default() }
    }

    fn now(&self) -> i64 {
        i64::try_from(self.ambient.now().unix_timestamp_nanos()).unwrap_or(i64::MAX)
    }

    fn keys_of(&self, limiter: &str, quota: Quota) -> Keys {
        // A map is only ever added whole, so one that a panic left behind is sound.
        if let Some(keys) = self.limiters.read().unwrap_or_else(PoisonError::into_inner).get(limiter) {
            return keys.clone();
        }
        let window = Duration::from_nanos(u64::try_from(quota.window_nanos()).unwrap_or(0));
        let fresh = || {
            Cache::builder()
                .max_capacity(self.keys)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(self.idle.max(window))
                .build()
        };
        let mut limiters = self.limiters.write().unwrap_or_else(PoisonError::into_inner);
        limiters.entry(limiter.to_owned()).or_insert_with(fresh).clone()
    }
}

#[async_trait]
impl RateLimits for MemoryLimits {
    async fn take(&self, bucket: Bucket<'_>, quota: Quota) -> Result<Verdict, StoreError> {
        let keys = self.keys_of(bucket.limiter, quota);
        let tat = match keys.get(bucket.key) {
            Some(tat) => tat,
            None => keys.get_with_by_ref(bucket.key, || Arc::new(AtomicI64::new(REST))),
        };
        let now = self.now();
        let mut seen = tat.load(Ordering::Acquire);
        loop {
            let decision = quota.take(seen, now);
            match tat.compare_exchange_weak(seen, decision.tat, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(decision.verdict),
                Err(newer) => seen = newer,
            }
        }
    }

    async fn peek(&self, bucket: Bucket<'_>, quota: Quota) -> Result<Verdict, StoreError> {
        let known = self.keys_of(bucket.limiter, quota).get(bucket.key);
        Ok(quota.peek(known.map_or(REST, |tat| tat.load(Ordering::Acquire)), self.now()))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        // The maps forget by themselves what was idle for long enough.
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_ports::Clock as _;
    use certctl_ports::fakes::{CountingRandom, FixedClock};
    use time::macros::datetime;

    fn limits() -> (MemoryLimits, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::new(datetime!(2026-03-01 12:00 UTC)));
        let ambient = Ambient { clock: clock.clone(), random: Arc::new(CountingRandom::new(1)) };
        (MemoryLimits::new(ambient, Duration::from_hours(1)), clock)
    }

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let (limits, clock) = limits();
        certctl_ports::contract::rate_limits(&limits, async |time| clock.set(clock.now() + time)).await;
    }

    #[tokio::test]
    async fn a_flood_of_keys_stays_bounded_and_spares_whoever_was_seen_last_and_other_limiters() {
        let (mut limits, _) = limits();
        limits.keys = 100;
        let quota = Quota::per_hour(1);
        let take = async |limiter: &str, key: &str| {
            limits.take(Bucket { limiter, key }, quota).await.expect("an answer").allowed
        };
        assert!(take("principal", "alice").await);
        for n in 0..5_000 {
            assert!(take("address", &format!("10.0.{}.{}", n / 250, n % 250)).await, "{n}");
            if n % 10 == 0 {
                take("address", "victim").await;
            }
        }
        assert!(!take("address", "victim").await, "a busy key is not pushed out");
        assert!(!take("principal", "alice").await, "nor the keys of another limiter");
        let keys = limits.keys_of("address", quota);
        keys.run_pending_tasks();
        assert!(keys.entry_count() <= 100, "{}", keys.entry_count());
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_burst() {
        let (limits, _) = limits();
        let limits = Arc::new(limits);
        let asked = (0..64).map(|_| {
            let limits = Arc::clone(&limits);
            tokio::spawn(async move {
                let bucket = Bucket { limiter: "address", key: "one" };
                limits.take(bucket, Quota::per_hour(10)).await.expect("an answer").allowed
            })
        });
        let passed = futures_util::future::join_all(asked).await;
        assert_eq!(passed.into_iter().filter(|outcome| *outcome.as_ref().expect("it ran")).count(), 10);
    }
}
