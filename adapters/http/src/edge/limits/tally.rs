//! Events that come in floods: the first is recorded at once, the rest of a minute as one more with their number.

use certctl_audit::AuditEvent;
use serde_json::json;
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

/// Subjects told apart within a minute. What others do is added up under the first of the rest, so that no flood of
/// addresses becomes a flood of events.
const SUBJECTS: usize = 100;
const REST: &str = "";

/// Adds up events by subject.
#[derive(Default)]
pub(crate) struct Tally(Mutex<HashMap<String, (AuditEvent, u64)>>);

impl Tally {
    /// The event, when it is the first of its subject since the last [`Tally::drain`] and so to be recorded now.
    pub(crate) fn first(&self, subject: &str, event: impl FnOnce() -> AuditEvent) -> Option<AuditEvent> {
        // Counters have no state between two of their values.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let subject = if seen.len() < SUBJECTS || seen.contains_key(subject) { subject } else { REST };
        if let Some((_, more)) = seen.get_mut(subject) {
            *more += 1;
            return None;
        }
        let event = event();
        seen.insert(subject.to_owned(), (event.clone(), 0));
        Some(event)
    }

    /// One event for each subject that went on after its first; forgets all.
    pub(crate) fn drain(&self) -> Vec<AuditEvent> {
        let seen = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let went_on = seen.into_iter().filter(|(_, (_, more))| *more > 0);
        went_on
            .map(|(subject, (mut event, more))| {
                event.details.insert("more".to_owned(), json!(more));
                if subject == REST {
                    event.details.insert("several_sources".to_owned(), json!(true));
                }
                event
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certctl_audit::Action;
    use certctl_kernel::RequestContext;

    fn event() -> AuditEvent {
        AuditEvent::new(Action::RateLimited, &RequestContext::system("test"), "address", json!({}))
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_together() {
        let tally = Tally::default();
        assert!(tally.first("a", event).is_some() && tally.first("b", event).is_some());
        for _ in 0..7 {
            assert!(tally.first("a", event).is_none());
        }
        let told = tally.drain();
        assert_eq!(told.len(), 1, "b did not go on");
        assert_eq!(told[0].details["more"], 7);
        assert!(tally.first("a", event).is_some(), "a new minute");
    }

    #[test]
    fn many_sources_are_a_bounded_number_of_events() {
        let tally = Tally::default();
        let now = (0..10_000).filter(|n| tally.first(&format!("s{n}"), event).is_some()).count();
        assert_eq!(now, SUBJECTS + 1);
        let later = tally.drain();
        assert_eq!(later.len(), 1);
        assert_eq!((&later[0].details["more"], &later[0].details["several_sources"]), (&json!(9_899), &json!(true)));
    }
}
