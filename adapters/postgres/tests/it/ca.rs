//! The local CA: made once, kept, replaced, and never kept when its transaction did not commit.

use crate::support::TestDatabase;
use certctl_ca::{CaKey, CaRecord, CaState, Lend, Orphan};
use certctl_issuers::{LocalIssuerSettings, LocalIssuers};
use certctl_kernel::Timestamp;
use certctl_port_issuer::{IssuerError, IssuerRegistry as _, contract};
use certctl_ports::fakes::TicketSealer;
use certctl_ports::{Ambient, KeyAlgorithm, KeyGenerator as _, Sealer};
use certctl_signers::RingKeys;
use certctl_unit_of_work::Database as _;
use certctl_x509::{Serial, Subject, ca, pem};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use time::Duration;

/// A registry as a replica has it, that hears every change.
pub fn registry(ambient: &Ambient, sealer: &Arc<dyn Sealer>) -> LocalIssuers {
    let settings =
        LocalIssuerSettings { pki_base_url: Some("http://pki.example".to_owned()), ..LocalIssuerSettings::default() };
    let issuers = LocalIssuers::new(ambient.clone(), Arc::new(RingKeys::new()), Arc::clone(sealer), settings);
    issuers.set_trusted(true);
    issuers
}

pub fn sealer() -> Arc<dyn Sealer> {
    Arc::new(TicketSealer::default())
}

async fn records(db: &TestDatabase, issuer_id: &str) -> Vec<CaRecord> {
    db.begin().await.ca_certificates(issuer_id).await.expect("rows")
}

#[tokio::test]
async fn replicas_that_start_together_make_one_root_and_it_outlives_them() {
    let db = TestDatabase::new().await;
    let issuer_id = crate::issuers::issuer(&db, "local").await.id;
    let sealer = sealer();
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let (replica, issuers) = (db.replica(), registry(&db.ambient, &sealer));
            let issuer_id = issuer_id.clone();
            tokio::spawn(async move {
                let mut unit = replica.begin().await.expect("a transaction");
                let issuer = issuers.issuer(&mut Lend(unit.stores()), &issuer_id).await.expect("an issuer");
                unit.save_unaudited("a test saves whatever was made").await.expect("saved");
                issuer.facts().ca.clone().expect("a CA").id.clone()
            })
        })
        .collect();
    let mut ids = Vec::new();
    for start in starts {
        ids.push(start.await.expect("no panic"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "every replica has the same root: {ids:?}");
    let stored = records(&db, &issuer_id).await;
    assert_eq!(stored.iter().map(|ca| &ca.id).collect::<Vec<_>>(), [&ids[0]]);
    assert!(matches!(&stored[0].key, CaKey::Sealed(blob) if !blob.is_empty()));

    // A restart: nothing in memory, the same keyring.
    let issuers = registry(&db.ambient, &sealer);
    let mut unit = db.read().await;
    let issuer = issuers.issuer(&mut Lend(unit.stores()), &issuer_id).await.expect("loads by reading alone");
    contract::issuer(issuer.as_ref(), &db.ambient, &RingKeys::new()).await;
    for authority in issuers.authorities(&mut Lend(unit.stores()), &issuer_id).await.expect("authorities") {
        contract::status_authority(authority.as_ref(), &db.ambient, &RingKeys::new()).await;
    }
    let stranger = registry(&db.ambient, &self::sealer());
    let refused = stranger.issuer(&mut Lend(unit.stores()), &issuer_id).await.err().expect("another keyring");
    assert!(matches!(refused, IssuerError::Unusable { code: "ca_key_sealed", .. }), "{refused:?}");
}

#[tokio::test]
async fn a_root_whose_transaction_is_discarded_is_not_kept_in_memory() {
    let db = TestDatabase::new().await;
    let issuer_id = crate::issuers::issuer(&db, "local").await.id;
    let issuers = registry(&db.ambient, &sealer());
    let mut unit = db.begin().await;
    let lost = issuers.issuer(&mut Lend(unit.stores()), &issuer_id).await.expect("an issuer");
    let again = issuers.issuer(&mut Lend(unit.stores()), &issuer_id).await.expect("the same within it");
    assert_eq!(lost.facts().ca, again.facts().ca);
    unit.discard().await.expect("discarded");
    let mut unit = db.begin().await;
    let kept = issuers.issuer(&mut Lend(unit.stores()), &issuer_id).await.expect("another root");
    unit.save().await.expect("the new root has its event");
    assert_ne!(lost.facts().ca.as_ref().map(|ca| &ca.id), kept.facts().ca.as_ref().map(|ca| &ca.id));
    assert_eq!(records(&db, &issuer_id).await.len(), 1);
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
}

/// An operator's CA in files: certificate and key.
fn operator_ca(folder: &Path, now: Timestamp, serial: u8) {
    let keys = RingKeys::new();
    let der = keys.generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let key = keys.load_der(&der).expect("loads");
    let template = ca::RootTemplate {
        serial: Serial::from_random([serial; 20]).expect("not zero"),
        subject: Subject::common_name("Operator CA"),
        not_before: now - Duration::days(1),
        not_after: now + Duration::days(1000),
        path_len: Some(0),
    };
    let certificate = ca::build_self_signed_root(&template, key.as_ref()).expect("a certificate");
    write(&folder.join("ca.pem"), &pem::encode(pem::CERTIFICATE, &certificate));
    write(&folder.join("ca.key"), &pem::encode(pem::PRIVATE_KEY, &der));
}

#[tokio::test]
async fn an_operators_ca_is_taken_in_replaced_and_refused_when_its_key_lies_open() {
    let db = TestDatabase::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    operator_ca(folder.path(), db.ambient.now(), 1);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let config = json!({"ca_cert_path": path("ca.pem"), "ca_key_path": path("ca.key")});
    let mut unit = db.begin().await;
    let command = crate::issuers::local("operator", config);
    let issuer_id = certctl_inventory::create_issuer(unit.stores(), &db.ambient, &crate::support::alice(), command)
        .await
        .expect("an issuer")
        .id;
    unit.save().await.expect("saved");

    let issuers = registry(&db.ambient, &sealer());
    let load = async || {
        issuers.forget(&issuer_id);
        let mut unit = db.begin().await;
        let loaded = issuers.issuer(&mut Lend(unit.stores()), &issuer_id).await;
        unit.save_unaudited("a test saves whatever was made").await.expect("saved");
        loaded
    };
    let first = load().await.expect("taken in");
    contract::issuer(first.as_ref(), &db.ambient, &RingKeys::new()).await;
    assert_eq!(load().await.expect("the same").facts().ca, first.facts().ca);
    assert!(matches!(records(&db, &issuer_id).await[0].key, CaKey::File));

    operator_ca(folder.path(), db.ambient.now(), 2);
    let second = load().await.expect("replaced");
    let states: Vec<_> = records(&db, &issuer_id).await.iter().map(|ca| (ca.generation, ca.state)).collect();
    assert_eq!(states, [(2, CaState::Active), (1, CaState::Retiring)]);
    assert_ne!(first.facts().ca.as_ref().map(|ca| &ca.id), second.facts().ca.as_ref().map(|ca| &ca.id));

    let key = folder.path().join("ca.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
    let refused = load().await.err().expect("others can read the key");
    assert!(matches!(&refused, IssuerError::Unusable { code: "ca_key_exposed", .. }), "{refused:?}");
    write(&key, "not a key");
    let refused = load().await.err().expect("no key");
    assert!(refused.to_string().contains("ca.key"), "{refused}");
    fs::remove_file(&key).expect("ours");
    assert!(matches!(load().await.err(), Some(IssuerError::Unusable { code: "ca_key_unreadable", .. })));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "openssl dates its certificate by the machine's clock")]
async fn an_operators_rsa_key_from_openssl_signs_leaves_and_lists() {
    let db = TestDatabase::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 3650 -subj /CN=RSA-CA".split(' '))
        .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
        .current_dir(folder.path())
        .output()
        .expect("the tests need the openssl command");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    db.clock.set((time::OffsetDateTime::now_utc() + Duration::seconds(2)).replace_nanosecond(0).expect("in range"));
    fs::set_permissions(folder.path().join("ca.key"), fs::Permissions::from_mode(0o600)).expect("ours");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let config = json!({"ca_cert_path": path("ca.pem"), "ca_key_path": path("ca.key")});
    let mut unit = db.begin().await;
    let command = crate::issuers::local("rsa", config);
    let made = certctl_inventory::create_issuer(unit.stores(), &db.ambient, &crate::support::alice(), command).await;
    let issuers = registry(&db.ambient, &sealer());
    let issuer = issuers.issuer(&mut Lend(unit.stores()), &made.expect("an issuer").id).await.expect("taken in");
    unit.save().await.expect("saved");
    contract::issuer(issuer.as_ref(), &db.ambient, &RingKeys::new()).await;
    let mut unit = db.read().await;
    let id = issuer.facts().issuer_id.clone();
    for authority in issuers.authorities(&mut Lend(unit.stores()), &id).await.expect("authorities") {
        contract::status_authority(authority.as_ref(), &db.ambient, &RingKeys::new()).await;
    }
}

#[tokio::test]
async fn keys_of_our_own_and_blocked_ones_are_barred_and_an_orphan_is_remembered_once() {
    let db = TestDatabase::new().await;
    let certificate = crate::certificates::declared(&db, "web").await;
    let issuers = registry(&db.ambient, &sealer());
    let mut unit = db.begin().await;
    let issuer = issuers.issuer(&mut Lend(unit.stores()), &certificate.issuer_id).await.expect("an issuer");
    let root = issuer.facts().ca.clone().expect("a CA");
    let (free, blocked) = ("aa".repeat(32), "bb".repeat(32));
    unit.block_key(&blocked, "keyCompromise", "alice", db.ambient.now()).await.expect("blocked");
    unit.block_key(&blocked, "again", "bob", db.ambient.now()).await.expect("a repetition");
    assert_eq!(unit.key_is_barred(&free).await, Ok(false));
    assert_eq!(unit.key_is_barred(&blocked).await, Ok(true));
    assert_eq!(unit.key_is_barred(&root.spki_sha256).await, Ok(true));
    let orphan = Orphan {
        issuer_id: certificate.issuer_id.clone(),
        ca_id: Some(root.id.clone()),
        certificate_id: certificate.id,
        serial_number: "0".repeat(39) + "7",
        der: vec![1],
        reason: "the commit failed".to_owned(),
    };
    assert_eq!(unit.record_orphan(&orphan, db.ambient.now()).await, Ok(true));
    assert_eq!(unit.record_orphan(&orphan, db.ambient.now()).await, Ok(false));
}
