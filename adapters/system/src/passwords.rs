//! Argon2id away from the threads that serve requests, a bounded number at a time.

use async_trait::async_trait;
use certctl_breakglass::password::{self, SALT};
use certctl_breakglass::{Cost, HashError, Passwords};
use certctl_kernel::Secret;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Passwords that may wait for their turn; beyond it whoever comes is told to come back.
const WAITING: usize = 128;

/// Hashes and checks passwords on threads of their own. Each takes the memory of its cost, so the bound is one of
/// memory as well: two at full cost are 128 MiB.
pub struct PasswordPool {
    cost: Cost,
    /// Turns at the work.
    turns: Arc<Semaphore>,
    /// Places in the queue, turns included.
    places: Arc<Semaphore>,
}

impl PasswordPool {
    /// At most `at_once` at the same time, each at `cost` or, when checking, at the cost in the stored string.
    pub fn new(at_once: usize, cost: Cost) -> Self {
        let at_once = at_once.max(1);
        Self { cost, turns: Arc::new(Semaphore::new(at_once)), places: Arc::new(Semaphore::new(at_once + WAITING)) }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(Cost) -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| HashError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| HashError::Failed)?;
        let cost = self.cost;
        // Work can't be stopped: whoever gives up waiting for it leaves its turn taken until it is done.
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(cost);
            drop((turn, place));
            outcome
        });
        done.await.unwrap_or(Err(HashError::Failed))
    }
}

#[async_trait]
impl Passwords for PasswordPool {
    async fn hash(&self, password: &Secret<String>, salt: [u8; SALT]) -> Result<Secret<String>, HashError> {
        let password = password.clone();
        self.run(move |cost| password::hash(&password, &salt, cost)).await
    }

    async fn verify(
        &self,
        password: &Secret<String>,
        stored: Option<&Secret<String>>,
        salt: [u8; SALT],
    ) -> Result<bool, HashError> {
        let (password, stored) = (password.clone(), stored.cloned());
        self.run(move |cost| password::verify_or_burn(&password, stored.as_ref(), &salt, cost)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};

    const WEAK: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_recognised_and_nothing_stands_for_every_other() {
        let pool = PasswordPool::new(1, WEAK);
        let stored = pool.hash(&secret("correct horse"), [7; SALT]).await.expect("a hash");
        for (password, stored, right) in [
            ("correct horse", Some(&stored), true),
            ("correct horsf", Some(&stored), false),
            ("correct horse", Some(&secret("$argon2id$v=19$m=8")), false),
            ("correct horse", None, false),
        ] {
            assert_eq!(pool.verify(&secret(password), stored, [1; SALT]).await, Ok(right), "{password}");
        }
    }

    #[tokio::test]
    async fn bg_16_no_more_than_the_bound_work_at_once_and_no_more_than_a_bound_wait() {
        let pool = Arc::new(PasswordPool::new(2, WEAK));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Nobody finishes before all who may come are there.
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let mut asked = Vec::new();
        for _ in 0..200 {
            let (pool, running, most, gate) = (pool.clone(), running.clone(), most.clone(), gate.clone());
            asked.push(tokio::spawn(async move {
                pool.run(move |_| {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let open = gate.1.wait_while(gate.0.lock().expect("sound"), |open| !*open).expect("sound");
                    drop(open);
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                })
                .await
            }));
        }
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        *gate.0.lock().expect("sound") = true;
        gate.1.notify_all();
        let outcomes = futures_of(asked).await;
        let busy = outcomes.iter().filter(|outcome| **outcome == Err(HashError::Busy)).count();
        assert_eq!((outcomes.len() - busy, busy), (2 + WAITING, 200 - 2 - WAITING));
        assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
        assert_eq!(pool.turns.available_permits(), 2, "every turn came back");
    }

    async fn futures_of(asked: Vec<tokio::task::JoinHandle<Result<(), HashError>>>) -> Vec<Result<(), HashError>> {
        let mut outcomes = Vec::new();
        for one in asked {
            outcomes.push(one.await.expect("it ran"));
        }
        outcomes
    }
}
