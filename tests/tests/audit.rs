//! The audit trail of the real server, taken along and checked by the real command line with nothing but files; and
//! what happens to a server whose database went back on a checkpoint.

use super::{Server, command, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn tool(name: &str) -> PathBuf {
    super::binary().with_file_name(name)
}

/// The command line with a configuration of its own.
fn certctl(server: &Server, key: &str, arguments: &[&str]) -> Output {
    let mut program = Command::new(tool("certctl"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CERTCTL_")) {
        program.env_remove(name);
    }
    program
        .env("HOME", server.dir.path())
        .env("XDG_CONFIG_HOME", server.dir.path())
        .env("CERTCTL_SERVER_URL", format!("https://localhost:{}", server.port))
        .env("CERTCTL_API_KEY", key)
        .env("CERTCTL_SERVER_CA_BUNDLE_PATH", server.dir.path().join("data/tls/ca.crt"))
        .args(arguments)
        .output()
        .expect("it runs")
}

/// A program that knows of no server.
fn offline(program: &str, arguments: &[&str]) -> Output {
    Command::new(tool(program)).env_clear().env("HOME", "/nonexistent").args(arguments).output().expect("it runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn psql(server: &Server, sql: &str) -> String {
    let data = server.dir.path().join("data");
    let password = std::fs::read_to_string(data.join("postgres.password")).expect("the private password");
    let output = Command::new("psql")
        .env("PGPASSWORD", password.trim())
        .arg("-h")
        .arg(data.join("run"))
        .args(["-U", "certctl", "-d", "certctl", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .output()
        .expect("psql runs");
    assert!(output.status.success(), "{sql}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("a path of text").to_owned()
}

#[test]
fn an_export_is_checked_proved_and_bundled_without_the_server() {
    let server = Server::start();
    let key = server.bootstrap();
    let dir = server.dir.path();
    let [export, kept, verifier, proof, forged] =
        ["export.ndjson", "kept.checkpoint", "audit.key", "proof.json", "forged.ndjson"].map(|name| path(dir, name));
    for number in 0..20 {
        let team = json!({"id": format!("t{number}"), "name": format!("team {number}")});
        assert_eq!(server.call("POST", "/api/v1/teams", Some(&key), Some(&team)).0, 201);
    }
    for arguments in [
        vec!["audit", "key", "--out", &verifier],
        vec!["audit", "checkpoint", "--now", "--out", &kept],
        vec!["audit", "export", "--from", "2020-01-01", "--to", "2100-01-01", "--limit", "all", "--out", &export],
    ] {
        let output = certctl(&server, &key, &arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    }
    // The server verifies by itself when it has started, and one verification runs at a time.
    until("the whole log is verified", || {
        let output = certctl(&server, &key, &["audit", "verify", "--full", "--checkpoint", &kept]);
        let busy = text(&output).contains("verification_running");
        assert!(busy || output.status.success(), "{}", text(&output));
        !busy
    });
    let events = std::fs::read_to_string(&export).expect("the export");
    let event = events.lines().find(|line| line.contains("\"t7\"")).expect("the event");
    let id = serde_json::from_str::<serde_json::Value>(event).expect("JSON")["id"].as_str().expect("an id").to_owned();
    std::fs::write(&forged, events.replace("team 7", "team 8")).expect("written");

    for program in ["certctl", "certctl-audit"] {
        let verb = |arguments: &[&str]| {
            let prefix: &[&str] = if program == "certctl" { &["audit"] } else { &[] };
            offline(program, &[prefix, arguments].concat())
        };
        let output = verb(&["verify", &export, "--key", &verifier, "--checkpoint", &kept]);
        assert!(output.status.success(), "{program}: {}", text(&output));
        let output = verb(&["prove", &id, "--export", &export, "--key", &verifier, "--out", &proof]);
        assert!(output.status.success(), "{program}: {}", text(&output));
        let output = verb(&["verify", "--bundle", &proof, "--key", &verifier]);
        assert!(output.status.success(), "{program}: {}", text(&output));
        let output = verb(&["bundle", "--export", &export, "--key", &verifier, "--action", "create_team"]);
        assert!(
            output.status.success() && text(&output).matches("\"path\"").count() == 20,
            "{program}: {}",
            text(&output)
        );
        let output = verb(&["verify", &forged, "--key", &verifier]);
        assert_eq!(output.status.code(), Some(5), "{program}: {}", text(&output));
        assert!(text(&output).contains(&id), "the event is named: {}", text(&output));
        let output = verb(&["verify", &export]);
        assert_eq!(output.status.code(), Some(2), "{program} without a key: {}", text(&output));
    }
}

#[test]
fn a_trail_that_was_tampered_with_is_found_and_a_database_gone_back_stops_the_signing() {
    let mut server = Server::start();
    let key = server.bootstrap();
    let post = |server: &Server, id: &str| {
        let team = json!({"id": id, "name": id});
        assert_eq!(server.call("POST", "/api/v1/teams", Some(&key), Some(&team)).0, 201);
    };
    post(&server, "t1");
    assert_eq!(server.call("POST", "/api/v1/audit/checkpoint", Some(&key), None).0, 200);
    let runtime =
        psql(&server, "SELECT usename FROM pg_stat_activity WHERE application_name = 'certctl-server' LIMIT 1");
    assert_eq!(runtime, "certctl_runtime", "the server itself can't change the trail");
    psql(
        &server,
        "SET session_replication_role = replica; UPDATE audit.events SET actor_id = 'mallory' WHERE resource_id = 't1'",
    );
    let mut begun = (0, serde_json::Value::Null);
    // The server verifies by itself when it starts, and one at a time.
    until("the verification begins", || {
        begun = server.call("POST", "/api/v1/audit/verify", Some(&key), Some(&json!({"mode": "full"})));
        begun.0 == 202
    });
    let mut last = serde_json::Value::Null;
    until("the verification ends", || {
        last = server.call("GET", "/api/v1/audit/verify", Some(&key), None).1["verifications"][0].clone();
        last["id"] == begun.1["id"] && last["result"] != "running"
    });
    assert_eq!((&last["result"], &last["first_break"]["code"]), (&json!("break"), &json!("event_changed")), "{last}");
    let figures = server.curl(&[
        "-H",
        &format!("Authorization: Bearer {key}"),
        &format!("https://localhost:{}/api/v1/metrics/prometheus", server.port),
    ]);
    let figures = text(&figures);
    for line in
        ["certctl_audit_chain_break_detected_total 1", "certctl_audit_seal_lag_seconds ", "certctl_audit_chain_rows "]
    {
        assert!(figures.lines().any(|found| found.starts_with(line)), "{line} in {figures}");
    }

    // An old backup: everything after the third event is gone.
    psql(
        &server,
        "SET session_replication_role = replica; \
         DELETE FROM audit.events WHERE insert_id IN (SELECT insert_id FROM audit.log WHERE seq > 2); \
         DELETE FROM audit.log WHERE seq > 2; DELETE FROM audit.checkpoints; DELETE FROM audit.nodes; \
         DELETE FROM audit.verifications; DELETE FROM audit.unsealed",
    );
    post(&server, "t2");
    let refused = server.call("POST", "/api/v1/audit/checkpoint", Some(&key), None);
    assert_eq!((refused.0, refused.1["code"].as_str()), (409, Some("audit_log_forked")), "{}", refused.1);
    server.signal("-TERM");
    server.child.wait().expect("it ends");
    let accepted = command(server.dir.path(), server.port)
        .args(["audit", "accept"])
        .stdout(Stdio::piped())
        .output()
        .expect("it runs");
    assert!(accepted.status.success(), "{}", text(&accepted));
    server.restart();
    assert_eq!(server.call("POST", "/api/v1/audit/checkpoint", Some(&key), None).0, 200);
    let (_, trail) = server.call("GET", "/api/v1/audit?action=audit.accepted", Some(&key), None);
    assert_eq!(trail["total"], 1, "the trail tells of it: {trail}");
}

#[test]
fn the_old_trail_is_taken_over_in_the_order_of_its_chain_and_sealed() {
    const FIRST: &str = "d7e8851f5ad3a50459b81ec3c8ebabf53f42cfbbe73ee7a13d3645ac7c35cc22";
    const SECOND: &str = "624ead12224a9727e8d21f8cc4c528d49db4c142d7c9e85352e5f4e198dccebd";
    let mut server = Server::start();
    let key = server.bootstrap();
    server.signal("-TERM");
    server.child.wait().expect("it ends");
    let first = json!({"id": "audit-1", "actor": "alice", "actor_type": "APIKey", "action": "role.create",
        "resource_type": "role", "resource_id": "r-x", "details": "{\"a\": [1, 2], \"b\": \"x\", \"aa\": 1}",
        "timestamp": "2026-01-02T03:04:05.678901Z", "event_category": "auth", "prev_hash": null, "row_hash": FIRST});
    let second = json!({"id": "audit-2", "actor": "system", "actor_type": "System", "action": "job_retry",
        "resource_type": "job", "resource_id": "job-1", "details": null, "timestamp": "2026-01-02 03:04:06+00",
        "event_category": "cert_lifecycle", "prev_hash": FIRST, "row_hash": SECOND});
    let file = server.dir.path().join("old.jsonl");
    std::fs::write(&file, format!("{second}\n{first}\n")).expect("a file");
    let import = |arguments: &[&str]| {
        let mut import = command(server.dir.path(), server.port);
        import.args(["audit", "import"]).arg(&file).args(arguments).stdout(Stdio::piped());
        let output = import.output().expect("it runs");
        (output.status.code(), text(&output) + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, said) = import(&["--head", FIRST]);
    assert!(code == Some(1) && said.contains("its end was cut off"), "{said}");
    let (code, said) = import(&["--head", SECOND, "--dry-run"]);
    assert!(code == Some(0) && said.contains("2 events would be taken over"), "{said}");
    let (code, said) = import(&["--head", SECOND]);
    assert!(code == Some(0) && said.contains("2 events taken over, 0 were there already"), "{said}");
    let (code, said) = import(&["--head", SECOND]);
    assert!(code == Some(0) && said.contains("0 events taken over, 2 were there already"), "{said}");
    std::fs::write(&file, format!("{second}\n{first}\n").replace("alice", "mallory")).expect("a file");
    let (code, said) = import(&["--dry-run", "--despite-breaks"]);
    assert!(code == Some(0) && said.contains("does not hold: event audit-1 is not what was hashed"), "{said}");

    server.restart();
    let (status, event) = server.call("GET", "/api/v1/audit/audit-1", Some(&key), None);
    assert_eq!((status, event["actor"].as_str()), (200, Some("alice")), "{event}");
    assert_eq!((&event["details"]["aa"], event["details"]["legacy"]["row_hash"].as_str()), (&json!(1), Some(FIRST)));
    let (status, proof) = server.call("GET", "/api/v1/audit/audit-2/proof", Some(&key), None);
    assert_eq!(status, 200, "{proof}");
    let order =
        server.sql("SELECT string_agg(event_id, ' ' ORDER BY seq) FROM audit.log WHERE event_id LIKE 'audit-_'");
    assert_eq!(order, "audit-1 audit-2");
    let (_, told) = server.call("GET", "/api/v1/audit?action=audit.imported", Some(&key), None);
    assert_eq!(told["total"], 2, "{told}");
}
