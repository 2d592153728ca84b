//! What the tests share.

use certctl_private_postgres::Cluster;
use rustix::process::Pid;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A folder through which the unprivileged user of a root server can pass.
pub fn data_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // The PostgreSQL of root runs as another user and must pass through.
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).expect("chmod");
    dir
}

/// The running postgres of a data directory.
pub fn postmaster(dir: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(dir.join("postgres/postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)
}

/// Whether it takes connections.
pub fn ready(dir: &Path) -> bool {
    std::fs::read_to_string(dir.join("postgres/postmaster.pid")).is_ok_and(|text| text.contains("ready"))
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The first column of every row that the statements give.
pub async fn ask(cluster: &Cluster, statements: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::Config::new()
        .host_path(cluster.socket_dir())
        .user(cluster.name())
        .dbname(cluster.name())
        .password(cluster.password().expose())
        .connect(NoTls)
        .await
        .expect("connects");
    let connection = tokio::spawn(connection);
    let messages = client.simple_query(statements).await.expect("answers");
    drop(client);
    connection.await.expect("joins").expect("ends in order");
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
        _ => None,
    });
    rows.collect()
}

/// This test program, copied to where every user may run it.
pub fn this_program(dir: &Path) -> Command {
    let copy = dir.join("program");
    if !copy.exists() {
        // By another process: a child that some other test starts meanwhile would inherit our handle for writing, and
        // a program that is open for writing can't be run.
        let program = std::env::current_exe().expect("known");
        let copied =
            Command::new("install").args(["-m", "755"]).arg(program).arg(&copy).status().expect("install runs");
        assert!(copied.success(), "the program is copied");
    }
    Command::new(copy)
}

/// Somebody without privileges, when we have them.
pub fn an_ordinary_user() -> Option<(u32, u32)> {
    rustix::process::geteuid().is_root().then_some((65_534, 65_534))
}

/// Runs the program as the user, with temporary files where the user may write.
pub fn as_user<'a>(command: &'a mut Command, (uid, gid): (u32, u32), dir: &Path) -> &'a mut Command {
    let temporary = dir.join("tmp");
    std::fs::create_dir(&temporary).expect("mkdir");
    chown(&temporary, Some(uid), Some(gid)).expect("chown");
    command.uid(uid).gid(gid).env("TMPDIR", temporary).current_dir("/")
}
