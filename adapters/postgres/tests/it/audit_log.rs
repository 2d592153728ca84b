//! Sealing the trail into the log, over the real database.

use crate::edge::{TOKEN, send};
use crate::support::{TestDatabase, alice};
use async_trait::async_trait;
use certctl_audit::{Action, AuditEvent};
use certctl_audit_log::{
    Checkpoint, Hash, LogKey, NoteKey, SealSettings, SealedLog, StoredCheckpoint, TrustedKeys, Witness, WitnessError,
    check_consistency, check_inclusion, seal, sign_now,
};
use certctl_http::AppConfig;
use certctl_ports::{KeyAlgorithm, KeyGenerator as _};
use certctl_signers::RingKeys;
use certctl_unit_of_work::Database as _;
use data_encoding::BASE64;
use serde_json::json;
use std::sync::{Arc, Mutex};
use time::Duration;

/// Keeps the last note in memory.
#[derive(Default)]
pub struct MemoryWitness(Mutex<Option<String>>);

#[async_trait]
impl Witness for MemoryWitness {
    async fn last(&self) -> Result<Option<String>, WitnessError> {
        Ok(self.0.lock().expect("no test panics while it holds the note").clone())
    }
    async fn keep(&self, note: &str) -> Result<(), WitnessError> {
        *self.0.lock().expect("no test panics while it holds the note") = Some(note.to_owned());
        Ok(())
    }
}

/// A log with a key of its own.
pub async fn sealed_log(db: &TestDatabase) -> Arc<SealedLog> {
    let keys = RingKeys::new();
    let pkcs8 = keys.generate(KeyAlgorithm::Ed25519).expect("a key");
    let origin = db.postgres.audit_origin([7; 16]).await.expect("an origin");
    let key = LogKey::new(NoteKey::new(&origin, keys.load_der(&pkcs8).expect("loads").into()).expect("Ed25519"));
    let log = SealedLog::open(key, TrustedKeys::default(), SealSettings::default(), Arc::new(MemoryWitness::default()));
    Arc::new(log.await.expect("a log"))
}

pub async fn record(db: &TestDatabase, count: usize) {
    let mut tx = db.begin().await;
    for number in 0..count {
        let details = json!({"number": number, "tags": {"b": 1.5, "a": ["ä", null]}});
        let event = AuditEvent::new(Action::CreateTeam, &alice().context, format!("t-{number}"), details);
        tx.record(event).await.expect("recorded");
    }
    tx.save().await.expect("a commit");
}

/// Seals everything and signs.
pub async fn checkpoint(db: &TestDatabase, log: &SealedLog) -> StoredCheckpoint {
    let mut tx = db.begin().await;
    let kept = log.kept();
    let signed = sign_now(tx.stores(), &db.ambient, &log.key, &log.settings, kept.as_ref()).await;
    let signed = signed.expect("signed").expect("not empty");
    tx.save_unaudited("sealing").await.expect("a commit");
    log.keep(&signed).await.expect("kept");
    signed
}

pub fn edge_config(db: &TestDatabase, log: &Arc<SealedLog>) -> AppConfig {
    crate::edge::config_with(db, |state| state.with_log(Arc::clone(log)))
}

#[tokio::test]
async fn committed_events_are_numbered_without_gaps_whatever_was_rolled_back_between() {
    let (db, count) = (TestDatabase::new().await, 700_i64);
    let log = sealed_log(&db).await;
    record(&db, 300).await;
    let mut lost = db.begin().await;
    lost.record(AuditEvent::new(Action::CreateTeam, &alice().context, "lost", json!({}))).await.expect("recorded");
    record(&db, 400).await;
    drop(lost);
    let settings = SealSettings { batch: 150, ..SealSettings::default() };
    loop {
        let mut tx = db.begin().await;
        let outcome = seal(tx.stores(), &db.ambient, &log.key, &settings, None).await.expect("sealed");
        tx.save_unaudited("sealing").await.expect("a commit");
        if !outcome.more {
            break;
        }
    }
    let session = db.session().await;
    let row = session
        .query_one(
            "SELECT count(*), min(seq), max(seq), (SELECT count(*) FROM audit.unsealed), \
             (SELECT array_agg(level || '/' || idx ORDER BY level, idx) FROM audit.nodes) FROM audit.log",
            &[],
        )
        .await
        .expect("a row");
    let nodes: Vec<String> = row.get(4);
    assert_eq!((row.get(0), row.get(1), row.get(2), row.get(3)), (count, 0_i64, count - 1, 0_i64));
    assert_eq!(nodes, ["1/0", "1/1"]);
    let order: bool = session
        .query_one("SELECT bool_and(ordered) FROM (SELECT insert_id > lag(insert_id, 1, 0::bigint) OVER (ORDER BY seq) AS ordered FROM audit.log) x", &[])
        .await
        .expect("a row")
        .get(0);
    assert!(order, "numbers follow the order of insertion within what was visible");
}

#[tokio::test]
async fn only_one_replica_seals_at_a_time() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    record(&db, 3).await;
    let replica = db.replica();
    let mut first = db.begin().await;
    let sealed = seal(first.stores(), &db.ambient, &log.key, &log.settings, None).await.expect("sealed");
    assert_eq!(sealed.sealed, 3);
    let mut second = replica.begin().await.expect("begins");
    let other = seal(second.stores(), &db.ambient, &log.key, &log.settings, None).await.expect("looks");
    assert_eq!(other.sealed, 0);
    second.discard().await.expect("ends");
    first.save_unaudited("sealing").await.expect("a commit");
    replica.close();
}

#[tokio::test]
async fn a_head_is_signed_after_the_interval_and_after_enough_events_and_not_before() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let settings = SealSettings { rows: 10, ..SealSettings::default() };
    let tick = async || {
        let mut tx = db.begin().await;
        let outcome = seal(tx.stores(), &db.ambient, &log.key, &settings, None).await.expect("sealed");
        tx.save_unaudited("sealing").await.expect("a commit");
        outcome.signed.map(|signed| signed.size)
    };
    record(&db, 2).await;
    assert_eq!(tick().await, Some(2), "the first events are vouched for at once");
    record(&db, 9).await;
    assert_eq!(tick().await, None);
    record(&db, 1).await;
    assert_eq!(tick().await, Some(12), "ten events later");
    record(&db, 1).await;
    assert_eq!(tick().await, None);
    db.clock.set(db.ambient.now() + Duration::minutes(5));
    assert_eq!(tick().await, Some(13), "five minutes later");
    db.clock.set(db.ambient.now() + Duration::hours(5));
    assert_eq!(tick().await, None, "nothing was added");
}

#[tokio::test]
async fn nothing_is_signed_over_a_log_that_went_back_on_what_is_kept_outside() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    record(&db, 3).await;
    checkpoint(&db, &log).await;
    let ahead = Checkpoint { size: 9, ..log.kept().expect("kept") };
    let other = Checkpoint { root: Hash([1; 32]), ..log.kept().expect("kept") };
    record(&db, 1).await;
    db.clock.set(db.ambient.now() + Duration::hours(1));
    for kept in [ahead, other] {
        let mut tx = db.begin().await;
        let outcome = seal(tx.stores(), &db.ambient, &log.key, &log.settings, Some(&kept)).await.expect("sealed");
        assert_eq!((outcome.sealed, outcome.signed), (1, None));
        assert_eq!(outcome.forked.expect("noticed").size, 4);
        tx.discard().await.expect("undone");
    }
}

#[tokio::test]
async fn the_stored_log_and_its_heads_can_be_neither_changed_nor_removed() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    record(&db, 300).await;
    checkpoint(&db, &log).await;
    let session = db.session().await;
    for table in ["log", "nodes", "checkpoints"] {
        let column = match table {
            "log" => "leaf_hash",
            "nodes" => "hash",
            _ => "root_hash",
        };
        for statement in [
            format!("UPDATE audit.{table} SET {column} = decode(repeat('00', 32), 'hex')"),
            format!("DELETE FROM audit.{table}"),
            format!("TRUNCATE audit.{table}"),
        ] {
            let error = session.execute(&statement, &[]).await.expect_err(&statement);
            assert!(error.as_db_error().is_some_and(|error| error.message().contains("append-only")), "{statement}");
        }
    }
}

fn hash(value: &serde_json::Value) -> Hash {
    Hash(BASE64.decode(value.as_str().expect("text").as_bytes()).expect("Base64").try_into().expect("32 octets"))
}

fn hashes(value: &serde_json::Value) -> Vec<Hash> {
    value.as_array().expect("a list").iter().map(hash).collect()
}

#[tokio::test]
async fn clients_get_heads_proofs_and_tiles_that_hold_together() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    let edge = actix_web::test::init_service(certctl_http::application!(&edge_config(&db, &log))).await;
    let body = json!({"token": TOKEN, "actor_name": "admin"});
    let (_, made) = send!(edge, POST "/api/v1/auth/bootstrap", None, Some(body));
    let key = made["key_value"].as_str();
    assert_eq!(send!(edge, GET "/api/v1/audit/checkpoint", key).0, 404, "nothing is signed yet");

    record(&db, 300).await;
    let post = crate::edge::request(actix_web::http::Method::POST, "/api/v1/audit/checkpoint", key, None);
    let note = actix_web::test::read_body(actix_web::test::call_service(&edge, post.to_request()).await).await;
    let note = String::from_utf8(note.to_vec()).expect("text");
    let small = log.trusted.open(&note).expect("signed by the log");
    let read = crate::edge::request(actix_web::http::Method::GET, "/api/v1/audit/checkpoint", key, None);
    let read = actix_web::test::read_body(actix_web::test::call_service(&edge, read.to_request()).await).await;
    assert_eq!(read, note, "the latest head is the one just signed");

    let (_, page) = send!(edge, GET "/api/v1/audit?resource_id=t-123", key);
    let event = &page["data"][0];
    let (status, proof) =
        send!(edge, GET & format!("/api/v1/audit/{}/proof", event["id"].as_str().expect("an id")), key);
    assert_eq!((status, &proof["seq"]), (200, &event["seq"]), "{proof}");
    assert!(check_inclusion(
        &hashes(&proof["path"]),
        small.size,
        small.root,
        proof["seq"].as_u64().expect("a number"),
        hash(&proof["leaf_hash"])
    ));

    record(&db, 300).await;
    let (_, page) = send!(edge, GET "/api/v1/audit?resource_id=t-299", key);
    let late = page["data"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(send!(edge, GET & format!("/api/v1/audit/{late}/proof"), key).0, 404, "not sealed yet");
    let large = log.trusted.open(&checkpoint(&db, &log).await.note).expect("signed by the log");
    let (_, proof) = send!(edge, GET & format!("/api/v1/audit/consistency?from={}", small.size), key);
    assert!(check_consistency(&hashes(&proof["path"]), large.size, large.root, small.size, small.root), "{proof}");
    assert_eq!(send!(edge, GET & format!("/api/v1/audit/{late}/proof?size=10"), key).0, 409);
    for bad in ["from=0", "from=9999", "from=x", "to=4", "from=1&to=99999", "from=5&to=4"] {
        assert_eq!(send!(edge, GET & format!("/api/v1/audit/consistency?{bad}"), key).0, 400, "{bad}");
    }

    let tile = crate::edge::request(actix_web::http::Method::GET, "/api/v1/audit/tile/0/001", key, None);
    let octets = actix_web::test::read_body(actix_web::test::call_service(&edge, tile.to_request()).await).await;
    assert_eq!(octets.len(), 256 * 32);
    for gone in ["0/067", "0/002.p/255", "0/000.p/0", "9/000", "0/x", "0/../../x"] {
        assert_eq!(send!(edge, GET & format!("/api/v1/audit/tile/{gone}"), key).0, 404, "{gone}");
    }
}
