//! Keeping the trail: who may write what, many writers at once, old months, the request log.

use crate::audit_log::{checkpoint, edge_config, record, sealed_log};
use crate::audit_tampering::{finish, walk};
use crate::edge::{TOKEN, send};
use crate::support::{START, TestDatabase, alice};
use certctl_audit::{Action, AuditEvent};
use certctl_audit_log::{
    Archive, Mode, Month, Retention, RunResult, SealedLog, check_export, check_inclusion, drop_archived, due,
    inclusion_proof, seal, write_archive,
};
use certctl_kernel::RequestContext;
use certctl_postgres::Postgres;
use certctl_system::ArchiveFolder;
use certctl_unit_of_work::Database as _;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use time::Duration;
use tokio_postgres::error::SqlState;

#[tokio::test]
async fn the_servers_own_role_adds_and_reads_and_can_change_nothing_of_the_trail() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let owner = db.session().await;
    owner.batch_execute(&certctl_postgres::grants("certctl_runtime_it").expect("a sound name")).await.expect("granted");
    assert!(certctl_postgres::may_change_trail(&db.postgres).await.expect("asked"), "the owner may");
    let runtime = db.as_role("certctl_runtime_it");
    assert!(!certctl_postgres::may_change_trail(&runtime).await.expect("asked"), "the server may not");

    // Everything that the server does with the trail.
    let mut tx = runtime.begin().await.expect("begins");
    tx.record(AuditEvent::new(Action::CreateTeam, &alice().context, "t", json!({}))).await.expect("recorded");
    tx.save().await.expect("a commit");
    checkpoint_as(&runtime, &db, &log).await;
    let mut tx = runtime.begin().await.expect("begins");
    let context = RequestContext::system("it");
    certctl_audit_log::begin(tx.stores(), &db.ambient, &context, Mode::Full, None).await.expect("begins");
    tx.make_months(START, 2).await.expect("months");
    tx.turn_access_log(START, START - Duration::days(90)).await.expect("days");
    tx.save_unaudited("upkeep").await.expect("a commit");
    assert_eq!(finish(&db, &log).await.result, RunResult::Ok);

    let plain = db.session().await;
    plain.batch_execute("SET ROLE certctl_runtime_it").await.expect("the role");
    for table in ["events", "events_default", "events_2026_04", "log", "nodes", "checkpoints", "archives", "access_log"]
    {
        for statement in [
            format!("UPDATE audit.{table} SET ctid = ctid"),
            format!("DELETE FROM audit.{table}"),
            format!("TRUNCATE audit.{table}"),
            format!("DROP TABLE audit.{table}"),
            format!("ALTER TABLE audit.{table} DISABLE TRIGGER ALL"),
        ] {
            let error = plain.batch_execute(&statement).await.expect_err(&statement);
            let refused = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::FEATURE_NOT_SUPPORTED];
            assert!(error.code().is_some_and(|code| refused.contains(code)), "{statement}: {error:?}");
        }
    }
    for statement in [
        "SELECT audit.drop_archived('events_2026_04')",
        "CREATE TABLE audit.x (a int)",
        "SELECT platform.grant_runtime('certctl_runtime_it')",
        "SET session_replication_role = replica",
    ] {
        assert!(plain.batch_execute(statement).await.is_err(), "{statement}");
    }
    runtime.close();
    plain.batch_execute("RESET ROLE").await.expect("the owner again");
    plain.batch_execute("DROP OWNED BY certctl_runtime_it; DROP ROLE certctl_runtime_it").await.expect("tidied up");
}

async fn checkpoint_as(database: &Postgres, db: &TestDatabase, log: &SealedLog) {
    let mut tx = database.begin().await.expect("begins");
    let signed = certctl_audit_log::sign_now(tx.stores(), &db.ambient, &log.key, &log.settings, None).await;
    let signed = signed.expect("signed").expect("not empty");
    tx.save_unaudited("sealing").await.expect("a commit");
    log.keep(&signed).await.expect("kept");
}

#[tokio::test]
async fn when_the_trail_can_not_be_written_the_change_does_not_happen() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    let edge = actix_web::test::init_service(certctl_http::application!(&edge_config(&db, &log))).await;
    let body = json!({"token": TOKEN, "actor_name": "admin"});
    let (_, made) = send!(edge, POST "/api/v1/auth/bootstrap", None, Some(body));
    let key = made["key_value"].as_str();
    let superuser = db.session().await;
    for broken in ["audit.events", "audit.unsealed"] {
        superuser
            .batch_execute(&format!(
                "ALTER TABLE {broken} ADD CONSTRAINT full_disk CHECK (at < '2000-01-01') NOT VALID"
            ))
            .await
            .expect("broken");
        let (status, answer) = send!(edge, POST "/api/v1/teams", key, Some(json!({"id": "t1", "name": "t1"})));
        assert!(status >= 400, "{broken}: {answer}");
        superuser.batch_execute(&format!("ALTER TABLE {broken} DROP CONSTRAINT full_disk")).await.expect("mended");
        assert_eq!(send!(edge, GET "/api/v1/teams/t1", key).0, 404, "{broken}");
    }
    let (status, answer) = send!(edge, POST "/api/v1/teams", key, Some(json!({"id": "t1", "name": "t1"})));
    assert_eq!(status, 201, "{answer}");
}

/// Seconds for which the writers write; a longer run is asked for by the environment.
fn seconds() -> u64 {
    std::env::var("CERTCTL_TEST_AUDIT_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[tokio::test]
async fn sixty_four_writers_at_once_leave_a_log_that_holds() {
    let db = Arc::new(TestDatabase::new().await);
    let log = sealed_log(&db).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let (db, stop) = (Arc::clone(&db), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut written = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut tx = db.begin().await;
                    for _ in 0..=written % 3 {
                        let subject = format!("t-{writer}-{written}");
                        tx.record(AuditEvent::new(Action::CreateTeam, &alice().context, subject, json!({})))
                            .await
                            .expect("recorded");
                    }
                    if written % 7 == 6 {
                        tx.discard().await.expect("undone");
                        written += 1;
                        continue;
                    }
                    tx.save().await.expect("a commit");
                    written += 1;
                }
            })
        })
        .collect();
    let sealer = {
        let (db, log, stop) = (Arc::clone(&db), Arc::clone(&log), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut tx = db.begin().await;
                let sealed = seal(tx.stores(), &db.ambient, &log.key, &log.settings, log.kept().as_ref()).await;
                let sealed = sealed.expect("sealed");
                tx.save_unaudited("sealing").await.expect("a commit");
                if let Some(signed) = sealed.signed {
                    log.keep(&signed).await.expect("kept");
                }
            }
        })
    };
    tokio::time::sleep(std::time::Duration::from_secs(seconds())).await;
    stop.store(true, Ordering::Relaxed);
    for task in writers.into_iter().chain([sealer]) {
        task.await.expect("ends well");
    }
    let signed = checkpoint(&db, &log).await;
    let run = walk(&db, &log, Mode::Full).await;
    assert_eq!((run.result, run.to_seq), (RunResult::Ok, signed.size), "{run:?}");
    let session = db.session().await;
    let events: i64 = session.query_one("SELECT count(*) FROM audit.events", &[]).await.expect("a count").get(0);
    assert_eq!(u64::try_from(events), Ok(signed.size), "each event once");
}

/// Writes a month to a file and drops it.
async fn archive(db: &TestDatabase, log: &SealedLog, folder: &std::path::Path, month: &Month) -> Archive {
    let signed = checkpoint(db, log).await;
    let place = ArchiveFolder::new(folder.to_owned());
    let archive = write_archive(db.read().await.stores(), &place, month, signed).await.expect("written");
    let mut tx = db.begin().await;
    drop_archived(tx.stores(), &RequestContext::system("it"), &archive, db.ambient.now()).await.expect("dropped");
    tx.save().await.expect("a commit");
    archive
}

#[tokio::test]
async fn an_old_month_goes_to_a_file_and_its_proofs_stay() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let mut tx = db.begin().await;
    tx.make_months(START, 2).await.expect("months");
    tx.save_unaudited("upkeep").await.expect("a commit");
    record(&db, 300).await;
    let march = checkpoint(&db, &log).await;
    db.clock.set(START + Duration::days(40));
    record(&db, 50).await;
    db.clock.set(START + Duration::days(100));
    let (now, keep) = (db.ambient.now(), Some(Duration::days(45)));
    let months = async |retention: Retention| {
        due(db.read().await.stores(), &retention, now)
            .await
            .expect("months")
            .into_iter()
            .map(|month| month.partition)
            .collect::<Vec<_>>()
    };
    assert_eq!(months(Retention { keep, hold: false }).await, ["events_2026_03"]);
    assert_eq!(months(Retention { keep, hold: true }).await, Vec::<String>::new(), "a legal hold keeps all");
    assert_eq!(months(Retention { keep: None, hold: false }).await, Vec::<String>::new());

    let superuser = db.session().await;
    let early = superuser.batch_execute("SELECT audit.drop_archived('events_2026_03')").await.expect_err("refused");
    assert!(early.as_db_error().is_some_and(|error| error.message().contains("not archived")), "{early:?}");

    let retention = Retention { keep, hold: false };
    let month = due(db.read().await.stores(), &retention, now).await.expect("months").remove(0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = archive(&db, &log, folder.path(), &month).await;
    assert_eq!((archive.events, archive.first_seq, archive.last_seq), (300, Some(0), Some(299)));
    let left: i64 = superuser.query_one("SELECT count(*) FROM audit.events", &[]).await.expect("a count").get(0);
    assert_eq!(left, 51, "April's, and the event that tells of the archive");

    let file = std::fs::read(&archive.file).expect("the file");
    let digest = ring::digest::digest(&ring::digest::SHA256, &file);
    assert_eq!(archive.sha256, data_encoding::HEXLOWER.encode(digest.as_ref()));
    let checked = check_export(file.as_slice(), &log.trusted, std::slice::from_ref(&march.note)).expect("holds");
    assert_eq!((checked.events, checked.size), (300, archive.checkpoint_size));

    checkpoint(&db, &log).await;
    let run = walk(&db, &log, Mode::Full).await;
    assert_eq!((run.result, run.archived), (RunResult::Ok, 300), "{run:?}");
    let mut stores = db.read().await;
    let leaf = stores.sealed(123, 1).await.expect("a row").remove(0).leaf;
    let proof = inclusion_proof(stores.stores(), march.size, 123).await.expect("a proof");
    assert!(check_inclusion(&proof, march.size, march.root, 123, leaf.hash));
}

#[tokio::test]
async fn months_are_made_ahead_and_events_of_any_time_have_a_place() {
    let db = TestDatabase::new().await;
    record(&db, 1).await;
    let mut tx = db.begin().await;
    assert_eq!(tx.make_months(START, 3).await, Ok(3), "this month's first event lies in the default partition already");
    assert_eq!(tx.make_months(START, 3).await, Ok(0));
    tx.save_unaudited("upkeep").await.expect("a commit");
    let names: Vec<String> =
        db.read().await.months().await.expect("months").into_iter().map(|month| month.partition).collect();
    assert_eq!(names, ["events_2026_04", "events_2026_05", "events_2026_06"]);
    for days in [0, 31, 400] {
        db.clock.set(START + Duration::days(days));
        record(&db, 1).await;
    }
    let session = db.session().await;
    let rows = session
        .query("SELECT tableoid::regclass::text FROM audit.events ORDER BY at, insert_id", &[])
        .await
        .expect("rows");
    let places: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        places,
        ["audit.events_default", "audit.events_default", "audit.events_2026_04", "audit.events_default"]
    );
    let error = session.batch_execute("TRUNCATE audit.events_2026_04").await.expect_err("refused");
    assert!(error.as_db_error().is_some_and(|error| error.message().contains("append-only")));
}

#[tokio::test]
async fn requests_are_logged_apart_with_who_asked_for_what() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.turn_access_log(START, START - Duration::days(90)).await.expect("days");
    tx.save_unaudited("upkeep").await.expect("a commit");
    let (taking, writer) = certctl_http::edge::access_log(1);
    let config = crate::edge::config_with(&db, |state| state.with_log(Arc::clone(&log)).with_access_log(taking));
    let edge = actix_web::test::init_service(certctl_http::application!(&config)).await;
    let (end, ends) = tokio::sync::oneshot::channel();
    let writing = tokio::spawn(writer.run(Arc::new(db.postgres.clone()), ends));
    let body = json!({"token": TOKEN, "actor_name": "admin"});
    let (_, made) = send!(edge, POST "/api/v1/auth/bootstrap", None, Some(body));
    let key = made["key_value"].as_str();
    send!(edge, POST "/api/v1/teams", key, Some(json!({"id": "t1", "name": "t1"})));
    send!(edge, GET "/api/v1/teams?per_page=7", key);
    send!(edge, GET "/api/v1/teams", Some("cctl_unknown"));
    send!(edge, GET "/health", None);
    drop(end);
    writing.await.expect("ends");

    let session = db.session().await;
    let rows = session
        .query(
            "SELECT method, path, status, actor_id, actor_type, permission, length(body_hash), tableoid::regclass::text \
             FROM audit.access_log ORDER BY path, status",
            &[],
        )
        .await
        .expect("rows");
    let seen: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.get::<_, &str>(0),
                row.get::<_, &str>(1),
                row.get::<_, i16>(2),
                row.get::<_, &str>(3),
                row.get::<_, &str>(4),
                row.get::<_, Option<&str>>(5),
                row.get::<_, i32>(6),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("POST", "/api/v1/auth/bootstrap", 201, "anonymous", "Anonymous", None, 64),
            ("GET", "/api/v1/teams", 200, "admin", "APIKey", Some("team.read"), 0),
            ("POST", "/api/v1/teams", 201, "admin", "APIKey", Some("team.edit"), 64),
            ("GET", "/api/v1/teams", 401, "anonymous", "Anonymous", None, 0),
        ]
    );
    assert_eq!(rows[0].get::<_, &str>(7), "audit.access_log_2026_03_01");
    let sealed: i64 = session
        .query_one("SELECT count(*) FROM audit.events WHERE action LIKE 'api\\_%' AND resource_type = 'api'", &[])
        .await
        .expect("a count")
        .get(0);
    assert_eq!(sealed, 0, "use is not change");

    let mut tx = db.begin().await;
    let later = START + Duration::days(120);
    tx.turn_access_log(later, later - Duration::days(90)).await.expect("days");
    tx.save_unaudited("upkeep").await.expect("a commit");
    let left: i64 = session.query_one("SELECT count(*) FROM audit.access_log", &[]).await.expect("a count").get(0);
    assert_eq!(left, 0, "old days are dropped");
}
