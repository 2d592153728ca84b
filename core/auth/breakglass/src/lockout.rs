//! When a credential is locked: the state machine, as functions of a state and a time.
//!
//! An attempt is counted before its password is looked at, and forgotten when the password was right: so of any number
//! of attempts at once no more than the threshold are looked at, whatever comes of them.

use certctl_kernel::Timestamp;
use time::Duration;

/// How failures lock a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockoutSettings {
    /// Failures that lock.
    pub threshold: u32,
    /// How long the first lock lasts.
    pub duration: Duration,
    /// Failures are forgotten after so long without another.
    pub reset: Duration,
}

impl Default for LockoutSettings {
    fn default() -> Self {
        Self { threshold: 5, duration: Duration::minutes(15), reset: Duration::hours(1) }
    }
}

/// How often a lock doubles at most.
const DOUBLINGS: u32 = 4;
/// No lock grows beyond this, unless the first is set to be longer.
const LONGEST: Duration = Duration::hours(24);

impl LockoutSettings {
    /// How long the lock lasts that the `failures`th failure brings, if it brings one: twice as long with each failure
    /// beyond the threshold, at most [`LockoutSettings::longest`].
    pub fn lock(&self, failures: u32) -> Option<Duration> {
        let beyond = failures.checked_sub(self.threshold.max(1))?;
        let doubled = self.duration.saturating_mul(1 << beyond.min(DOUBLINGS));
        Some(doubled.min(self.longest()))
    }

    /// The longest lock.
    pub fn longest(&self) -> Duration {
        self.duration.saturating_mul(1 << DOUBLINGS).min(LONGEST.max(self.duration))
    }
}

/// What is known of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lockout {
    /// Failures since the last success or reset.
    pub failures: u32,
    /// Until when nobody is let in.
    pub locked_until: Option<Timestamp>,
    /// The last failure.
    pub last_failure_at: Option<Timestamp>,
}

impl Lockout {
    /// Whether an attempt at `now` is refused whatever it brings.
    pub fn locked(&self, now: Timestamp) -> bool {
        self.locked_until.is_some_and(|until| now < until)
    }

    /// The state after one more attempt at `now` was counted; `None` when the credential is locked, and stays as it is.
    pub fn counted(&self, settings: &LockoutSettings, now: Timestamp) -> Option<Self> {
        if self.locked(now) {
            return None;
        }
        let failures = if self.forgotten(settings, now) { 1 } else { self.failures.saturating_add(1) };
        let locked_until = settings.lock(failures).map(|lock| now + lock);
        Some(Self { failures, locked_until, last_failure_at: Some(now) })
    }

    /// Whether the failures so far are too long ago to count. A lock that grew beyond the first counts from its end:
    /// waiting for it must not forget what made it grow.
    fn forgotten(&self, settings: &LockoutSettings, now: Timestamp) -> bool {
        let grown = self.locked_until.filter(|_| self.failures > settings.threshold);
        self.last_failure_at.max(grown).is_some_and(|quiet_since| now > quiet_since + settings.reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOW: Timestamp = datetime!(2026-03-01 12:00 UTC);
    const RULES: LockoutSettings =
        LockoutSettings { threshold: 5, duration: Duration::minutes(15), reset: Duration::hours(1) };

    fn after(failures: u32, at: Timestamp) -> Lockout {
        (0..failures).fold(Lockout::default(), |state, _| state.counted(&RULES, at).expect("not locked"))
    }

    #[test]
    fn failures_add_up_and_the_threshold_locks() {
        let four = after(4, NOW);
        assert_eq!(four, Lockout { failures: 4, locked_until: None, last_failure_at: Some(NOW) });
        let five = after(5, NOW);
        assert_eq!((five.failures, five.locked_until), (5, Some(NOW + Duration::minutes(15))));
        assert!(!four.locked(NOW) && five.locked(NOW));
    }

    #[test]
    fn within_the_lock_nothing_moves_and_its_end_is_outside() {
        let five = after(5, NOW);
        let end = NOW + Duration::minutes(15);
        assert_eq!(five.counted(&RULES, end - Duration::NANOSECOND), None);
        assert!(five.counted(&RULES, end).is_some());
    }

    #[test]
    fn each_further_failure_doubles_the_lock_up_to_a_bound() {
        let (mut state, mut now, mut locks) = (after(5, NOW), NOW, Vec::new());
        for _ in 0..7 {
            let until = state.locked_until.expect("locked");
            locks.push((until - now).whole_minutes());
            now = until;
            state = state.counted(&RULES, now).expect("the lock ended");
        }
        assert_eq!(locks, [15, 30, 60, 120, 240, 240, 240]);
        let long = LockoutSettings { duration: Duration::hours(48), ..RULES };
        assert_eq!((long.lock(5), long.lock(9)), (Some(Duration::hours(48)), Some(Duration::hours(48))));
        let day = LockoutSettings { duration: Duration::hours(20), ..RULES };
        assert_eq!(day.lock(6), Some(Duration::hours(24)));
    }

    #[test]
    fn failures_of_long_ago_are_forgotten_first() {
        let hour = NOW + RULES.reset;
        assert_eq!(after(4, NOW).counted(&RULES, hour).expect("open").failures, 5, "an hour is not more than an hour");
        let later = hour + Duration::NANOSECOND;
        let fresh = Lockout { failures: 1, locked_until: None, last_failure_at: Some(later) };
        assert_eq!(after(4, NOW).counted(&RULES, later), Some(fresh));
        assert_eq!(after(5, NOW).counted(&RULES, later), Some(fresh), "after the first lock as well");
    }

    #[test]
    fn waiting_for_a_grown_lock_does_not_forget_it() {
        let mut state = after(5, NOW);
        for _ in 0..3 {
            state = state.counted(&RULES, state.locked_until.expect("locked")).expect("ended");
        }
        assert_eq!(state.failures, 8);
        let end = state.locked_until.expect("locked for two hours");
        assert_eq!(state.counted(&RULES, end).expect("ended").failures, 9);
        assert_eq!(state.counted(&RULES, end + RULES.reset + Duration::SECOND).expect("ended").failures, 1);
    }

    proptest! {
        /// However attempts are spread, between two resets no more than the threshold pass before the first lock.
        #[test]
        fn no_schedule_passes_more_than_the_threshold_in_one_lock(gaps in prop::collection::vec(0i64..900, 1..60)) {
            let (mut state, mut now, mut passed) = (Lockout::default(), NOW, Vec::new());
            for gap in gaps {
                now += Duration::seconds(gap);
                if let Some(next) = state.counted(&RULES, now) {
                    state = next;
                    passed.push(now);
                }
            }
            for run in passed.windows(6) {
                prop_assert!(run[5] - run[0] >= RULES.duration.min(RULES.reset));
            }
        }
    }
}
