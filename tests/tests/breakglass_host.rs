//! `certctl-server breakglass …` beside a running server and without one.

use super::{Server, command};
use std::io::Write as _;
use std::process::{Output, Stdio};

/// A command on the server's host, with a line of standard input.
pub(super) fn host(server: &Server, arguments: &[&str], input: &str) -> Output {
    let mut child = command(server.dir.path(), server.port)
        .envs(server.settings.clone())
        .arg("breakglass")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that refuses its arguments does not read.
    let _ = writeln!(stdin, "{input}");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// What a command that must succeed prints.
pub(super) fn told(server: &Server, arguments: &[&str], input: &str) -> String {
    let output = host(server, arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(server: &Server, arguments: &[&str], input: &str, why: &str) {
    let output = host(server, arguments, input);
    let error = text(&output.stderr);
    assert!(!output.status.success() && error.contains(why), "{arguments:?}: {error}");
}

fn actions(server: &Server) -> String {
    server.sql(
        "SELECT string_agg(action, ' ' ORDER BY at, id) FROM audit.events WHERE request_id LIKE 'command:breakglass-%'",
    )
}

#[test]
fn an_account_is_made_looked_at_locked_out_helped_and_removed_from_the_host() {
    let server = Server::start_with(&[("BREAKGLASS_ENABLED", "true"), ("BREAKGLASS_BOOT_ACTIVATION", "0")]);
    assert!(told(&server, &["status"], "").starts_with("emergency sign-in was never opened\naccounts: 0"));

    refused(&server, &["create", "drill-1", "--role", "admin"], "too short!!", "min 12 bytes, max 256 bytes");
    refused(&server, &["create", "drill-1"], "correct horse battery", "--role");
    refused(&server, &["create", "a b", "--role", "admin"], "correct horse battery", "id: must match");
    refused(&server, &["create", "actor-demo-anon", "--role", "admin"], "correct horse battery", "own principal");
    refused(&server, &["create", "drill-1", "--role", "viewer"], "correct horse battery", "auth.breakglass.login");
    refused(&server, &["create", "drill-1", "--role", "nobody"], "correct horse battery", "role nobody not found");
    assert_eq!(server.sql("SELECT count(*) FROM iam.users"), "0", "what was refused left nothing");

    told(&server, &["create", "drill-1", "--role", "admin", "--name", "Fire drill"], "correct horse battery");
    refused(&server, &["create", "drill-1", "--role", "admin"], "correct horse battery", "set-password");
    let made = told(&server, &["create", "drill-2", "--role", "admin", "--generate"], "");
    let shown = made.lines().find_map(|line| line.strip_prefix("password: ")).expect("shown once").to_owned();
    let stored = server.sql("SELECT string_agg(password_hash, ' ') FROM iam.breakglass_credentials");
    assert_eq!(stored.matches("$argon2id$v=19$m=65536,t=3,p=4$").count(), 2, "{stored}");
    assert!(!stored.contains(&shown));

    server.sql(
        "UPDATE iam.breakglass_credentials SET failure_count = 5, locked_until = now() + interval '1h' \
                WHERE actor_id = 'drill-1'",
    );
    let list = told(&server, &["list"], "");
    let row = |id: &str| list.lines().find(|line| line.starts_with(id)).expect("a row").to_owned();
    assert!(row("drill-1").contains("locked") && row("drill-1").ends_with("Fire drill"), "{list}");
    assert!(row("drill-2").contains("ready") && !list.contains("argon2"), "{list}");
    told(&server, &["unlock", "drill-1"], "");
    assert!(!told(&server, &["list"], "").contains("  locked  "));
    refused(&server, &["unlock", "nobody"], "", "credential nobody not found");

    let before = server.sql("SELECT password_hash FROM iam.breakglass_credentials WHERE actor_id = 'drill-1'");
    told(&server, &["set-password", "drill-1"], "another horse battery");
    assert_ne!(server.sql("SELECT password_hash FROM iam.breakglass_credentials WHERE actor_id = 'drill-1'"), before);

    assert!(told(&server, &["remove", "drill-2", "--dry-run"], "").contains("would be removed"));
    assert_eq!(server.sql("SELECT count(*) FROM iam.breakglass_credentials"), "2");
    told(&server, &["remove", "drill-2"], "");
    assert_eq!(server.sql("SELECT count(*) FROM iam.grants WHERE actor_id = 'drill-2'"), "0");
    assert_eq!(server.sql("SELECT deactivated_at IS NOT NULL FROM iam.users WHERE id = 'drill-2'"), "t");
    refused(&server, &["create", "drill-2", "--role", "admin"], "correct horse battery", "choose another");

    assert_eq!(
        actions(&server),
        "auth.breakglass_account_created actor_role.grant auth.breakglass_account_created actor_role.grant \
         auth.breakglass_unlocked auth.breakglass_password_set auth.breakglass_credential_removed auth.user_deactivated"
    );
    let trail = server.sql("SELECT string_agg(e::text, ' ') FROM audit.events e");
    for secret in ["horse", "argon2", &shown] {
        assert!(!trail.contains(secret), "{secret} stands in the trail");
    }
}

#[test]
fn bg_15_the_window_is_opened_for_a_time_and_closed_from_the_host_and_at_a_start() {
    let mut server = Server::start_with(&[("BREAKGLASS_ENABLED", "true"), ("BREAKGLASS_MAX_ACTIVATION", "6h")]);
    assert!(told(&server, &["status"], "").contains("is open until"), "a start with the flag opens it");
    assert_eq!(
        server.sql("SELECT closes_at - opened_at, opened_by FROM iam.breakglass_window"),
        "04:00:00|boot",
        "for no longer than set"
    );
    refused(&server, &["enable", "--for", "7h"], "", "from 1m to 360m");
    refused(&server, &["enable", "--for", "soon"], "", "duration");
    assert!(told(&server, &["disable", "--dry-run"], "").contains("would be closed"));
    assert!(told(&server, &["status"], "").contains("is open until"));
    assert!(told(&server, &["disable", "--end-sessions"], "").contains("is closed\n0 sessions ended"));
    assert!(told(&server, &["status"], "").contains("closed by hand"));

    server.signal("-TERM");
    server.child.wait().expect("it ends");
    // The private database is started for the command alone.
    assert!(told(&server, &["status"], "").contains("closed by hand"));
    server.restart();
    assert!(told(&server, &["status"], "").contains("closed by hand"), "a start does not undo a hand");
    assert!(told(&server, &["enable", "--for", "90m", "--reason", "drill"], "").contains("may sign in until"));
    assert_eq!(
        server.sql("SELECT details->>'reason' FROM audit.events WHERE action = 'auth.breakglass_enabled' ORDER BY at DESC LIMIT 1"),
        "drill"
    );
    server.sql("UPDATE iam.breakglass_window SET opened_at = now() - interval '2h', closes_at = now() - interval '1s'");
    assert!(told(&server, &["status"], "").contains("ran out"));
}

#[test]
fn without_the_feature_the_host_is_told_so() {
    let server = Server::start();
    let output = host(&server, &["enable"], "");
    assert!(output.status.success() && text(&output.stderr).contains("CERTCTL_BREAKGLASS_ENABLED is not set here"));
    assert_eq!(server.sql("SELECT opened_by FROM iam.breakglass_window"), "host");
}
