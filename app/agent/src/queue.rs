//! Work in hand: a few workers take it, never two on the same target or certificate at once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A piece of work.
pub struct Piece<T> {
    /// The job; a job that is waiting or being worked on is not taken in again.
    pub id: String,
    /// What it touches.
    pub keys: BTreeSet<String>,
    /// The rest.
    pub work: T,
}

struct State<T> {
    waiting: VecDeque<Piece<T>>,
    /// Ids of jobs that are waiting or being worked on.
    known: BTreeSet<String>,
    busy: BTreeSet<String>,
    closed: bool,
}

/// The queue.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), known: BTreeSet::new(), busy: BTreeSet::new(), closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> Queue<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a piece in, unless its job is known.
    pub fn put(&self, piece: Piece<T>) -> bool {
        let mut state = self.state();
        if state.closed || !state.known.insert(piece.id.clone()) {
            return false;
        }
        state.waiting.push_back(piece);
        self.changed.notify_one();
        true
    }

    /// The first piece that touches nothing in use; waits for one. `None` when the queue is closed.
    pub fn take(&self) -> Option<Piece<T>> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let free = state.waiting.iter().position(|piece| piece.keys.is_disjoint(&state.busy));
            if let Some(piece) = free.and_then(|index| state.waiting.remove(index)) {
                state.busy.extend(piece.keys.iter().cloned());
                return Some(piece);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives back what a piece touched.
    pub fn done(&self, id: &str, keys: &BTreeSet<String>) {
        let mut state = self.state();
        state.known.remove(id);
        state.busy.retain(|key| !keys.contains(key));
        self.changed.notify_all();
    }

    /// Lets the workers end after what they have in hand.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(id: &str, keys: &[&str]) -> Piece<()> {
        Piece { id: id.into(), keys: keys.iter().map(|key| (*key).to_owned()).collect(), work: () }
    }

    #[test]
    fn work_on_one_target_waits_for_its_turn_and_other_work_goes_ahead() {
        let queue = Queue::default();
        assert!(queue.put(piece("job-1", &["file:/a"])));
        assert!(queue.put(piece("job-2", &["file:/a", "file:/b"])));
        assert!(queue.put(piece("job-3", &["file:/c"])));
        assert!(!queue.put(piece("job-2", &[])), "a job that waits is not taken twice");
        let first = queue.take().expect("free");
        assert_eq!(first.id, "job-1");
        assert!(!queue.put(piece("job-1", &[])), "nor one that is being worked on");
        assert_eq!(queue.take().expect("free").id, "job-3");
        queue.done(&first.id, &first.keys);
        assert_eq!(queue.take().expect("free now").id, "job-2");
        assert!(queue.put(piece("job-1", &[])), "a job that is done may come again");
        queue.close();
        assert!(queue.take().is_none() && !queue.put(piece("job-4", &[])));
    }
}
