//! Against real binaries.

use certctl_ports::fakes::CountingRandom;
use certctl_private_postgres::{PrivatePostgres, PrivatePostgresError, prepare};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

fn data_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // The unprivileged user of a root server must pass through it.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("chmod");
    dir
}

fn postmaster(dir: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(dir.join("postgres/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn it_starts_survives_kills_and_stops() {
    let dir = data_dir();
    let random = CountingRandom::new(1);
    let cluster = prepare(dir.path(), &random).await.expect("initialises");
    let password = cluster.password().expose().clone();
    let running = PrivatePostgres::start(cluster).await.expect("starts");
    assert!(dir.path().join("run/.s.PGSQL.5432").exists(), "it listens on the socket");

    let first = postmaster(dir.path()).expect("it runs");
    kill_process(first, Signal::KILL).expect("killed");
    until("the supervisor starts another", || {
        postmaster(dir.path()).is_some_and(|pid| pid != first)
            && std::fs::read_to_string(dir.path().join("postgres/postmaster.pid")).is_ok_and(|t| t.contains("ready"))
    })
    .await;
    running.stop().await;
    assert!(postmaster(dir.path()).is_none(), "it stopped and cleaned up");

    // A second start finds the same cluster and the same password.
    let cluster = prepare(dir.path(), &random).await.expect("finds the cluster");
    assert_eq!(*cluster.password().expose(), password);
    let left_behind = PrivatePostgres::start(cluster.clone()).await.expect("starts again");
    let orphan = postmaster(dir.path()).expect("it runs");
    // As if this server had been killed: the next start stops what it left behind.
    let next = PrivatePostgres::start(cluster).await.expect("starts beside an orphan");
    assert_ne!(postmaster(dir.path()), Some(orphan));
    drop(left_behind);
    next.stop().await;
}

#[tokio::test]
async fn data_of_another_major_version_is_refused_with_the_way_out() {
    let dir = data_dir();
    std::fs::create_dir(dir.path().join("postgres")).expect("mkdir");
    std::fs::write(dir.path().join("postgres/PG_VERSION"), "9\n").expect("write");
    let error = prepare(dir.path(), &CountingRandom::new(1)).await.err().expect("refused");
    assert!(matches!(error, PrivatePostgresError::ForeignVersion { .. }));
    assert!(error.to_string().contains("pg_upgrade"), "{error}");
}
