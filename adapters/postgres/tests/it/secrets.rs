//! Moving sealed values to another key.

use crate::support::TestDatabase;
use certctl_kernel::{RequestContext, Secret};
use certctl_ports::{SealedForm, Sealer as _, SealingKeys as _};
use certctl_secrets::{SealedColumn, Unreadable, check, reseal_batch, try_batch};
use certctl_system::{Keyring, MasterKey, Strength, SystemRandom};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::num::NonZeroU16;
use std::sync::Arc;

/// A passphrase.
pub const OLD: &str = "0123456789abcdef0123456789abcdef";
/// Another one.
pub const NEW: &str = "fedcba9876543210fedcba9876543210";
const COLUMN: SealedColumn = SealedColumn::ISSUER_CONFIG;
const PLAIN: &[u8] = br#"{"password":"hunter2"}"#;
/// `PLAIN` as the Go certctl sealed it under `OLD`, made with Python's cryptography: first form with a nonce that looks
/// like our mark, and second form.
const V1: &str = "04000102030405060708090a9b0ee7e3b0f433b6787f79927d8205fb28022474945101f3815376b1e67ba6f5c639f39f01c7";
const V2: &str = "02000102030405060708090a0b0c0d0e0f04000102030405060708090ad79fce203a3d86d25cf03bf17f82dcbea32b3db23284833e434a958d96ff16397061c213386f";

/// A keyring of these keys, weakly derived so that tests are quick.
pub fn ring(keys: &[(&str, &str)]) -> Keyring {
    let masters: Vec<MasterKey> = keys
        .iter()
        .map(|(id, passphrase)| MasterKey { id: (*id).to_owned(), passphrase: Secret::new((*passphrase).to_owned()) })
        .collect();
    let weak = Strength { memory_kib: 64, passes: 1, lanes: 1 };
    Keyring::new(&masters, &[7; 16], weak, Arc::new(SystemRandom::new())).expect("a keyring")
}

fn limit(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).expect("not zero")
}

async fn store(db: &TestDatabase, id: &str, blob: &[u8]) {
    let sql = "INSERT INTO ca.issuers (id, name, type, sealed_config, created_at, updated_at) \
               VALUES ($1, $1, 'local', $2, now(), now())";
    db.session().await.execute(sql, &[&id, &blob]).await.expect("an issuer");
}

async fn stored(db: &TestDatabase, id: &str) -> Vec<u8> {
    let sql = "SELECT sealed_config FROM ca.issuers WHERE id = $1";
    db.session().await.query_one(sql, &[&id]).await.expect("an issuer").get(0)
}

async fn seal_some(db: &TestDatabase, keys: &Keyring, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("iss-{n:02}")).collect();
    for id in &ids {
        store(db, id, &keys.seal(PLAIN, COLUMN.cell(id)).expect("seals")).await;
    }
    ids
}

async fn forms(db: &TestDatabase) -> Vec<(String, i64)> {
    let counts = db.read().await.sealed_counts().await.expect("counts");
    counts.into_iter().map(|count| (count.form.to_string(), count.blobs)).collect()
}

#[tokio::test]
async fn a_run_that_was_cut_short_is_taken_up_and_every_value_still_opens() {
    let db = TestDatabase::new().await;
    let (old, both) = (ring(&[("k1", OLD)]), ring(&[("k2", NEW), ("k1", OLD)]));
    let ids = seal_some(&db, &old, 5).await;
    let context = RequestContext::system("reseal");

    let tried = try_batch(db.read().await.stores(), &both, COLUMN, "", limit(10)).await.expect("a trial");
    assert_eq!(tried.total(), 5);
    assert_eq!(forms(&db).await, [("v4 k1".to_owned(), 5)], "a trial changes nothing");

    let mut tx = db.begin().await;
    let first = reseal_batch(tx.stores(), &both, &context, COLUMN, "", limit(2)).await.expect("a batch");
    tx.save().await.expect("with its event");
    assert_eq!((first.total(), first.last.as_deref()), (2, Some("iss-01")));
    let mut tx = db.begin().await;
    reseal_batch(tx.stores(), &both, &context, COLUMN, "iss-01", limit(2)).await.expect("a batch");
    drop(tx); // The process dies here.
    assert_eq!(forms(&db).await, [("v4 k1".to_owned(), 3), ("v4 k2".to_owned(), 2)]);

    let mut tx = db.begin().await;
    let rest = reseal_batch(tx.stores(), &both, &context, COLUMN, "", limit(10)).await.expect("a batch");
    tx.save().await.expect("with its event");
    assert_eq!((rest.total(), rest.failures.len()), (3, 0));
    let new = ring(&[("k2", NEW)]);
    for id in &ids {
        assert_eq!(new.open(&stored(&db, id).await, COLUMN.cell(id)).expect("opens").as_slice(), PLAIN, "{id}");
    }
    let events = "SELECT details FROM audit.events WHERE action = 'secrets.resealed' ORDER BY insert_id";
    let events: Vec<Value> =
        db.session().await.query(events, &[]).await.expect("events").iter().map(|row| row.get(0)).collect();
    assert_eq!(
        events,
        [2, 3].map(|n| json!({"values": n, "from": {"v4 k1": n}, "to": "k2"})),
        "one event a batch, none of the batch that was lost"
    );
}

#[tokio::test]
async fn whoever_changes_a_value_at_the_same_time_wins() {
    let db = TestDatabase::new().await;
    let (old, both) = (ring(&[("k1", OLD)]), ring(&[("k2", NEW), ("k1", OLD)]));
    seal_some(&db, &old, 1).await;
    let read = stored(&db, "iss-00").await;
    let newer = both.seal(b"newer", COLUMN.cell("iss-00")).expect("seals");
    let mut tx = db.begin().await;
    // The server stores another value after it was read for resealing.
    let update = "UPDATE ca.issuers SET sealed_config = $1";
    db.session().await.execute(update, &[&newer]).await.expect("an update");
    let again = both.seal(PLAIN, COLUMN.cell("iss-00")).expect("seals");
    assert!(!tx.replace_sealed(COLUMN, "iss-00", &read, &again).await.expect("a refusal"));
    tx.discard().await.expect("nothing");
    assert_eq!(stored(&db, "iss-00").await, newer);
}

#[tokio::test]
async fn blobs_of_the_go_certctl_are_moved_and_damaged_ones_are_named_and_left() {
    let db = TestDatabase::new().await;
    let keys = ring(&[("k2", NEW), ("", OLD)]);
    let decode = |hex: &str| HEXLOWER.decode(hex.as_bytes()).expect("hex");
    store(&db, "iss-v1", &decode(V1)).await;
    store(&db, "iss-v2", &decode(V2)).await;
    let mut damaged = decode(V2);
    *damaged.last_mut().expect("octets") ^= 1;
    store(&db, "iss-x", &damaged).await;
    assert!(check(db.read().await.stores(), &keys).await.is_err(), "no server starts with these");

    let mut tx = db.begin().await;
    let context = RequestContext::system("reseal");
    let report = reseal_batch(tx.stores(), &keys, &context, COLUMN, "", limit(10)).await.expect("a batch");
    tx.save().await.expect("with its event");
    assert_eq!((report.total(), report.failures.len()), (2, 1), "{report:?}");
    assert_eq!((report.failures[0].row_id.as_str(), report.failures[0].form), ("iss-x", SealedForm::V2));
    assert_eq!(stored(&db, "iss-x").await, damaged);
    for id in ["iss-v1", "iss-v2"] {
        assert_eq!(keys.open(&stored(&db, id).await, COLUMN.cell(id)).expect("opens").as_slice(), PLAIN, "{id}");
    }
}

#[tokio::test]
async fn a_missing_key_and_a_wrong_one_are_told_apart() {
    let db = TestDatabase::new().await;
    let old = ring(&[("k1", OLD)]);
    assert!(check(db.read().await.stores(), &old).await.is_ok(), "nothing is sealed yet");
    seal_some(&db, &old, 3).await;
    assert!(check(db.read().await.stores(), &ring(&[("k2", NEW), ("k1", OLD)])).await.is_ok());
    let missing = check(db.read().await.stores(), &ring(&[("k2", NEW)])).await;
    assert!(
        matches!(&missing, Err(Unreadable::MissingKey { key, blobs: 3 }) if key.to_string() == "k1"),
        "{missing:?}"
    );
    let wrong = check(db.read().await.stores(), &ring(&[("k1", NEW)])).await;
    assert!(matches!(&wrong, Err(Unreadable::WrongKey { column, .. }) if *column == COLUMN), "{wrong:?}");
    assert_eq!(old.writing(), old.keys()[0]);
}

#[tokio::test]
async fn every_column_can_be_counted_read_and_replaced() {
    let db = TestDatabase::new().await;
    let key = ring(&[("k1", OLD)]).writing();
    for column in SealedColumn::ALL {
        let mut tx = db.begin().await;
        assert_eq!(tx.sealed_under_others(*column, key, "", 10).await.expect("reads"), []);
        assert_eq!(tx.sealed_sample(*column, key).await.expect("reads"), None);
        assert!(!tx.replace_sealed(*column, "none/1", b"a", b"b").await.expect("replaces"), "{column}");
    }
    assert_eq!(forms(&db).await, []);
}
