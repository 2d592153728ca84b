//! Faults in the middle of an issuance: nothing that was signed leaves before it is recorded, and what could not be
//! recorded is refused in a way that a client can act on.

use super::{Server, json};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CERTIFICATE: &str = "mc-fault";

/// A server with what a certificate needs, one certificate without versions, and a request for it.
struct Scene {
    server: Server,
    key: String,
    csr: String,
}

impl Scene {
    fn set() -> Self {
        let server = Server::start();
        let key = server.bootstrap();
        let csr = Self::request(&server);
        let scene = Self { server, key, csr };
        scene.create("/api/v1/teams", &json!({"id": "t1", "name": "t1"}));
        scene.create("/api/v1/owners", &json!({"id": "o1", "name": "o1", "email": "o1@example.com", "team_id": "t1"}));
        let certificate = json!({
            "id": CERTIFICATE, "name": CERTIFICATE, "common_name": "fault.example.com",
            "sans": ["fault.example.com"], "owner_id": "o1", "team_id": "t1", "issuer_id": "iss-local",
            "renewal_policy_id": "rp-default",
        });
        scene.create("/api/v1/certificates", &certificate);
        scene
    }

    fn request(server: &Server) -> String {
        let output = Command::new("openssl")
            .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-subj", "/CN=fault.example.com", "-addext", "subjectAltName=DNS:fault.example.com", "-keyout"])
            .arg(server.dir.path().join("fault.key"))
            .output()
            .expect("openssl runs");
        String::from_utf8(output.stdout).expect("PEM is text")
    }

    fn create(&self, path: &str, body: &Value) {
        let (status, answer) = self.server.call("POST", path, Some(&self.key), Some(body));
        assert_eq!(status, 201, "{path}: {answer}");
    }

    fn versions(&self) -> usize {
        let path = format!("/api/v1/certificates/{CERTIFICATE}/versions");
        let (status, answer) = self.server.call("GET", &path, Some(&self.key), None);
        assert_eq!(status, 200, "{answer}");
        answer["data"].as_array().expect("a list").len()
    }

    /// The issuing request as a process of its own, so that it can be left hanging. It prints the status and the
    /// header `Retry-After`.
    fn issue(&self) -> Child {
        let url = format!("https://localhost:{}/api/v1/certificates/{CERTIFICATE}/versions", self.server.port);
        Command::new("curl")
            .args(["-sS", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_code} %header{retry-after}"])
            .arg("--cacert")
            .arg(self.server.dir.path().join("data/tls/ca.crt"))
            .args(["-H", &format!("Authorization: Bearer {}", self.key), "-H", "Content-Type: application/json"])
            .args(["-d", &json!({"csr_pem": self.csr}).to_string(), &url])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("curl runs")
    }

    /// Keeps versions from being stored until the returned session ends, and starts an issuance that has signed and
    /// waits to store.
    fn signed_and_not_stored(&self) -> (Session, Child) {
        let lock = Session::start(self.server.psql(), "inventory.certificate_versions");
        let issuing = self.issue();
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                       AND query LIKE '%INSERT INTO inventory.certificate_versions%'";
        until("the issuance waits to store what it signed", || {
            let output = self.server.psql().args(["-c", waiting]).output().expect("psql runs");
            output.stdout.starts_with(b"1")
        });
        (lock, issuing)
    }

    /// The process of the private PostgreSQL, while there is one.
    fn postmaster(&self) -> Option<String> {
        let file = std::fs::read_dir(self.server.dir.path().join("data"))
            .expect("the data folder")
            .map(|entry| entry.expect("an entry").path().join("postmaster.pid"))
            .find(|path| path.exists())?;
        std::fs::read_to_string(file).ok()?.lines().next().map(str::to_owned)
    }
}

/// A database session that keeps others from writing a table; ends when dropped.
pub(super) struct Session(Child);

impl Session {
    pub(super) fn start(mut psql: Command, table: &str) -> Self {
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql runs");
        let input = child.stdin.as_mut().expect("its input");
        writeln!(input, "BEGIN; LOCK TABLE {table} IN SHARE MODE;\n\\echo held").expect("psql reads");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("psql answers");
        assert_eq!(line.trim(), "held");
        Self(child)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself when the database went away.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn answer(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().expect("curl ends").stdout).into_owned()
}

#[test]
fn a_server_killed_between_signing_and_storing_has_released_nothing() {
    let mut scene = Scene::set();
    let (lock, issuing) = scene.signed_and_not_stored();
    scene.server.signal("-KILL");
    scene.server.child.wait().expect("it is dead");
    assert!(answer(issuing).starts_with("000"), "no response was given");
    drop(lock);
    scene.server.restart();
    assert_eq!(scene.versions(), 0, "what was not stored does not exist");
    assert!(answer(scene.issue()).starts_with("201"), "the certificate can be issued again");
    assert_eq!(scene.versions(), 1);
}

#[test]
fn a_database_lost_in_the_middle_of_a_request_is_a_503_that_asks_to_retry_and_heals_by_itself() {
    let scene = Scene::set();
    let (lock, issuing) = scene.signed_and_not_stored();
    let before = scene.postmaster().expect("PostgreSQL runs");
    assert!(Command::new("kill").args(["-KILL", &before]).status().expect("kill runs").success());
    let answer_then = answer(issuing);
    let (status, retry_after) = answer_then.split_once(' ').expect("two words");
    assert_eq!(status, "503", "{answer_then}");
    assert!(retry_after.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer_then}");
    drop(lock);
    until("the server found a new database process", || {
        scene.server.call("GET", "/ready", None, None).0 == 200 && scene.postmaster().is_some_and(|now| now != before)
    });
    assert_eq!(scene.versions(), 0, "what was refused does not exist");
    assert!(answer(scene.issue()).starts_with("201"), "the retry succeeds");
    assert_eq!(scene.versions(), 1);
}

/// Sends a signal to PostgreSQL and to every process it started.
fn signal_all(signal: &str, postmaster: &str) {
    let sent = Command::new("pkill").args([signal, "-P", postmaster]).status().expect("pkill runs");
    assert!(sent.success(), "its processes got {signal}");
    let sent = Command::new("kill").args([signal, postmaster]).status().expect("kill runs");
    assert!(sent.success(), "PostgreSQL got {signal}");
}

#[test]
fn ready_goes_red_and_nobody_gets_in_while_the_database_does_not_answer() {
    let server = Server::start();
    let scene = Scene { key: server.bootstrap(), csr: String::new(), server };
    let postmaster = scene.postmaster().expect("PostgreSQL runs");
    signal_all("-STOP", &postmaster);
    until("/ready is red", || {
        let (status, answer) = scene.server.call("GET", "/ready", None, None);
        if status != 200 {
            assert_eq!((status, &answer["code"]), (503, &json!("db_unavailable")), "{answer}");
        }
        status == 503
    });
    let (status, _) = scene.server.call("GET", "/health", None, None);
    assert_eq!(status, 200, "the process itself is well");
    // What was remembered of the key lapses, and nothing is decided without the database.
    until("no key is believed", || {
        let (status, answer) = scene.server.call("GET", "/api/v1/auth/me", Some(&scene.key), None);
        assert!(matches!(status, 200 | 503 | 504), "{status} {answer}");
        status != 200
    });
    signal_all("-CONT", &postmaster);
    until("/ready is green", || scene.server.call("GET", "/ready", None, None).0 == 200);
}
