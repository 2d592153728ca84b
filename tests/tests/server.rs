//! The real server binary, looked at from outside with programs that are not ours: curl, openssl, kill.
//!
//! `just unit` builds the binary first; cargo alone does not know that this test needs it.

mod approvals;
mod audit;
mod auth_admin;
mod breakglass_host;
mod breakglass_log;
mod browser;
mod defences;
mod demo_residue;
mod faults;
mod first_admin;
mod matrix;
mod oidc_provider;
mod pages;
mod roles_cli;
mod sealing;
mod sessions;
mod token_ca;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const TOKEN: &str = "a-bootstrap-token-of-forty-characters-xx";

fn binary() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test binary has a path");
    path.pop();
    path.pop();
    let path = path.join("certctl-server");
    assert!(path.exists(), "{} is missing: run `cargo build -p certctl-server` first", path.display());
    path
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

struct Server {
    dir: tempfile::TempDir,
    port: u16,
    child: Child,
    settings: Vec<(String, String)>,
}

fn command(dir: &Path, port: u16) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CERTCTL_")) {
        command.env_remove(name);
    }
    command
        .env("CERTCTL_DATA_DIR", dir.join("data"))
        .env("CERTCTL_SERVER_PORT", port.to_string())
        .env("CERTCTL_CONFIG_ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef")
        .env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "fedcba9876543210fedcba9876543210")
        .env("CERTCTL_BOOTSTRAP_TOKEN", TOKEN)
        .env("CERTCTL_SHUTDOWN_DRAIN_DELAY", "0s")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With settings beside the usual ones; names are without `CERTCTL_`, `{port}` is the port that it listens on.
    fn start_with(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| (format!("CERTCTL_{name}"), (*value).to_owned())).collect();
        let dir = tempfile::Builder::new().prefix("cc").tempdir().expect("a temporary folder");
        // The private PostgreSQL of a root server runs as another user and must pass through.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("chmod");
        let port = free_port();
        let settings: Vec<(String, String)> = settings;
        let here = |(name, value): (String, String)| (name, value.replace("{port}", &port.to_string()));
        let settings: Vec<(String, String)> = settings.into_iter().map(here).collect();
        let child = command(dir.path(), port).envs(settings.clone()).spawn().expect("the server starts");
        let server = Self { dir, port, child, settings };
        server.until_ready();
        server
    }

    /// Another server on this one's database, with the same settings.
    fn replica(&self) -> Self {
        let password = std::fs::read_to_string(self.dir.path().join("data/postgres.password")).expect("a password");
        let sockets = self.dir.path().join("data/run").display().to_string().replace('/', "%2F");
        let url = format!("postgres://certctl:{}@{sockets}/certctl", password.trim());
        let mut settings = self.settings.clone();
        settings.push(("CERTCTL_DATABASE_URL".to_owned(), url));
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (name.trim_start_matches("CERTCTL_"), value.as_str())).collect();
        Self::start_with(&settings)
    }

    /// A session of `psql` with the private database.
    fn psql(&self) -> Command {
        let data = self.dir.path().join("data");
        let password = std::fs::read_to_string(data.join("postgres.password")).expect("the private password");
        let mut psql = Command::new("psql");
        psql.env("PGPASSWORD", password.trim()).arg("-h").arg(data.join("run"));
        psql.args(["-U", "certctl", "-d", "certctl", "-XAtq", "-v", "ON_ERROR_STOP=1"]);
        psql
    }

    /// What a statement prints.
    fn sql(&self, statement: &str) -> String {
        let output = self.psql().args(["-c", statement]).output().expect("psql runs");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn restart(&mut self) {
        self.child =
            command(self.dir.path(), self.port).envs(self.settings.clone()).spawn().expect("the server starts again");
        self.until_ready();
    }

    fn until_ready(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.call("GET", "/ready", None, None).0 != 200 {
            assert!(Instant::now() < deadline, "the server did not become ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert"])
            .arg(self.dir.path().join("data/tls/ca.crt"))
            .args(arguments)
            .output()
            .expect("curl runs")
    }

    fn call(&self, method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> (u16, Value) {
        let url = format!("https://localhost:{}{path}", self.port);
        let authorization = key.map(|key| format!("Authorization: Bearer {key}"));
        let text = body.map(ToString::to_string);
        let mut arguments = vec!["-X", method, "-w", "\n%{http_code}", &url];
        if let Some(header) = &authorization {
            arguments.extend(["-H", header]);
        }
        if let Some(text) = &text {
            arguments.extend(["-H", "Content-Type: application/json", "-d", text]);
        }
        let output = self.curl(&arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        (status.trim().parse().unwrap_or(0), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn bootstrap(&self) -> String {
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (status, answer) = self.call("POST", "/api/v1/auth/bootstrap", None, Some(&body));
        assert_eq!(status, 201, "{answer}");
        answer["key_value"].as_str().expect("a key").to_owned()
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(done.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("-TERM");
            self.child.wait().expect("the server ends");
        }
    }
}

#[test]
fn the_first_administrator_signs_in_once_and_the_trail_shows_it() {
    let server = Server::start();
    let key = server.bootstrap();
    let (status, me) = server.call("GET", "/api/v1/auth/me", Some(&key), None);
    assert_eq!((status, me["actor_id"].as_str()), (200, Some("admin")), "{me}");
    let again = json!({"token": TOKEN, "actor_name": "second"});
    assert_eq!(server.call("POST", "/api/v1/auth/bootstrap", None, Some(&again)).0, 410);
    let (_, trail) = server.call("GET", "/api/v1/audit?action=bootstrap.consume", Some(&key), None);
    assert_eq!(trail["total"], 1, "{trail}");
    assert!(!trail.to_string().contains(&key), "no key in the trail");
}

#[test]
fn strangers_learn_nothing_and_wrong_methods_are_named() {
    let server = Server::start();
    assert_eq!(server.call("GET", "/api/v1/audit", None, None).0, 401);
    assert_eq!(server.call("GET", "/api/v1/audit", Some("cctl_unknown"), None).0, 401);
    assert_eq!(server.call("GET", "/api/v1/nothing", None, None).0, 401);
    let key = server.bootstrap();
    assert_eq!(server.call("GET", "/api/v1/nothing", Some(&key), None).0, 404);
    let (status, error) = server.call("DELETE", "/health", None, None);
    assert_eq!((status, error["code"].as_str()), (405, Some("method_not_allowed")));
    let (status, error) = server.call("POST", "/api/v1/auth/api-keys", Some(&key), Some(&json!({"name": 3})));
    assert_eq!((status, error["errors"][0]["field"].as_str()), (400, Some("name")), "{error}");
}

#[test]
fn only_tls_1_3_is_spoken() {
    let server = Server::start();
    let address = format!("localhost:{}", server.port);
    let handshake = |version: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &address, version, "-CAfile"])
            .arg(server.dir.path().join("data/tls/ca.crt"))
            .args(["-verify_return_error", "-verify_hostname", "localhost"])
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        output.status.success()
    };
    assert!(handshake("-tls1_3"));
    assert!(!handshake("-tls1_2"));
}

#[test]
fn a_killed_server_comes_back_with_everything_it_acknowledged() {
    let mut server = Server::start();
    let key = server.bootstrap();
    let body = json!({"name": "ci-deploy", "roles": ["r-viewer"]});
    let (status, made) = server.call("POST", "/api/v1/auth/api-keys", Some(&key), Some(&body));
    assert_eq!(status, 201, "{made}");
    server.signal("-KILL");
    server.child.wait().expect("it is dead");
    server.restart();
    let second = made["key_value"].as_str().expect("a key");
    assert_eq!(server.call("GET", "/api/v1/auth/me", Some(second), None).0, 200);
    assert_eq!(server.call("GET", "/api/v1/auth/me", Some(&key), None).0, 200);
}

#[test]
fn a_second_server_on_the_directory_is_refused_and_told_by_whom() {
    let server = Server::start();
    let output = command(server.dir.path(), free_port()).output().expect("it runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&server.child.id().to_string()), "{text}");
}

#[test]
fn a_broken_configuration_names_every_problem_and_starts_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = command(dir.path(), 0)
        .arg("config")
        .arg("check")
        .env("CERTCTL_LOG_LEVEL", "loud")
        .env("CERTCTL_CONFIG_ENCRYPTION_KEY", "short-secret")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    for name in ["CERTCTL_SERVER_PORT", "CERTCTL_LOG_LEVEL", "CERTCTL_CONFIG_ENCRYPTION_KEY"] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("short-secret"), "{text}");
    assert!(!dir.path().join("data").exists());
}

#[test]
fn the_committed_openapi_document_is_what_the_code_says() {
    let output = Command::new(binary()).arg("openapi").output().expect("it runs");
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let committed = std::fs::read_to_string(committed).expect("the document is committed");
    assert!(
        committed == String::from_utf8_lossy(&output.stdout),
        "openapi/openapi.json is stale: run `just openapi` and commit the result"
    );
}
