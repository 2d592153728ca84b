//! What a database superuser may do to the trail, and that a checkpoint kept outside the database shows it.

use crate::audit_log::{checkpoint, record, sealed_log};
use crate::support::{TestDatabase, alice};
use certctl_audit::AuditFilter;
use certctl_audit_log::{
    Frontier, Hash, Mode, Run, RunResult, SealedLog, begin, leaf_hash, request_verification, verify_step,
};
use certctl_kernel::{ListQuery, RequestContext};
use std::sync::Arc;

const EVENTS: usize = 600;

/// A trail of which a checkpoint is kept outside, and a superuser who has switched the triggers off.
struct Scene {
    db: TestDatabase,
    log: Arc<SealedLog>,
    superuser: tokio_postgres::Client,
}

impl Scene {
    async fn set() -> Self {
        let db = TestDatabase::new().await;
        let log = sealed_log(&db).await;
        record(&db, EVENTS / 2).await;
        checkpoint(&db, &log).await;
        record(&db, EVENTS / 2).await;
        checkpoint(&db, &log).await;
        let superuser = db.session().await;
        superuser.batch_execute("SET session_replication_role = replica").await.expect("triggers are off");
        Self { db, log, superuser }
    }

    async fn tamper(&self, sql: &str) {
        self.superuser.batch_execute(sql).await.expect(sql);
    }

    /// A verification of everything.
    async fn verify(&self) -> Run {
        walk(&self.db, &self.log, Mode::Full).await
    }

    /// Code and number of what a verification of everything finds.
    async fn finding(&self) -> (String, Option<u64>) {
        let run = self.verify().await;
        assert_eq!(run.result, RunResult::Break, "{run:?}");
        let finding = run.finding.expect("a finding");
        (finding.code, finding.seq)
    }
}

pub async fn walk(db: &TestDatabase, log: &SealedLog, mode: Mode) -> Run {
    let mut tx = db.begin().await;
    let context = RequestContext::system("it");
    begin(tx.stores(), &db.ambient, &context, mode, None).await.expect("begins").expect("none runs");
    tx.save_unaudited("a verification").await.expect("a commit");
    finish(db, log).await
}

/// Carries the open run on to its end, in batches that end inside tiles.
pub async fn finish(db: &TestDatabase, log: &SealedLog) -> Run {
    loop {
        let mut tx = db.begin().await;
        let run = verify_step(tx.stores(), &db.ambient, log, 130).await.expect("a step");
        tx.save_unaudited("a verification").await.expect("a commit");
        match run {
            Some(run) if run.result == RunResult::Running => {}
            Some(run) => return run,
            // It ended as it began.
            None => return db.read().await.runs(1).await.expect("runs").remove(0),
        }
    }
}

#[tokio::test]
async fn an_untouched_log_is_sound_from_the_start_and_from_the_last_run_on() {
    let scene = Scene::set().await;
    let run = scene.verify().await;
    assert_eq!((run.result, run.from_seq, run.to_seq), (RunResult::Ok, 0, EVENTS as u64), "{run:?}");
    assert_eq!(run.root, scene.log.kept().map(|kept| kept.root));
    record(&scene.db, 40).await;
    checkpoint(&scene.db, &scene.log).await;
    let run = walk(&scene.db, &scene.log, Mode::Incremental).await;
    assert_eq!((run.result, run.from_seq, run.to_seq), (RunResult::Ok, EVENTS as u64, EVENTS as u64 + 40), "{run:?}");
}

#[tokio::test]
async fn an_edited_event_is_found() {
    for column in ["actor_id = 'mallory'", "details = '{}'", "source_ip = NULL", "request_id = ''", "tenant_id = 'x'"] {
        let scene = Scene::set().await;
        let sql = format!(
            "UPDATE audit.events SET {column} WHERE insert_id = (SELECT insert_id FROM audit.log WHERE seq = 300)"
        );
        scene.tamper(&sql).await;
        assert_eq!(scene.finding().await, ("event_changed".into(), Some(300)), "{column}");
    }
}

#[tokio::test]
async fn an_event_that_was_deleted_is_found_wherever_it_stood() {
    for seq in [0, 300, 599] {
        let scene = Scene::set().await;
        let sql =
            format!("DELETE FROM audit.events WHERE insert_id = (SELECT insert_id FROM audit.log WHERE seq = {seq})");
        scene.tamper(&sql).await;
        assert_eq!(scene.finding().await, ("event_missing".into(), Some(seq)), "the row alone");
        scene.tamper(&format!("DELETE FROM audit.log WHERE seq = {seq}")).await;
        let expected = if seq == 599 { ("truncated".into(), Some(599)) } else { ("gap".into(), Some(seq)) };
        assert_eq!(scene.finding().await, expected, "with its leaf");
    }
}

#[tokio::test]
async fn the_last_event_deleted_with_everything_that_tells_of_it_is_found() {
    let scene = Scene::set().await;
    scene
        .tamper(
            "DELETE FROM audit.events WHERE insert_id = (SELECT insert_id FROM audit.log WHERE seq = 599); \
             DELETE FROM audit.log WHERE seq = 599; DELETE FROM audit.checkpoints WHERE size > 599; \
             DELETE FROM audit.verifications",
        )
        .await;
    assert_eq!(scene.finding().await, ("truncated".into(), Some(599)));
}

#[tokio::test]
async fn events_that_changed_places_are_found() {
    let scene = Scene::set().await;
    scene
        .tamper(
            "UPDATE audit.log SET seq = seq + 1000000 WHERE seq IN (10, 20); \
             UPDATE audit.log SET seq = CASE seq WHEN 1000010 THEN 20 ELSE 10 END WHERE seq > 1000000",
        )
        .await;
    assert_eq!(scene.finding().await, ("event_changed".into(), Some(10)));
}

#[tokio::test]
async fn a_truncated_trail_is_found() {
    let scene = Scene::set().await;
    scene.tamper("TRUNCATE audit.events").await;
    assert_eq!(scene.finding().await, ("event_missing".into(), Some(0)));
    scene.tamper("TRUNCATE audit.log, audit.nodes, audit.checkpoints, audit.verifications, audit.unsealed").await;
    assert_eq!(scene.finding().await, ("truncated".into(), Some(0)));
}

/// Seals the trail from `from` on anew, as the product does it, with whatever now stands in the events.
async fn reseal(scene: &Scene, from: u64) {
    scene
        .tamper(&format!(
            "DELETE FROM audit.checkpoints WHERE size > {from}; DELETE FROM audit.nodes; \
             DELETE FROM audit.verifications"
        ))
        .await;
    let mut stores = scene.db.read().await;
    let rows = stores.sealed(0, 1_000_000).await.expect("rows");
    let mut frontier = Frontier::default();
    for row in rows {
        let record = row.record.expect("there");
        let hash = leaf_hash(&record, row.leaf.seq);
        let octets = data_encoding::HEXLOWER.encode(&hash.0);
        scene.tamper(&format!("UPDATE audit.log SET leaf_hash = '\\x{octets}' WHERE seq = {}", row.leaf.seq)).await;
        for node in frontier.append(hash).into_iter().filter(|node| node.level % 8 == 0) {
            let octets = data_encoding::HEXLOWER.encode(&node.hash.0);
            let level = node.level / 8;
            scene.tamper(&format!("INSERT INTO audit.nodes VALUES ({level}, {}, '\\x{octets}')", node.index)).await;
        }
    }
}

#[tokio::test]
async fn a_rewritten_end_with_recomputed_hashes_is_found() {
    let scene = Scene::set().await;
    scene
        .tamper("UPDATE audit.events SET actor_id = 'mallory' WHERE insert_id = (SELECT insert_id FROM audit.log WHERE seq = 400)")
        .await;
    reseal(&scene, 400).await;
    // Within the database all holds together; the checkpoint outside says otherwise.
    assert_eq!(scene.finding().await, ("forked".into(), Some(599)));
}

#[tokio::test]
async fn an_old_backup_and_a_fork_from_it_are_found() {
    let scene = Scene::set().await;
    // What a restored backup of the time after 300 events holds.
    scene
        .tamper(
            "DELETE FROM audit.events WHERE insert_id IN (SELECT insert_id FROM audit.log WHERE seq >= 300); \
             DELETE FROM audit.log WHERE seq >= 300; DELETE FROM audit.checkpoints WHERE size > 300; \
             DELETE FROM audit.nodes WHERE idx >= 1; DELETE FROM audit.verifications",
        )
        .await;
    assert_eq!(scene.finding().await, ("truncated".into(), Some(300)), "the backup");
    record(&scene.db, 400).await;
    // The server that kept the checkpoint refuses to sign over it, so the fork goes on under a server that lost it.
    let mut tx = scene.db.begin().await;
    let (key, settings) = (&scene.log.key, &scene.log.settings);
    let kept = scene.log.kept();
    let refused = certctl_audit_log::sign_now(tx.stores(), &scene.db.ambient, key, settings, kept.as_ref()).await;
    assert!(matches!(refused, Err(certctl_audit_log::SealError::Forked(_))));
    tx.discard().await.expect("undone");
    let mut tx = scene.db.begin().await;
    certctl_audit_log::sign_now(tx.stores(), &scene.db.ambient, key, settings, None).await.expect("signed");
    tx.save_unaudited("sealing").await.expect("a commit");
    assert_eq!(scene.finding().await, ("forked".into(), Some(599)), "the fork");
}

#[tokio::test]
async fn an_event_kept_out_of_the_log_is_found() {
    let scene = Scene::set().await;
    record(&scene.db, 1).await;
    scene.tamper("DELETE FROM audit.unsealed").await;
    assert_eq!(scene.verify().await.result, RunResult::Ok, "it may still be on its way");
    scene.db.clock.set(scene.db.ambient.now() + time::Duration::minutes(2));
    assert_eq!(scene.finding().await, ("event_not_sealed".into(), None));
}

#[tokio::test]
async fn a_changed_subtree_or_head_and_a_claimed_archive_are_found() {
    let scene = Scene::set().await;
    scene.tamper("UPDATE audit.nodes SET hash = sha256('x') WHERE idx = 1").await;
    assert_eq!(scene.finding().await, ("node_changed".into(), Some(256)));
    let scene = Scene::set().await;
    scene.tamper("UPDATE audit.checkpoints SET root_hash = sha256('x') WHERE size = 300").await;
    assert_eq!(scene.finding().await, ("checkpoint_changed".into(), Some(299)));
    let scene = Scene::set().await;
    scene
        .tamper("UPDATE audit.checkpoints SET note = replace(note, E'\\n300\\n', E'\\n301\\n') WHERE size = 300")
        .await;
    assert_eq!(scene.finding().await, ("checkpoint_untrusted".into(), Some(299)));
    let scene = Scene::set().await;
    scene
        .tamper(
            "DELETE FROM audit.events; INSERT INTO audit.archives SELECT 'events_2026_03', '2026-03-01Z', \
             '2026-04-01Z', 600, 0, 599, 'f', 'x', 600, 'audit-none', now()",
        )
        .await;
    assert_eq!(scene.finding().await.0, "archive_unproven");
}

#[tokio::test]
async fn what_was_sound_before_must_still_be_what_is_stored() {
    let scene = Scene::set().await;
    assert_eq!(scene.verify().await.result, RunResult::Ok);
    scene.tamper("UPDATE audit.nodes SET hash = sha256('x') WHERE idx = 0").await;
    record(&scene.db, 10).await;
    checkpoint_unguarded(&scene).await;
    let run = walk(&scene.db, &scene.log, Mode::Incremental).await;
    assert_eq!(run.finding.map(|finding| finding.code).as_deref(), Some("forked"));
}

async fn checkpoint_unguarded(scene: &Scene) {
    let mut tx = scene.db.begin().await;
    let (key, settings) = (&scene.log.key, &scene.log.settings);
    certctl_audit_log::sign_now(tx.stores(), &scene.db.ambient, key, settings, None).await.expect("signed");
    tx.save_unaudited("sealing").await.expect("a commit");
}

#[tokio::test]
async fn a_checkpoint_that_is_brought_is_checked_and_a_finding_is_itself_recorded() {
    let scene = Scene::set().await;
    let old = scene.log.kept().expect("kept");
    let note = scene.log.key.sign(300, Hash([5; 32]), scene.db.ambient.now()).expect("signed");
    assert!(old.size > 300);
    let begin = async |note: &str| {
        let mut tx = scene.db.begin().await;
        let (caller, note) = (alice(), Some(note.to_owned()));
        let run = request_verification(tx.stores(), &scene.db.ambient, &caller, &scene.log, Mode::Full, note).await;
        tx.save().await.map(|()| run)
    };
    begin(&note).await.expect("a commit").expect("begins");
    let again = begin(&note).await;
    assert!(again.is_err(), "one at a time; nothing was recorded, so nothing is saved");
    let run = finish(&scene.db, &scene.log).await;
    let finding = run.finding.expect("a finding");
    assert_eq!((finding.code.as_str(), finding.seq), ("forked", Some(299)));
    let filter = AuditFilter { action: Some("audit.break_detected".into()), ..AuditFilter::default() };
    let found = scene.db.read().await.audit_page(&filter, &ListQuery::default()).await.expect("a page");
    assert_eq!(found.rows[0].details["code"], "forked");
    assert_eq!(found.rows[0].category, "auth");
}
