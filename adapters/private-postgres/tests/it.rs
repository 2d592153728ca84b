//! Against real binaries, as root and as an ordinary user.

mod support;

use certctl_ports::fakes::CountingRandom;
use certctl_private_postgres::{PrivatePostgres, PrivatePostgresError, prepare};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use support::{ask, data_dir, postmaster, ready, until};

fn random() -> CountingRandom {
    CountingRandom::new(1)
}

#[tokio::test]
async fn it_starts_survives_a_kill_and_stops() {
    let dir = data_dir();
    let cluster = prepare(dir.path(), &random()).await.expect("initialises");
    let (settings, first) = {
        let running = PrivatePostgres::start(cluster.clone()).await.expect("starts");
        let first = postmaster(dir.path()).expect("it runs");
        let settings =
            ask(&cluster, "SHOW listen_addresses; SHOW data_checksums; SHOW server_encoding; SHOW fsync").await;
        ask(&cluster, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await;

        kill_process(first, Signal::KILL).expect("killed");
        until("the supervisor starts another", || postmaster(dir.path()) != Some(first) && ready(dir.path())).await;
        assert_eq!(ask(&cluster, "SELECT n FROM kept").await, ["7"], "what was committed survives the kill");
        running.stop().await;
        (settings, first)
    };
    assert_eq!(settings, ["", "on", "UTF8", "on"]);
    assert!(postmaster(dir.path()).is_none(), "it stopped and cleaned up");
    assert!(test_kill_process(first).is_err());
}

#[tokio::test]
async fn a_second_start_finds_the_same_cluster_and_password() {
    let dir = data_dir();
    let cluster = prepare(dir.path(), &random()).await.expect("initialises");
    let password = cluster.password().expose().clone();
    PrivatePostgres::start(cluster).await.expect("starts").stop().await;
    let cluster = prepare(dir.path(), &CountingRandom::new(9)).await.expect("finds it");
    assert_eq!(*cluster.password().expose(), password);
    let running = PrivatePostgres::start(cluster.clone()).await.expect("starts again");
    assert_eq!(ask(&cluster, "SELECT current_user").await, ["certctl"]);
    running.stop().await;
}

#[tokio::test]
async fn nobody_else_reads_what_it_keeps() {
    let dir = data_dir();
    let cluster = prepare(dir.path(), &random()).await.expect("initialises");
    let running = PrivatePostgres::start(cluster.clone()).await.expect("starts");
    let pid = postmaster(dir.path()).expect("it runs").as_raw_nonzero();
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("readable");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    running.stop().await;
    let mode = |path: &str| dir.path().join(path).metadata().expect("exists").permissions().mode() & 0o777;
    assert_eq!((mode("postgres"), mode("run")), (0o700, 0o700));
    assert_eq!((mode("postgres.log"), mode("postgres.password")), (0o600, 0o600));
    assert_eq!(mode("") & 0o067, 0, "the data directory itself is closed");
    assert!(!dir.path().join("run/initdb.password").exists());
    // The server's secrets come in variables; the test's own stand for them here.
    assert!(std::env::vars_os().any(|(name, _)| name == "CARGO_MANIFEST_DIR"));
    assert!(!environment.contains("CARGO_MANIFEST_DIR"), "PostgreSQL saw our environment");
}

#[tokio::test]
async fn a_lost_password_is_replaced() {
    let dir = data_dir();
    let cluster = prepare(dir.path(), &random()).await.expect("initialises");
    PrivatePostgres::start(cluster).await.expect("starts").stop().await;
    std::fs::remove_file(dir.path().join("postgres.password")).expect("removed");
    let cluster = prepare(dir.path(), &CountingRandom::new(9)).await.expect("gives a new one");
    let running = PrivatePostgres::start(cluster.clone()).await.expect("starts");
    assert_eq!(ask(&cluster, "SELECT 1").await, ["1"]);
    running.stop().await;
    let again = prepare(dir.path(), &CountingRandom::new(5)).await.expect("finds it");
    assert_eq!(again.password().expose(), cluster.password().expose());
}

#[tokio::test]
async fn a_long_path_leads_to_a_short_socket() {
    let dir = data_dir();
    let deep = dir.path().join("d".repeat(90));
    std::fs::create_dir(&deep).expect("mkdir");
    let cluster = prepare(&deep, &random()).await.expect("initialises");
    let running = PrivatePostgres::start(cluster.clone()).await.expect("starts");
    assert_eq!(ask(&cluster, "SELECT 1").await, ["1"]);
    running.stop().await;
    assert!(!cluster.socket_dir().starts_with(&deep));
    std::fs::remove_dir_all(cluster.socket_dir()).expect("removed");
}

#[tokio::test]
async fn dropped_without_a_stop_it_ends_all_the_same() {
    let dir = data_dir();
    let cluster = prepare(dir.path(), &random()).await.expect("initialises");
    drop(PrivatePostgres::start(cluster).await.expect("starts"));
    until("it ends", || postmaster(dir.path()).is_none()).await;
}

#[tokio::test]
async fn data_of_another_major_version_are_refused_with_the_way_out() {
    let dir = data_dir();
    let cluster = prepare(dir.path(), &random()).await.expect("initialises");
    drop(cluster);
    std::fs::write(dir.path().join("postgres/PG_VERSION"), "9\n").expect("write");
    let error = prepare(dir.path(), &random()).await.err().expect("refused");
    let PrivatePostgresError::ForeignVersion { found, available, .. } = &error else { panic!("{error}") };
    let text = error.to_string();
    assert_eq!(found, "9");
    for part in ["PostgreSQL 9", available.as_str(), "pg_upgrade", "pg_dumpall"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn a_folder_closed_to_postgres_is_named() {
    if !rustix::process::geteuid().is_root() {
        // An ordinary user's PostgreSQL passes wherever the user does.
        return;
    }
    let dir = data_dir();
    let closed = dir.path().join("closed");
    std::fs::create_dir_all(closed.join("data")).expect("mkdir");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    let error = prepare(&closed.join("data"), &random()).await.err().expect("refused");
    assert!(matches!(&error, PrivatePostgresError::Blocked { folder, .. } if *folder == closed), "{error}");
}

/// Not a test of its own: the process that the tests below kill. It runs a private PostgreSQL until it is killed.
#[tokio::test]
async fn a_server_to_be_killed() {
    let Some(dir) = std::env::var_os("HOLD_DATA_DIR") else { return };
    let cluster = prepare(Path::new(&dir), &random()).await.expect("initialises");
    let running = PrivatePostgres::start(cluster).await.expect("starts");
    std::future::pending::<()>().await;
    drop(running);
}

fn server_on(dir: &Path) -> std::process::Command {
    let mut server = support::this_program(dir);
    server.args(["--exact", "a_server_to_be_killed", "--nocapture"]);
    server.env("HOLD_DATA_DIR", dir.join("data")).stdout(Stdio::null()).stderr(Stdio::null());
    server
}

#[tokio::test]
async fn a_killed_server_leaves_an_orphan_that_the_next_one_stops() {
    let dir = data_dir();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("mkdir");
    let mut server = server_on(dir.path()).spawn().expect("spawns");
    until("it is ready", || ready(&data)).await;
    let orphan = postmaster(&data).expect("it runs");
    server.kill().expect("killed");
    server.wait().expect("gone");
    assert!(test_kill_process(orphan).is_ok(), "PostgreSQL outlived its server");

    let cluster = prepare(&data, &random()).await.expect("finds the cluster");
    let running = PrivatePostgres::start(cluster.clone()).await.expect("starts beside the orphan");
    assert_ne!(postmaster(&data), Some(orphan));
    assert_eq!(ask(&cluster, "SELECT 1").await, ["1"]);
    running.stop().await;
}

#[tokio::test]
async fn both_killed_at_once_recover() {
    let dir = data_dir();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("mkdir");
    let mut server = server_on(dir.path()).spawn().expect("spawns");
    until("it is ready", || ready(&data)).await;
    let postgres = postmaster(&data).expect("it runs");
    server.kill().expect("killed");
    kill_process(postgres, Signal::KILL).expect("killed");
    server.wait().expect("gone");

    // At once: processes of the killed postgres may still hold its shared memory.
    let cluster = prepare(&data, &random()).await.expect("finds the cluster");
    let running = PrivatePostgres::start(cluster.clone()).await.expect("recovers");
    assert_eq!(ask(&cluster, "SELECT 1").await, ["1"]);
    running.stop().await;
}

#[test]
fn an_ordinary_user_runs_it_as_himself() {
    let Some(user) = support::an_ordinary_user() else {
        // We are no root, so every other test has shown it.
        return;
    };
    let dir = data_dir();
    let names = ["it_starts_survives_a_kill_and_stops", "both_killed_at_once_recover"];
    let output = support::as_user(&mut support::this_program(dir.path()), user, dir.path())
        .arg("--exact")
        .args(names)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("2 passed"), "{text}");
}

/// After a reboot the number of the old postgres may belong to any process.
#[tokio::test]
async fn stale_lock_files_do_not_keep_it_from_starting() {
    let dir = data_dir();
    let cluster = prepare(dir.path(), &random()).await.expect("initialises");
    let ourselves = Pid::as_raw(Some(rustix::process::getpid()));
    for content in [format!("{ourselves}\n/elsewhere\n1\n5432\n\n\n1 1\nready\n"), "garbage".to_owned(), String::new()]
    {
        for file in ["postgres/postmaster.pid", "run/.s.PGSQL.5432.lock"] {
            std::fs::write(dir.path().join(file), &content).expect("written");
        }
        let running = PrivatePostgres::start(cluster.clone()).await.expect("starts");
        assert_eq!(ask(&cluster, "SELECT 1").await, ["1"]);
        running.stop().await;
    }
}
