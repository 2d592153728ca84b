//! Emergency credentials and the window in the database: counting under races, and the arithmetic of locks.

use crate::support::{START, TestDatabase};
use certctl_breakglass::password::{SALT, hash};
use certctl_breakglass::{
    Cost, Counted, Lockout, LockoutSettings, OpenedBy, Purpose, SecurityKey, close_window, keep_challenge,
    open_at_boot, open_window, tell_of_end,
};
use certctl_kernel::{DomainError, RequestContext, Secret, StoreError};
use certctl_ports::Clock as _;
use certctl_unit_of_work::Database as _;
use futures_util::future::join_all;
use serde_json::json;
use std::sync::Arc;
use time::Duration;

const WEAK: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
const RULES: LockoutSettings =
    LockoutSettings { threshold: 5, duration: Duration::minutes(15), reset: Duration::hours(1) };

/// A database with the emergency account `drill`.
async fn with_account() -> TestDatabase {
    let db = TestDatabase::new().await;
    let stored = hash(&Secret::new("correct horse".to_owned()), &[7; SALT], WEAK).expect("a hash");
    let mut tx = db.begin().await;
    tx.insert_emergency_person("drill", "Fire drill", START).await.expect("a person");
    tx.put_breakglass_password("drill", &stored, START).await.expect("a credential");
    tx.save_unaudited("a fixture").await.expect("a commit");
    db
}

async fn count(db: &TestDatabase, settings: &LockoutSettings) -> Counted {
    let mut tx = db.begin().await;
    let counted = tx.count_attempt("drill", settings, db.clock.now()).await.expect("a count");
    tx.save_unaudited("an attempt").await.expect("a commit");
    counted
}

async fn lockout(db: &TestDatabase) -> Lockout {
    let mut tx = db.begin().await;
    let found = tx.breakglass_credential("drill").await.expect("an answer").expect("a credential");
    tx.discard().await.expect("a rollback");
    found.lockout
}

#[tokio::test]
async fn bg_06_parallel_attempts_are_counted_exactly_and_none_slips_past_the_threshold() {
    let db = Arc::new(with_account().await);
    let asked = (0..20).map(|_| {
        let db = Arc::clone(&db);
        tokio::spawn(async move { count(&db, &RULES).await })
    });
    let counted = join_all(asked).await;
    let open = counted.iter().filter(|outcome| matches!(outcome, Ok(Counted::Open(_)))).count();
    let locked = counted.iter().filter(|outcome| matches!(outcome, Ok(Counted::Locked))).count();
    assert_eq!((open, locked), (5, 15));
    let until = Some(START + RULES.duration);
    assert_eq!(lockout(&db).await, Lockout { failures: 5, locked_until: until, last_failure_at: Some(START) });
}

#[tokio::test]
async fn the_statement_and_the_state_machine_agree() {
    let db = with_account().await;
    let session = db.session().await;
    let settings = [RULES, LockoutSettings { threshold: 1, duration: Duration::hours(30), reset: Duration::SECOND }];
    let minutes = [None, Some(-600), Some(-61), Some(-60), Some(-15), Some(-1), Some(0), Some(1), Some(40)];
    for settings in settings {
        for failures in [0_u32, 1, 3, 4, 5, 6, 8, 9, 20] {
            for locked in minutes {
                for last in minutes.into_iter().filter(|last| last.is_none_or(|minutes| minutes <= 0)) {
                    let at = |minutes: Option<i64>| minutes.map(|minutes| START + Duration::minutes(minutes));
                    let before = Lockout { failures, locked_until: at(locked), last_failure_at: at(last) };
                    let sql = "UPDATE iam.breakglass_credentials SET failure_count = $1, locked_until = $2, \
                               last_failure_at = $3";
                    let stored = i32::try_from(failures).expect("small");
                    session
                        .execute(sql, &[&stored, &before.locked_until, &before.last_failure_at])
                        .await
                        .expect("a state");
                    let counted = count(&db, &settings).await;
                    let expected = before.counted(&settings, START);
                    assert_eq!(matches!(counted, Counted::Open(_)), expected.is_some(), "{before:?}");
                    assert_eq!(lockout(&db).await, expected.unwrap_or(before), "{before:?} {settings:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_actor_has_no_credential_and_a_new_password_forgets_failures() {
    let db = with_account().await;
    let mut tx = db.begin().await;
    let unknown = tx.count_attempt("nobody", &RULES, START).await.expect("an answer");
    assert!(matches!(unknown, Counted::NoCredential));
    tx.discard().await.expect("a rollback");
    for _ in 0..5 {
        count(&db, &RULES).await;
    }
    assert!(lockout(&db).await.locked(START));
    let again = hash(&Secret::new("another horse".to_owned()), &[8; SALT], WEAK).expect("a hash");
    let mut tx = db.begin().await;
    let later = START + Duration::minutes(1);
    let created = tx.put_breakglass_password("drill", &again, later).await.expect("a rotation");
    tx.save_unaudited("a fixture").await.expect("a commit");
    assert_eq!((created, lockout(&db).await), (START, Lockout::default()));
}

#[tokio::test]
async fn bg_17_the_database_takes_argon2id_strings_and_nothing_else() {
    let db = with_account().await;
    let mut tx = db.begin().await;
    let plain = tx.put_breakglass_password("drill", &Secret::new("correct horse".to_owned()), START).await;
    assert!(matches!(plain, Err(StoreError::CheckFailed { .. })), "{plain:?}");
    tx.discard().await.expect("a rollback");
    let session = db.session().await;
    let rows = session.query("SELECT password_hash FROM iam.breakglass_credentials", &[]).await.expect("rows");
    assert!(rows.iter().all(|row| row.get::<_, String>(0).starts_with("$argon2id$v=19$m=8,t=1,p=1$")));
}

#[tokio::test]
async fn a_challenge_is_good_once_for_its_purpose_and_not_for_long() {
    let db = with_account().await;
    let mut tx = db.begin().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let kept = keep_challenge(tx.stores(), &db.ambient, "drill", Purpose::SignIn, "{\"a\":1}".to_owned());
        ids.push(kept.await.expect("kept").id);
    }
    tx.save_unaudited("a fixture").await.expect("a commit");

    let take = async |id: String, purpose, after| {
        let mut tx = db.begin().await;
        let taken = tx.take_challenge(&id, purpose, START + after).await.expect("an answer");
        tx.save_unaudited("taken").await.expect("a commit");
        taken.map(|challenge| challenge.actor_id)
    };
    let soon = Duration::minutes(4);
    assert_eq!(take(ids[0].clone(), Purpose::Register, soon).await, None);
    let both = tokio::join!(take(ids[0].clone(), Purpose::SignIn, soon), take(ids[0].clone(), Purpose::SignIn, soon));
    assert_eq!([both.0.is_some(), both.1.is_some()].iter().filter(|taken| **taken).count(), 1);
    assert_eq!(take(ids[1].clone(), Purpose::SignIn, Duration::minutes(5)).await, None);
    let mut tx = db.begin().await;
    assert_eq!(tx.sweep_challenges(START + Duration::minutes(5)).await, Ok(1), "the third; the second was taken");
    tx.discard().await.expect("a rollback");
}

#[tokio::test]
async fn a_security_key_belongs_to_one_person_and_keeps_its_state() {
    let db = with_account().await;
    let key = |id: &str| SecurityKey {
        id: id.to_owned(),
        actor_id: "drill".to_owned(),
        name: "Blue key".to_owned(),
        credential_id: "AQID".to_owned(),
        state: "{\"counter\": 0}".to_owned(),
        created_at: START,
        last_used_at: None,
    };
    let mut tx = db.begin().await;
    assert_eq!(tx.any_security_key().await, Ok(false));
    tx.insert_security_key(&key("wk-1")).await.expect("a key");
    tx.save_unaudited("a fixture").await.expect("a commit");
    let mut tx = db.begin().await;
    assert!(matches!(tx.insert_security_key(&key("wk-2")).await, Err(StoreError::Duplicate { .. })));
    tx.discard().await.expect("a rollback");
    let mut tx = db.begin().await;
    tx.use_security_key("wk-1", "{\"counter\": 7}", START).await.expect("a use");
    let held = tx.security_keys("drill").await.expect("keys");
    assert_eq!(held, [SecurityKey { state: "{\"counter\": 7}".to_owned(), last_used_at: Some(START), ..key("wk-1") }]);
    assert_eq!(tx.any_security_key().await, Ok(true));
    assert_eq!(tx.remove_security_key("somebody", "wk-1").await, Ok(false));
    assert_eq!(tx.remove_security_key("drill", "wk-1").await, Ok(true));
    tx.discard().await.expect("a rollback");
}

const MOST: Duration = Duration::hours(8);

#[tokio::test]
async fn bg_15_a_window_ends_by_itself_and_the_trail_tells() {
    let db = TestDatabase::new().await;
    let context = RequestContext::system("it");
    let mut tx = db.begin().await;
    for length in [Duration::SECOND, MOST + Duration::SECOND] {
        let refused = open_window(tx.stores(), &db.ambient, &context, length, MOST, "").await;
        assert!(matches!(refused, Err(DomainError::Validation(_))), "{length}");
    }
    let window =
        open_window(tx.stores(), &db.ambient, &context, Duration::hours(2), MOST, "drill").await.expect("open");
    tx.save().await.expect("a commit");
    assert!(window.open(START + Duration::minutes(119)) && !window.open(START + Duration::hours(2)));

    let told = async || {
        let mut tx = db.begin().await;
        let told = tell_of_end(tx.stores(), &db.ambient, &context).await.expect("an answer");
        if told {
            tx.save().await.expect("a commit");
        } else {
            tx.discard().await.expect("a rollback");
        }
        told
    };
    assert!(!told().await, "it is open");
    db.clock.set(START + Duration::hours(2));
    assert!(told().await && !told().await, "once");
    let session = db.session().await;
    let sql =
        "SELECT action, details->>'cause' FROM audit.events WHERE resource_type = 'breakglass_window' ORDER BY at, id";
    let events: Vec<(String, Option<String>)> =
        session.query(sql, &[]).await.expect("events").iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [("auth.breakglass_enabled", None), ("auth.breakglass_disabled", Some("ran_out"))];
    assert_eq!(events, expected.map(|(action, cause)| (action.to_owned(), cause.map(ToOwned::to_owned))));
}

#[tokio::test]
async fn a_server_that_starts_opens_no_window_over_one_and_none_that_was_closed_by_hand() {
    let db = TestDatabase::new().await;
    let context = RequestContext::system("it");
    let boot = async |length: Duration| {
        let mut tx = db.begin().await;
        let opened = open_at_boot(tx.stores(), &db.ambient, &context, length).await.expect("an answer");
        tx.save_unaudited("its event comes with it when there is one").await.expect("a commit");
        opened
    };
    assert_eq!(boot(Duration::ZERO).await, None);
    let first = boot(Duration::hours(4)).await.expect("open");
    assert_eq!((first.opened_by, first.closes_at), (OpenedBy::Boot, START + Duration::hours(4)));
    db.clock.set(START + Duration::hours(3));
    assert_eq!(boot(Duration::hours(4)).await, None, "another replica does not make it longer");
    db.clock.set(START + Duration::hours(4));
    assert!(boot(Duration::hours(4)).await.is_some(), "it had run out");

    let mut tx = db.begin().await;
    assert!(close_window(tx.stores(), &db.ambient, &context).await.expect("closed").is_some());
    tx.save().await.expect("a commit");
    assert_eq!(boot(Duration::hours(4)).await, None, "a hand closed it");
    db.clock.set(START + Duration::days(9));
    assert_eq!(boot(Duration::hours(4)).await, None, "still");
    let mut tx = db.begin().await;
    open_window(tx.stores(), &db.ambient, &context, Duration::hours(1), MOST, "").await.expect("open");
    tx.save().await.expect("a commit");
    db.clock.set(START + Duration::days(10));
    assert!(boot(Duration::hours(4)).await.is_some(), "a hand opened it since");
}

#[tokio::test]
async fn replicas_that_start_together_open_one_window() {
    let db = TestDatabase::new().await;
    let replicas = (0..4).map(|_| {
        let (postgres, ambient) = (db.replica(), db.ambient.clone());
        tokio::spawn(async move {
            let mut tx = postgres.begin().await.expect("a transaction");
            let context = RequestContext::system("it");
            let opened = open_at_boot(tx.stores(), &ambient, &context, Duration::hours(4)).await.expect("an answer");
            tx.save_unaudited("its event comes with it when there is one").await.expect("a commit");
            postgres.close();
            opened.is_some()
        })
    });
    let opened = join_all(replicas).await.into_iter().filter(|outcome| *outcome.as_ref().expect("it ran")).count();
    assert_eq!(opened, 1);
    let row = db.session().await.query_one("SELECT to_jsonb(w) FROM iam.breakglass_window w", &[]).await.expect("one");
    assert_eq!(row.get::<_, serde_json::Value>(0)["opened_by"], json!("boot"));
}
