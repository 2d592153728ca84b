//! The first administrator, made once: by many at the same time, and by a server that is killed in the middle.

use super::defences::PROXY;
use super::faults::{Session, until};
use super::{Server, TOKEN, command, json};
use std::process::{Child, Command, Stdio};

/// An attempt as a process of its own; prints the status.
fn attempt(server: &Server, address: &str, name: &str) -> Child {
    Command::new("curl")
        .args(["-sS", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_code}"])
        .arg("--cacert")
        .arg(server.dir.path().join("data/tls/ca.crt"))
        .args(["-H", &format!("X-Forwarded-For: {address}"), "-H", "Content-Type: application/json"])
        .args(["-d", &json!({"token": TOKEN, "actor_name": name}).to_string()])
        .arg(format!("https://localhost:{}/api/v1/auth/bootstrap", server.port))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("curl runs")
}

fn status(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().expect("curl ends").stdout).into_owned()
}

/// Keys, grants and events that a bootstrap leaves.
fn left(server: &Server) -> String {
    server.sql(
        "SELECT (SELECT count(*) FROM iam.api_keys), (SELECT count(*) FROM iam.grants WHERE role_id = 'r-admin'), \
         (SELECT count(*) FROM audit.events WHERE action = 'bootstrap.consume')",
    )
}

#[test]
fn of_twenty_callers_on_two_servers_one_becomes_the_administrator() {
    let first = Server::start_with(&[PROXY]);
    let second = first.replica();
    let attempts: Vec<Child> = (0..20)
        .map(|n| {
            let server = if n % 2 == 0 { &first } else { &second };
            attempt(server, &format!("198.51.100.{n}"), &format!("admin-{n}"))
        })
        .collect();
    let mut statuses: Vec<String> = attempts.into_iter().map(status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[0], "201", "{statuses:?}");
    assert!(statuses[1..].iter().all(|status| status == "410"), "{statuses:?}");
    assert_eq!(left(&first), "1|1|1");
}

#[test]
fn a_server_killed_between_any_two_statements_leaves_nothing_and_the_token_works_again() {
    let mut server = Server::start();
    for table in ["iam.api_keys", "iam.grants", "audit.events"] {
        let lock = Session::start(server.psql(), table);
        let hanging = attempt(&server, "127.0.0.1", "admin");
        let waiting = format!(
            "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = '{table}'::regclass \
             AND mode = 'RowExclusiveLock'"
        );
        until(&format!("the bootstrap waits for {table}"), || server.sql(&waiting) == "t");
        server.signal("-KILL");
        server.child.wait().expect("it is dead");
        assert_eq!(status(hanging), "000", "nothing was answered");
        drop(lock);
        server.restart();
        assert_eq!(left(&server), "0|0|0", "killed at {table}");
        let (_, available) = server.call("GET", "/api/v1/auth/bootstrap", None, None);
        assert_eq!(available, json!({"available": true}), "killed at {table}");
    }
    let key = server.bootstrap();
    assert_eq!(left(&server), "1|1|1");
    assert_eq!(server.call("GET", "/api/v1/auth/me", Some(&key), None).0, 200);
}

#[test]
fn the_token_tells_nothing_once_there_is_an_administrator_and_refusals_are_on_record() {
    let server = Server::start_with(&[("API_KEYS_NAMED", "taken:0f1e2d3c4b5a69788796a5b4c3d2e1f0")]);
    let ask = |token: &str, name: &str| {
        let body = json!({"token": token, "actor_name": name});
        let (status, answer) = server.call("POST", "/api/v1/auth/bootstrap", None, Some(&body));
        (status, answer["code"].as_str().unwrap_or_default().to_owned(), answer["message"].clone())
    };
    assert_eq!(ask("wrong", "admin").0, 401);
    let (status, code, _) = ask(TOKEN, "taken");
    assert_eq!((status, code.as_str()), (409, "conflict"), "another's name is refused and consumes nothing");
    let key = server.bootstrap();
    let right = ask(TOKEN, "second");
    assert_eq!((right.0, right.1.as_str()), (410, "bootstrap_closed"));
    assert_eq!(ask("wrong", "second"), right, "a right and a wrong token look the same");
    let query = "/api/v1/audit?action=bootstrap.consume_failed";
    let (_, trail) = server.call("GET", query, Some(&key), None);
    let mut reasons: Vec<&str> = trail["data"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|event| event["details"]["reason"].as_str())
        .collect();
    reasons.reverse();
    assert_eq!(reasons, ["wrong_token", "name_taken", "closed", "closed"]);
    assert!(!trail.to_string().contains(TOKEN));
    // The sixth call of a minute is not looked at at all.
    assert_eq!(ask(TOKEN, "third").0, 429);
    assert_eq!(trail["data"].as_array().map(Vec::len), Some(4), "{trail}");
}

#[test]
fn br_08_the_way_for_the_first_administrator_opens_again_by_the_hosts_hand_only() {
    let server = Server::start();
    server.bootstrap();
    let reopen = || {
        let mut reopen = command(server.dir.path(), server.port);
        let output = reopen.args(["auth", "reopen-bootstrap"]).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = reopen();
    assert_eq!(code, Some(1), "an administrator is there: {said}");
    // Every administrator is gone, behind the back of the guards.
    server.sql("DELETE FROM iam.grants WHERE role_id = 'r-admin'");
    let again = json!({"token": TOKEN, "actor_name": "again"});
    assert_eq!(server.call("POST", "/api/v1/auth/bootstrap", None, Some(&again)).0, 410);
    let (code, said) = reopen();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(server.call("POST", "/api/v1/auth/bootstrap", None, Some(&again)).0, 201);
    assert_eq!(server.call("POST", "/api/v1/auth/bootstrap", None, Some(&again)).0, 410);
}
