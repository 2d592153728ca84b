//! Events that come in floods. What one source repeats within a minute is recorded once at once, and once more with the
//! number of the rest; and of each kind only so many events are recorded one by one, whoever they are about.

use certctl_audit::AuditEvent;
use serde_json::json;
use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

/// Events of one kind that are recorded at once within a minute. The rest are added up under the first of them, so that
/// no flood from many addresses becomes a flood of events.
const AT_ONCE: usize = 100;

/// One kind of event within a minute: what was recorded, by source, with the number of what came after it.
#[derive(Default)]
struct Kind {
    known: HashMap<String, (AuditEvent, u64)>,
    rest: Option<(AuditEvent, u64)>,
}

/// Adds up events by kind and source.
#[derive(Default)]
pub(crate) struct Tally(Mutex<HashMap<&'static str, Kind>>);

impl Tally {
    /// The event, when it is to be recorded now: the first of its source since the last [`Tally::drain`], or, without a
    /// source, each; and no more than a hundred of its kind.
    pub(crate) fn now(
        &self,
        kind: &'static str,
        source: Option<&str>,
        event: impl FnOnce() -> AuditEvent,
    ) -> Option<AuditEvent> {
        // Counters have no state between two of their values.
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kind { known, rest } = kinds.entry(kind).or_default();
        if let Some((_, more)) = source.and_then(|source| known.get_mut(source)) {
            *more += 1;
            return None;
        }
        if known.len() >= AT_ONCE {
            let (_, more) = rest.get_or_insert_with(|| (event(), 0));
            *more += 1;
            return None;
        }
        let event = event();
        // A number is no source that anybody has.
        let source = source.map_or_else(|| known.len().to_string(), ToOwned::to_owned);
        known.insert(source, (event.clone(), 0));
        Some(event)
    }

    /// One event for each source that went on after its first, and one for the rest of a kind; forgets all.
    pub(crate) fn drain(&self) -> Vec<AuditEvent> {
        let kinds = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut told = Vec::new();
        for Kind { known, rest } in kinds.into_values() {
            let went_on = known.into_values().filter(|(_, more)| *more > 0);
            told.extend(went_on.map(|(event, more)| with(event, "more", more)));
            told.extend(rest.map(|(event, more)| with(event, "of_several_sources", more)));
        }
        told
    }
}

fn with(mut event: AuditEvent, member: &str, number: u64) -> AuditEvent {
    event.details.insert(member.to_owned(), json!(number));
    event
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
        assert!(tally.now("limit", Some("a"), event).is_some() && tally.now("limit", Some("b"), event).is_some());
        for _ in 0..7 {
            assert!(tally.now("limit", Some("a"), event).is_none());
        }
        assert!(tally.now("denied", Some("a"), event).is_some(), "another kind");
        let told = tally.drain();
        assert_eq!(told.len(), 1, "b did not go on");
        assert_eq!(told[0].details["more"], 7);
        assert!(tally.now("limit", Some("a"), event).is_some(), "a new minute");
    }

    #[test]
    fn many_sources_are_a_bounded_number_of_events() {
        let tally = Tally::default();
        let at_once = (0..10_000).filter(|n| tally.now("limit", Some(&format!("s{n}")), event).is_some()).count();
        assert_eq!(at_once, AT_ONCE);
        assert!(tally.now("denied", Some("s"), event).is_some(), "other kinds are told all the same");
        let later = tally.drain();
        assert_eq!(later.len(), 1);
        assert_eq!(later[0].details["of_several_sources"], 9_900);
    }

    #[test]
    fn without_a_source_each_is_told_up_to_the_bound() {
        let tally = Tally::default();
        assert_eq!((0..500).filter(|_| tally.now("failed", None, event).is_some()).count(), AT_ONCE);
        assert_eq!(tally.drain()[0].details["of_several_sources"], 400);
    }
}
