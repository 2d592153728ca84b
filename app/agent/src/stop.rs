//! The one signal that ends every thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Raised once, never lowered.
#[derive(Default)]
pub struct Stop {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn state(&self) -> MutexGuard<'_, bool> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells every thread to end after its current step.
    pub fn raise(&self) {
        *self.state() = true;
        self.changed.notify_all();
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        *self.state()
    }

    /// Waits; true when it was raised meanwhile.
    pub fn wait(&self, length: Duration) -> bool {
        let deadline = Instant::now() + length;
        let mut raised = self.state();
        while !*raised {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            raised = self.changed.wait_timeout(raised, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *raised
    }
}
