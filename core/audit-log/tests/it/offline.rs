//! Exports and bundles, checked as somebody does who has a checkpoint and no server.

use crate::support::{MemoryLog, NOW, ambient, key, run};
use certctl_audit::Category;
use certctl_audit_log::{
    Export, ExportCommand, ExportFilter, ExportItem, OfflineError, SealSettings, SignedNote, TrustedKeys, bundle,
    check_bundle, check_export, sign_now,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use time::Duration;

const EVENTS: usize = 600;

fn trusted() -> TrustedKeys {
    TrustedKeys(vec![key().verifier().clone()])
}

/// A log, and the checkpoint after 250 of its events.
fn filled() -> (MemoryLog, String) {
    let mut log = MemoryLog::default();
    let sign = |log: &mut MemoryLog| {
        let signed = run(sign_now(log, &ambient(), &key(), &SealSettings::default(), None));
        signed.expect("signed").expect("not empty").note
    };
    (0..250).for_each(|event| log.record(&format!("audit-{event}")));
    let early = sign(&mut log);
    (250..EVENTS).for_each(|event| log.record(&format!("audit-{event}")));
    sign(&mut log);
    (log, early)
}

fn command(category: Option<Category>) -> ExportCommand {
    let filter = ExportFilter { since: NOW - Duration::DAY, until: NOW + Duration::DAY, category };
    ExportCommand { filter, limit: None, proof: true }
}

/// The lines of an export, as the server writes them.
fn lines(log: &mut MemoryLog, command: ExportCommand) -> Vec<Value> {
    let checkpoint = log.latest();
    let mut export = Export::new(command, checkpoint);
    let mut lines = Vec::new();
    loop {
        let items = run(export.next(log)).expect("a part");
        if items.is_empty() {
            break;
        }
        lines.extend(items.into_iter().map(|item| match item {
            ExportItem::Event(event) => json!(event),
            ExportItem::Skipped(skipped) => json!({ "_skipped": skipped }),
        }));
    }
    lines.push(json!({"_trailer": export.trailer(None)}));
    lines
}

fn text(lines: &[Value]) -> String {
    lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

fn check(lines: &[Value], notes: &[String]) -> Result<certctl_audit_log::Checked, OfflineError> {
    check_export(text(lines).as_bytes(), &trusted(), notes)
}

#[test]
fn a_whole_export_holds_under_its_own_and_under_an_older_checkpoint() {
    let (mut log, early) = filled();
    let lines = lines(&mut log, command(None));
    let checked = check(&lines, &[early]).expect("holds");
    assert_eq!((checked.events, checked.skipped, checked.size), (EVENTS as u64, 0, EVENTS as u64));
    assert_eq!(checked.checkpoints, [250, EVENTS as u64]);
}

#[test]
fn a_part_of_the_log_holds_by_the_roots_of_what_it_leaves_out() {
    let (mut log, early) = filled();
    // The memory store files each seventh event under another category.
    let lines = lines(&mut log, command(Some(Category::Auth)));
    let checked = check(&lines, &[]).expect("holds");
    assert_eq!(checked.events + checked.skipped, EVENTS as u64);
    assert!(checked.events > 50 && checked.events < 100, "{checked:?}");
    let beyond = check(&lines, &[early]);
    assert!(matches!(beyond, Ok(_) | Err(OfflineError::NotCovered { size: 250, .. })), "{beyond:?}");
}

#[test]
fn limits_are_told_in_the_trailer_and_leave_the_rest_provable() {
    let (mut log, _) = filled();
    let lines = lines(&mut log, ExportCommand { limit: Some(100), ..command(None) });
    let trailer = &lines.last().expect("a trailer")["_trailer"];
    assert_eq!(
        (&trailer["rows"], &trailer["error"], &trailer["complete"]),
        (&json!(100), &json!("limit"), &json!(false))
    );
    assert_eq!(check(&lines, &[]).expect("holds").skipped, 500);
}

#[test]
fn every_kind_of_tampering_with_an_export_is_found() {
    let (mut log, early) = filled();
    let sound = lines(&mut log, command(None));
    let tampered = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut lines = sound.clone();
        change(&mut lines);
        check(&lines, std::slice::from_ref(&early)).expect_err("found")
    };
    let edited = tampered(&|lines| lines[300]["actor"] = json!("mallory"));
    assert_eq!(edited, OfflineError::EventChanged { line: 301, seq: 300, id: "audit-300".into() });
    let rehashed = tampered(&|lines| {
        let mut event: certctl_audit_log::ExportLine = serde_json::from_value(lines[300].clone()).expect("a line");
        event.actor = "mallory".into();
        event.leaf_hash = event.computed_hash().to_string();
        lines[300] = json!(event);
    });
    assert!(matches!(rehashed, OfflineError::Forked { .. }), "{rehashed}");
    for seq in [0, 300] {
        let gap = tampered(&|lines| drop(lines.remove(seq)));
        assert!(matches!(gap, OfflineError::Gap { expected, .. } if expected == seq as u64), "{gap}");
    }
    assert!(matches!(tampered(&|lines| drop(lines.remove(599))), OfflineError::CutOff(_)));
    assert!(matches!(tampered(&|lines| lines.swap(10, 20)), OfflineError::Gap { expected: 10, found: 20, .. }));
    assert!(matches!(tampered(&|lines| drop(lines.pop())), OfflineError::CutOff(_)));
    let shortened = tampered(&|lines| {
        lines.remove(599);
        lines[599]["_trailer"]["rows"] = json!(599);
        lines[599]["_trailer"]["last_seq"] = json!(598);
    });
    assert!(matches!(shortened, OfflineError::NotCovered { .. }), "{shortened}");
    assert!(matches!(
        tampered(&|lines| lines[600]["_trailer"]["error"] = json!("the server could not read the rest")),
        OfflineError::Incomplete(_)
    ));
    assert!(matches!(
        tampered(&|lines| lines.insert(0, json!({"_skipped": {"from": 0, "until": 9, "roots": []}}))),
        OfflineError::Malformed { line: 1, .. }
    ));
}

#[test]
fn a_rewritten_log_signed_anew_is_found_by_the_checkpoint_kept_elsewhere() {
    let (_, early) = filled();
    let mut other = MemoryLog::default();
    (0..EVENTS).for_each(|event| other.record(&format!("audit-x{event}")));
    run(sign_now(&mut other, &ambient(), &key(), &SealSettings::default(), None)).expect("signed");
    let lines = lines(&mut other, command(None));
    assert!(check(&lines, &[]).is_ok(), "by itself it holds");
    assert_eq!(check(&lines, &[early]), Err(OfflineError::Forked { size: 250 }));
}

#[test]
fn a_bundle_carries_its_proofs_and_nothing_else_passes_for_one() {
    let (mut log, _) = filled();
    let export = text(&lines(&mut log, command(Some(Category::Auth))));
    let made = bundle(export.as_bytes(), &trusted(), &[], |event| event.seq < 50).expect("made");
    assert!(made.events.len() > 3);
    let checked = check_bundle(&json!(made).to_string(), &trusted()).expect("holds");
    assert_eq!((checked.events, checked.size), (made.events.len() as u64, EVENTS as u64));
    let mut edited = made.clone();
    edited.events[1].event.resource_id = "other".into();
    assert!(matches!(check_bundle(&json!(edited).to_string(), &trusted()), Err(OfflineError::EventChanged { .. })));
    edited.events[1].event.leaf_hash = edited.events[1].event.computed_hash().to_string();
    assert!(matches!(check_bundle(&json!(edited).to_string(), &trusted()), Err(OfflineError::BadProof { .. })));
    let stranger = TrustedKeys(vec![crate::support::key_named("certctl-audit/other", 3).verifier().clone()]);
    assert!(matches!(check_bundle(&json!(made).to_string(), &stranger), Err(OfflineError::Checkpoint(_))));
    assert!(SignedNote::parse(&made.checkpoint).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_octets_make_the_readers_panic_or_believe(octets in proptest::collection::vec(any::<u8>(), 0..300), text in any::<String>()) {
        prop_assert!(check_export(octets.as_slice(), &trusted(), &[]).is_err());
        prop_assert!(check_export(text.as_bytes(), &trusted(), std::slice::from_ref(&text)).is_err());
        prop_assert!(check_bundle(&text, &trusted()).is_err());
    }

    #[test]
    fn no_octet_of_an_export_can_be_exchanged_unnoticed(place in any::<prop::sample::Index>(), with in any::<u8>()) {
        thread_local!(static SOUND: (String, usize) = {
            let mut log = MemoryLog::default();
            (0..40).for_each(|event| log.record(&format!("audit-{event}")));
            run(sign_now(&mut log, &ambient(), &key(), &SealSettings::default(), None)).expect("signed");
            let lines = lines(&mut log, command(None));
            (text(&lines), text(&lines[..40]).len())
        });
        SOUND.with(|(sound, events)| {
            let mut octets = sound.clone().into_bytes();
            let at = place.index(*events);
            let before = octets[at];
            octets[at] = with;
            // Exchanging an octet for itself, or one of a time for one that says the same, changes nothing.
            if with != before && check_export(octets.as_slice(), &trusted(), &[]).is_ok() {
                let line = |text: &[u8]| text[..at].split(|octet| *octet == b'\n').count() - 1;
                let changed = String::from_utf8(octets.clone()).expect("it was read");
                let one: Value = serde_json::from_str(sound.lines().nth(line(sound.as_bytes())).expect("a line")).expect("JSON");
                let other: Value = serde_json::from_str(changed.lines().nth(line(&octets)).expect("a line")).expect("JSON");
                let known = |value: &Value| serde_json::from_value::<certctl_audit_log::ExportLine>(value.clone()).expect("a line");
                assert_eq!(known(&one), known(&other), "an unnoticed change");
            }
        });
    }
}
