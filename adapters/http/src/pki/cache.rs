//! Signed OCSP answers in memory.

use actix_web::web::Bytes;
use certctl_kernel::Timestamp;
use moka::sync::Cache;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;

/// An answer that may be given to anyone who asks the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedAnswer {
    /// The response.
    pub(crate) der: Bytes,
    /// thisUpdate.
    pub(crate) this_update: Timestamp,
    /// nextUpdate.
    pub(crate) next_update: Timestamp,
}

impl SharedAnswer {
    /// Served in the first half of its time only; after that a newer one is signed.
    fn serves(&self, now: Timestamp) -> bool {
        now < self.this_update + (self.next_update - self.this_update) / 2
    }
}

/// The forms in which one serial was asked for: hash algorithm and encoding of the identifier are the client's choice
/// and must come back as they were.
type Forms = Arc<Vec<(Vec<u8>, SharedAnswer)>>;

/// How many forms of one serial are kept: a client that plays with encodings must not push out the others.
const MAX_FORMS: usize = 8;

/// A bounded cache of answers about serials that were issued.
///
/// A `good` that was computed before a revocation can't enter after it: whoever computes an answer notes the
/// [`epoch`](Self::epoch) before reading the database, every revocation heard moves it, and an answer of an earlier
/// epoch is not taken in. Moving and taking in exclude each other.
pub(crate) struct OcspCache {
    answers: Cache<String, Forms>,
    epoch: AtomicU64,
    writing: Mutex<()>,
}

fn key(ca_id: &str, serial: &str) -> String {
    format!("{ca_id}/{serial}")
}

impl OcspCache {
    pub(crate) fn new() -> Self {
        let weigh = |key: &String, forms: &Forms| {
            let forms: usize = forms.iter().map(|(raw, answer)| raw.len() + answer.der.len() + 96).sum();
            u32::try_from(key.len() + forms + 64).unwrap_or(u32::MAX)
        };
        Self {
            answers: Cache::builder().max_capacity(CAPACITY_BYTES).weigher(weigh).build(),
            epoch: AtomicU64::new(0),
            writing: Mutex::new(()),
        }
    }

    /// To be noted before the database is read.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(crate) fn get(&self, ca_id: &str, serial: &str, raw: &[u8], now: Timestamp) -> Option<SharedAnswer> {
        let forms = self.answers.get(&key(ca_id, serial))?;
        forms.iter().find(|(form, answer)| form == raw && answer.serves(now)).map(|(_, answer)| answer.clone())
    }

    /// Takes an answer in unless something changed since `epoch` was noted.
    pub(crate) fn put(&self, epoch: u64, ca_id: &str, serial: &str, raw: &[u8], answer: SharedAnswer) {
        let _held = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch.load(Ordering::SeqCst) != epoch {
            return;
        }
        let key = key(ca_id, serial);
        let mut forms = self.answers.get(&key).map(|forms| forms.as_ref().clone()).unwrap_or_default();
        forms.retain(|(form, _)| form != raw);
        if forms.len() < MAX_FORMS {
            forms.push((raw.to_vec(), answer));
            self.answers.insert(key, Arc::new(forms));
        }
    }

    /// The status of the serial changed.
    pub(crate) fn invalidate(&self, ca_id: &str, serial: &str) {
        let _held = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.answers.invalidate(&key(ca_id, serial));
    }

    /// Anything may have changed.
    pub(crate) fn clear(&self) {
        let _held = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.answers.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::Duration;

    fn answer(text: &'static str) -> SharedAnswer {
        let start = Timestamp::UNIX_EPOCH;
        SharedAnswer {
            der: Bytes::from_static(text.as_bytes()),
            this_update: start,
            next_update: start + Duration::hours(2),
        }
    }

    fn seen(cache: &OcspCache, now: Timestamp) -> Option<Bytes> {
        cache.get("ica-1", "00ff", b"raw", now).map(|answer| answer.der)
    }

    #[test]
    fn an_answer_serves_half_of_its_time_and_only_the_same_question() {
        let cache = OcspCache::new();
        cache.put(cache.epoch(), "ica-1", "00ff", b"raw", answer("good"));
        let start = Timestamp::UNIX_EPOCH;
        assert!(seen(&cache, start + Duration::minutes(59)).is_some());
        assert!(seen(&cache, start + Duration::minutes(60)).is_none());
        assert!(cache.get("ica-1", "00ff", b"other form", start).is_none());
        assert!(cache.get("ica-2", "00ff", b"raw", start).is_none());
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Read(usize),
        Put(usize),
        Revoke,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![(0..3usize).prop_map(Step::Read), (0..3usize).prop_map(Step::Put), Just(Step::Revoke)];
        proptest::collection::vec(step, 1..24)
    }

    proptest! {
        /// Three signers, each noting the epoch, reading the truth and storing its answer later, around revocations
        /// whose announcement follows their commit: once announced, no `good` is ever served.
        #[test]
        fn no_good_is_served_after_a_revocation_was_announced(steps in steps()) {
            let cache = OcspCache::new();
            let mut noted = [None; 3];
            let mut revoked = false;
            for step in steps {
                match step {
                    Step::Read(signer) => noted[signer] = Some((cache.epoch(), revoked)),
                    Step::Put(signer) => {
                        if let Some((epoch, revoked)) = noted[signer].take() {
                            let text = if revoked { "revoked" } else { "good" };
                            cache.put(epoch, "ica-1", "00ff", b"raw", answer(text));
                        }
                    }
                    Step::Revoke => {
                        revoked = true;
                        cache.invalidate("ica-1", "00ff");
                    }
                }
                if revoked {
                    prop_assert_ne!(seen(&cache, Timestamp::UNIX_EPOCH), Some(Bytes::from_static(b"good")));
                }
            }
        }
    }
}
