//! Two-person approval with the real server and command line: nothing is issued under a guarded profile before another
//! person granted it, by whatever way it is asked for, and a server killed in the middle of a decision has decided
//! nothing.

use super::faults::{Session, until};
use super::{Server, command, free_port, json};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

const CERTIFICATE: &str = "mc-guarded";
const PROFILE: &str = "prof-guarded";
const VERSIONS: &str = "/api/v1/certificates/mc-guarded/versions";
const RENEW: &str = "/api/v1/certificates/mc-guarded/renew";

/// A server with a guarded certificate on the target of an agent, and keys of several persons.
struct Scene {
    server: Server,
    admin: String,
    /// Two keys of one person, a key of another, and a key of nobody.
    ada: String,
    ada_phone: String,
    bob: String,
    nobody: String,
    agent: (String, String),
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

impl Scene {
    fn set(settings: &[(&str, &str)]) -> Self {
        let server = Server::start_with(settings);
        let admin = server.bootstrap();
        let key = |name: &str, owner: Option<&str>| {
            let mut body = json!({"name": name, "roles": ["operator"]});
            if let Some(owner) = owner {
                body["owner_user_id"] = json!(owner);
            }
            let (status, made) = server.call("POST", "/api/v1/auth/api-keys", Some(&admin), Some(&body));
            assert_eq!(status, 201, "{made}");
            text(&made["key_value"])
        };
        let ada = key("ada-laptop", Some("ada"));
        let ada_phone = key("ada-phone", Some("ada"));
        let bob = key("bob-laptop", Some("bob"));
        let nobody = key("nobody-key", None);
        let create = |path: &str, body: Value| {
            let (status, made) = server.call("POST", path, Some(&admin), Some(&body));
            assert_eq!(status, 201, "{path}: {made}");
            made
        };
        create("/api/v1/teams", json!({"id": "t1", "name": "t1"}));
        create("/api/v1/owners", json!({"id": "o1", "name": "o1", "email": "o1@example.com", "team_id": "t1"}));
        create("/api/v1/profiles", json!({"id": PROFILE, "name": "guarded", "requires_approval": true}));
        let enrolled = create("/api/v1/agents", json!({"name": "web1", "hostname": "web1.example.com"}));
        let agent = (text(&enrolled["id"]), text(&enrolled["api_key"]));
        let target = json!({
            "id": "target-1", "name": "nginx", "type": "NGINX", "agent_id": agent.0,
            "config": {"cert_path": "/etc/nginx/tls/web.pem", "key_path": "/etc/nginx/tls/web.key", "reload": "auto"},
        });
        create("/api/v1/targets", target);
        let certificate = json!({
            "id": CERTIFICATE, "name": CERTIFICATE, "common_name": "guarded.example.com",
            "sans": ["guarded.example.com"], "owner_id": "o1", "team_id": "t1", "issuer_id": "iss-local",
            "renewal_policy_id": "rp-default", "certificate_profile_id": PROFILE, "target_ids": ["target-1"],
        });
        create("/api/v1/certificates", certificate);
        Self { server, admin, ada, ada_phone, bob, nobody, agent }
    }

    fn call(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> (u16, Value) {
        self.server.call(method, path, Some(key), body)
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        self.call("POST", path, key, Some(body))
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, &self.admin, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Orders a renewal: (approval request, job).
    fn ask(&self) -> (String, String) {
        let (status, answer) = self.post(RENEW, &self.ada, &json!({}));
        assert_eq!((status, &answer["status"]), (202, &json!("renewal_triggered")), "{answer}");
        (text(&answer["approval_id"]), text(&answer["job_id"]))
    }

    fn decide(&self, id: &str, verb: &str, key: &str) -> (u16, Value) {
        self.post(&format!("/api/v1/approvals/{id}/{verb}"), key, &json!({"note": "as agreed"}))
    }

    fn request(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/approvals/{id}"))
    }

    fn job(&self, id: &str) -> String {
        text(&self.get(&format!("/api/v1/jobs/{id}"))["status"])
    }

    fn versions(&self) -> usize {
        self.get(VERSIONS)["data"].as_array().expect("a list").len()
    }

    /// Actions of the trail about an object, newest first.
    fn trail(&self, id: &str) -> Vec<String> {
        let page = self.get(&format!("/api/v1/audit?resource_id={id}"));
        page["data"].as_array().expect("a list").iter().map(|event| text(&event["action"])).collect()
    }

    /// A request with a fresh key.
    fn csr(&self, name: &str) -> String {
        let output = Command::new("openssl")
            .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-subj", "/CN=guarded.example.com", "-addext", "subjectAltName=DNS:guarded.example.com", "-keyout"])
            .arg(self.server.dir.path().join(name))
            .output()
            .expect("openssl runs");
        String::from_utf8(output.stdout).expect("PEM is text")
    }

    /// What the agent finds to do.
    fn work(&self) -> usize {
        let (status, work) = self.call("GET", &format!("/api/v1/agents/{}/work", self.agent.0), &self.agent.1, None);
        assert_eq!(status, 200, "{work}");
        work["jobs"].as_array().expect("a list").len()
    }

    /// The agent answers.
    fn answer(&self) -> (u16, Value) {
        let body = json!({"csr_pem": self.csr("agent.key"), "certificate_id": CERTIFICATE});
        self.post(&format!("/api/v1/agents/{}/csr", self.agent.0), &self.agent.1, &body)
    }

    fn certctl(&self, key: &str, line: &[&str]) -> Output {
        let mut binary: PathBuf = std::env::current_exe().expect("a test binary has a path");
        binary.pop();
        binary.pop();
        let binary = binary.join("certctl");
        assert!(binary.exists(), "{} is missing: run `cargo build -p certctl-cli` first", binary.display());
        Command::new(binary)
            .args(line)
            .env("CERTCTL_SERVER_URL", format!("https://localhost:{}", self.server.port))
            .env("CERTCTL_SERVER_CA_BUNDLE_PATH", self.server.dir.path().join("data/tls/ca.crt"))
            .env("CERTCTL_API_KEY", key)
            .env("HOME", self.server.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("certctl runs")
    }

    fn sql(&self, statement: &str) -> String {
        let output = self.server.psql().args(["-c", statement]).output().expect("psql runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A request as a process of its own, so that it can be left hanging.
    fn in_the_background(&self, path: &str, key: &str, body: &Value) -> Child {
        let url = format!("https://localhost:{}{path}", self.server.port);
        Command::new("curl")
            .args(["-sS", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
            .arg(self.server.dir.path().join("data/tls/ca.crt"))
            .args(["-H", &format!("Authorization: Bearer {key}"), "-H", "Content-Type: application/json"])
            .args(["-d", &body.to_string(), &url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("curl runs")
    }

    /// Sends a request, kills the server when it is about to write `table`, and starts it again.
    fn killed_at(&mut self, table: &str, statement: &str, path: &str, key: &str, body: &Value) {
        let lock = Session::start(self.server.psql(), table);
        let request = self.in_the_background(path, key, body);
        let waiting = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{statement}%'"
        );
        until(&format!("the request waits to write {table}"), || self.sql(&waiting) != "0");
        self.server.signal("-KILL");
        self.server.child.wait().expect("it is dead");
        let answer = request.wait_with_output().expect("curl ends");
        assert!(String::from_utf8_lossy(&answer.stdout).starts_with("000"), "no response was given");
        drop(lock);
        self.server.restart();
    }
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}

#[test]
fn a_guarded_certificate_is_issued_once_for_each_time_another_person_grants_it() {
    let scene = Scene::set(&[]);
    let (id, job) = scene.ask();
    assert_eq!(scene.job(&job), "AwaitingApproval");
    assert_eq!((scene.work(), scene.versions()), (0, 0), "the agent is given nothing");
    assert_eq!(scene.answer().0, 409, "nor can it answer");
    let direct = scene.post(VERSIONS, &scene.ada, &json!({"csr_pem": scene.csr("own.key")}));
    assert_eq!(code(&direct), (409, "approval_pending"), "{direct:?}");
    for key in [&scene.ada, &scene.ada_phone, &scene.nobody] {
        for verb in ["approve", "reject"] {
            let refused = scene.decide(&id, verb, key);
            assert_eq!(code(&refused), (403, "two_person_integrity"), "{refused:?}");
            assert!(text(&refused.1["message"]).contains("two-person integrity"));
            let refused = scene.post(&format!("/api/v1/jobs/{job}/{verb}"), key, &json!({}));
            assert_eq!(code(&refused), (403, "two_person_integrity"), "{refused:?}");
        }
    }
    let refused = scene.decide(&id, "approve", &scene.agent.1);
    assert_eq!(code(&refused), (403, "insufficient_permission"), "{refused:?}");
    assert_eq!(scene.versions(), 0);

    let (status, decided) = scene.decide(&id, "approve", &scene.bob);
    assert_eq!((status, &decided["action"], &decided["decided_by"]), (200, &json!("approved"), &json!("bob-laptop")));
    assert_eq!(code(&scene.decide(&id, "reject", &scene.bob)), (409, "already_decided"));
    assert_eq!((scene.job(&job).as_str(), scene.work()), ("AwaitingCSR", 1));
    let (status, signed) = scene.answer();
    assert_eq!((status, scene.versions()), (202, 1), "{signed}");
    let used = scene.request(&id);
    assert_eq!(used["consumed_version_id"], scene.get(VERSIONS)["data"][0]["id"], "{used}");
    assert_eq!(scene.trail(&id), ["approval_approved", "approval_requested"]);
    let category = scene.get("/api/v1/audit?action=approval_approved")["data"][0]["event_category"].clone();
    assert_eq!(category, "auth");

    // The approval is used up: each further issuance, whoever asks and however, needs one of its own.
    let csr = json!({"csr_pem": scene.csr("own.key")});
    let (status, waits) = scene.post(VERSIONS, &scene.ada, &csr);
    assert_eq!((status, &waits["status"]), (202, &json!("pending_approval")), "{waits}");
    let (status, again) = scene.post(VERSIONS, &scene.ada, &csr);
    assert_eq!((status, &again["pending_approval_id"]), (202, &waits["pending_approval_id"]));
    assert_eq!(scene.decide(&text(&waits["pending_approval_id"]), "approve", &scene.bob).0, 200);
    let other = scene.post(VERSIONS, &scene.ada, &json!({"csr_pem": scene.csr("other.key")}));
    assert_eq!((other.0, scene.versions()), (202, 1), "another key is another request");
    let (status, issued) = scene.post(VERSIONS, &scene.ada, &csr);
    assert_eq!((status, scene.versions()), (201, 2), "{issued}");
    let spent = scene.post(VERSIONS, &scene.ada, &csr);
    assert_eq!(scene.versions(), 2, "{spent:?}");
}

#[test]
fn the_scheduler_asks_and_issues_nothing_by_itself() {
    let mut scene = Scene::set(&[]);
    let (id, _) = scene.ask();
    assert_eq!(scene.decide(&id, "approve", &scene.bob).0, 200);
    assert_eq!(scene.answer().0, 202);
    scene.sql("UPDATE inventory.certificates SET next_renewal_at = now() - interval '1 minute'");
    // It looks when it starts.
    scene.server.signal("-TERM");
    scene.server.child.wait().expect("it stopped");
    scene.server.restart();
    let pending = "/api/v1/approvals?state=pending";
    until("the scheduler asked", || scene.get(pending)["total"] == 1);
    let request = scene.get(pending)["data"][0].clone();
    assert_eq!((&request["requested_by"], &request["requested_by_type"]), (&json!("system"), &json!("System")));
    let job = text(&request["job_id"]);
    assert_eq!((scene.job(&job).as_str(), scene.answer().0, scene.versions()), ("AwaitingApproval", 409, 1));
    assert_eq!(scene.decide(&text(&request["id"]), "approve", &scene.ada).0, 200, "the server is no person");
    assert_eq!((scene.answer().0, scene.versions()), (202, 2));
}

#[test]
fn a_request_that_nobody_decides_expires_and_nothing_is_issued() {
    let scene = Scene::set(&[
        ("JOB_AWAITING_APPROVAL_TIMEOUT", "2s"),
        ("JOB_TIMEOUT_INTERVAL", "1s"),
        ("SCHEDULER_RETRY_INTERVAL", "1s"),
    ]);
    let (id, job) = scene.ask();
    until("the request expired", || scene.request(&id)["state"] == "expired");
    let ended = scene.request(&id);
    assert_eq!((&ended["decided_by"], scene.job(&job).as_str()), (&json!("system-reaper"), "Cancelled"));
    assert_eq!(code(&scene.decide(&id, "approve", &scene.bob)), (409, "already_decided"));
    assert_eq!(scene.trail(&id), ["approval_expired", "approval_requested"]);
    let runs = "SELECT count(*) FROM platform.scheduler_runs WHERE loop_name = 'job-retry'";
    let before: i64 = scene.sql(runs).parse().expect("a number");
    until("the retries were looked at twice more", || {
        scene.sql(runs).parse::<i64>().is_ok_and(|now| now >= before + 2)
    });
    assert_eq!((scene.job(&job).as_str(), scene.work(), scene.versions()), ("Cancelled", 0, 0));
}

#[test]
fn a_guarded_profile_changes_only_by_a_second_person() {
    let scene = Scene::set(&[]);
    let path = format!("/api/v1/profiles/{PROFILE}");
    let change = json!({"requires_approval": false, "max_ttl_seconds": 86400});
    let (status, asked) = scene.call("PUT", &path, &scene.ada, Some(&change));
    assert_eq!((status, &asked["status"]), (202, &json!("pending_approval")), "{asked}");
    let id = text(&asked["pending_approval_id"]);
    assert_eq!(scene.get(&path)["requires_approval"], true, "nothing is changed yet");
    let request = scene.request(&id);
    assert_eq!(request["payload"]["max_ttl_seconds"], 86400);
    assert_eq!(request["payload_diff"], json!({"requires_approval": [true, false], "max_ttl_seconds": [0, 86400]}));
    let second = scene.call("PUT", &path, &scene.bob, Some(&json!({"enabled": false})));
    assert_eq!((code(&second), &second.1["existing_id"]), ((409, "approval_pending"), &json!(id)));
    let removed = scene.call("DELETE", &format!("{path}?force=true"), &scene.admin, None);
    assert_eq!(code(&removed), (409, "approval_required"));
    let certificate = format!("/api/v1/certificates/{CERTIFICATE}");
    for moved in [json!({"certificate_profile_id": ""}), json!({"sans": ["more.example.com"]})] {
        let refused = scene.call("PUT", &certificate, &scene.admin, Some(&moved));
        assert_eq!(code(&refused), (409, "approval_required"), "{moved}: {refused:?}");
    }
    assert_eq!(code(&scene.decide(&id, "approve", &scene.ada_phone)), (403, "two_person_integrity"));
    assert_eq!(scene.decide(&id, "approve", &scene.bob).0, 200);
    let profile = scene.get(&path);
    assert_eq!((&profile["requires_approval"], &profile["max_ttl_seconds"]), (&json!(false), &json!(86400)));
    let applied = scene.get("/api/v1/audit?action=profile.edit_applied")["data"][0].clone();
    assert_eq!((&applied["actor"], &applied["resource_id"]), (&json!("approval-system"), &json!(PROFILE)), "{applied}");

    let (_, asked) = scene.call("PUT", &path, &scene.ada, Some(&json!({"requires_approval": true})));
    let id = text(&asked["pending_approval_id"]);
    assert_eq!(scene.call("PUT", &path, &scene.bob, Some(&json!({"max_ttl_seconds": 3600}))).0, 200);
    assert_eq!(code(&scene.decide(&id, "approve", &scene.bob)), (409, "stale"));
    assert_eq!(scene.decide(&id, "reject", &scene.bob).0, 200, "a rejection changes nothing and succeeds");
}

#[test]
fn a_server_killed_at_any_statement_of_a_decision_has_decided_nothing() {
    let mut scene = Scene::set(&[]);
    let (id, job) = scene.ask();
    let (path, bob) = (format!("/api/v1/approvals/{id}/approve"), scene.bob.clone());
    let steps = [
        ("work.jobs", "UPDATE work.jobs SET version_id"),
        ("approval.requests", "UPDATE approval.requests"),
        ("audit.events", "INSERT INTO audit."),
        ("approval.outbox", "INSERT INTO approval.outbox"),
    ];
    for (table, statement) in steps {
        scene.killed_at(table, statement, &path, &bob, &json!({}));
        assert_eq!(scene.request(&id)["state"], "pending", "killed at {table}");
        assert_eq!(scene.job(&job), "AwaitingApproval", "killed at {table}");
        assert_eq!(scene.trail(&id), ["approval_requested"], "killed at {table}");
        assert_eq!(scene.answer().0, 409, "killed at {table}");
    }
    assert_eq!(scene.decide(&id, "approve", &scene.bob).0, 200);
    assert_eq!((scene.trail(&id).len(), scene.job(&job).as_str()), (2, "AwaitingCSR"));
    assert_eq!((scene.answer().0, scene.versions()), (202, 1));
}

#[test]
fn a_server_killed_while_a_granted_change_is_made_has_changed_nothing() {
    let mut scene = Scene::set(&[]);
    let profile = format!("/api/v1/profiles/{PROFILE}");
    let (_, asked) = scene.call("PUT", &profile, &scene.ada, Some(&json!({"requires_approval": false})));
    let id = text(&asked["pending_approval_id"]);
    let (path, bob) = (format!("/api/v1/approvals/{id}/approve"), scene.bob.clone());
    let steps = [
        ("policy.certificate_profiles", "UPDATE policy.certificate_profiles"),
        ("audit.events", "INSERT INTO audit."),
        ("approval.requests", "UPDATE approval.requests"),
    ];
    for (table, statement) in steps {
        scene.killed_at(table, statement, &path, &bob, &json!({}));
        assert_eq!(scene.request(&id)["state"], "pending", "killed at {table}");
        assert_eq!(scene.get(&profile)["requires_approval"], true, "killed at {table}");
        assert_eq!(scene.trail(PROFILE), ["profile.edit_request", "create_profile"], "killed at {table}");
    }
    assert_eq!(scene.decide(&id, "approve", &scene.bob).0, 200);
    assert_eq!(scene.get(&profile)["requires_approval"], false);
}

#[test]
fn a_server_killed_while_an_approval_is_used_has_neither_issued_nor_used_it() {
    let mut scene = Scene::set(&[]);
    let csr = json!({"csr_pem": scene.csr("own.key")});
    let (_, waits) = scene.post(VERSIONS, &scene.ada, &csr);
    let id = text(&waits["pending_approval_id"]);
    assert_eq!(scene.decide(&id, "approve", &scene.bob).0, 200);
    let ada = scene.ada.clone();
    let steps = [
        ("inventory.certificate_versions", "INSERT INTO inventory.certificate_versions"),
        ("approval.requests", "UPDATE approval.requests"),
    ];
    for (table, statement) in steps {
        scene.killed_at(table, statement, VERSIONS, &ada, &csr);
        assert_eq!((scene.versions(), &scene.request(&id)["consumed_at"]), (0, &Value::Null), "killed at {table}");
    }
    assert_eq!((scene.post(VERSIONS, &scene.ada, &csr).0, scene.versions()), (201, 1));
    assert_eq!(scene.request(&id)["consumed_version_id"], scene.get(VERSIONS)["data"][0]["id"]);
}

#[test]
fn the_list_shows_what_concerns_whom_and_refuses_filters_that_mean_nothing() {
    let scene = Scene::set(&[]);
    let (id, _) = scene.ask();
    let total = |query: &str, key: &str| {
        let (status, page) = scene.call("GET", &format!("/api/v1/approvals?{query}"), key, None);
        assert_eq!(status, 200, "{query}: {page}");
        page["total"].as_i64().expect("a number")
    };
    for (query, key, expected) in [
        ("", &scene.bob, 1),
        ("state=pending&kind=cert_issuance", &scene.bob, 1),
        ("state=approved", &scene.bob, 0),
        ("kind=profile_edit", &scene.bob, 0),
        ("certificate_id=mc-guarded&requested_by=ada-laptop", &scene.bob, 1),
        ("requested_by=bob-laptop", &scene.bob, 0),
        ("mine=decidable", &scene.bob, 1),
        ("mine=decidable", &scene.ada, 0),
        ("mine=decidable", &scene.ada_phone, 0),
        ("mine=decidable", &scene.nobody, 0),
        ("mine=requested", &scene.ada_phone, 1),
        ("mine=requested", &scene.bob, 0),
    ] {
        assert_eq!(total(query, key), expected, "{query}");
    }
    for (query, field) in [("state=open", "state"), ("kind=x", "kind"), ("mine=yes", "mine"), ("who=me", "who")] {
        let refused = scene.call("GET", &format!("/api/v1/approvals?{query}"), &scene.bob, None);
        assert_eq!((refused.0, refused.1["errors"][0]["field"].as_str()), (400, Some(field)), "{refused:?}");
    }
    let path = format!("/api/v1/approvals/{id}");
    let long = "x".repeat(2001);
    for (verb, body, field) in [
        ("comments", json!({"text": long}), "text"),
        ("comments", json!({"text": " "}), "text"),
        ("approve", json!({"note": long}), "note"),
    ] {
        let refused = scene.post(&format!("{path}/{verb}"), &scene.bob, &body);
        assert_eq!((refused.0, refused.1["errors"][0]["field"].as_str()), (400, Some(field)), "{refused:?}");
    }
    assert_eq!(scene.decide("apr-unknown", "approve", &scene.bob).0, 404);
    assert_eq!(scene.request(&id)["state"], "pending");
}

#[test]
fn the_command_line_lists_shows_talks_decides_and_takes_back() {
    let scene = Scene::set(&[]);
    let run = |key: &str, line: &[&str], code: i32| {
        let output = scene.certctl(key, line);
        let told = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).join("");
        assert_eq!(output.status.code(), Some(code), "{line:?}: {told}");
        told
    };
    let renewed = run(&scene.ada, &["certs", "renew", CERTIFICATE], 0);
    let listed = run(&scene.bob, &["approvals", "list", "--mine", "decidable", "-o", "name"], 0);
    let id = listed.trim();
    assert!(renewed.contains(&format!("Waits for approval: {id}")), "{renewed}");
    run(&scene.bob, &["approvals", "comment", id, "which change?"], 0);
    run(&scene.ada, &["approvals", "comment", id, "CHG-1234"], 0);
    let shown = run(&scene.bob, &["approvals", "show", id, "-o", "json"], 0);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let said: Vec<&str> =
        shown["comments"].as_array().expect("a list").iter().filter_map(|c| c["text"].as_str()).collect();
    assert_eq!(said, ["which change?", "CHG-1234"]);
    run(&scene.ada, &["approvals", "approve", id, "--yes"], 4);
    run(&scene.bob, &["approvals", "withdraw", id], 4);
    let taken_back = run(&scene.ada_phone, &["approvals", "withdraw", id, "--note", "mistaken"], 0);
    assert!(taken_back.contains("withdrawn"), "{taken_back}");
    run(&scene.bob, &["approvals", "approve", id, "--yes"], 8);
    let (second, job) = scene.ask();
    run(&scene.bob, &["approvals", "reject", &second, "--note", "outside the window", "--yes"], 0);
    let cancelled = scene.get(&format!("/api/v1/jobs/{job}"));
    assert_eq!(cancelled["last_error"], "approval rejected: outside the window");
    let (third, _) = scene.ask();
    run(&scene.bob, &["approvals", "approve", &third, "--yes"], 0);
    assert_eq!((scene.answer().0, scene.versions()), (202, 1));
    let file = scene.server.dir.path().join("own.csr");
    std::fs::write(&file, scene.csr("own.key")).expect("writes");
    let file = file.display().to_string();
    let waits = run(&scene.ada, &["certs", "issue", CERTIFICATE, "--csr", &file], 5);
    assert!(waits.contains("a second person must approve it"), "{waits}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a person acknowledges the demo mode by the machine's clock")]
fn approvals_are_bypassed_in_the_demo_mode_only_and_in_the_open() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let refused = command(dir.path(), free_port()).env("CERTCTL_APPROVAL_BYPASS", "true").output().expect("it runs");
    assert!(!refused.status.success());
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("CERTCTL_APPROVAL_BYPASS"), "{told}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().to_string();
    let scene = Scene::set(&[("APPROVAL_BYPASS", "true"), ("DEMO_MODE_ACK", "true"), ("DEMO_MODE_ACK_TS", &now)]);
    let (id, job) = scene.ask();
    assert_eq!((&scene.request(&id)["decided_by"], scene.job(&job).as_str()), (&json!("system-bypass"), "AwaitingCSR"));
    assert_eq!(scene.trail(&id), ["approval_bypassed", "approval_requested"]);
    assert_eq!((scene.answer().0, scene.versions()), (202, 1));
}
