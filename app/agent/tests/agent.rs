//! The agent's binary against a control plane of the test's own: real HTTPS, certificates signed by `openssl`.

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use certctl_ports::{Clock, KeyAlgorithm, KeyGenerator};
use certctl_signers::RingKeys;

use certctl_x509::{San, Serial, ca, csr, pem, tls};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the control plane knows and was told.
#[derive(Default)]
struct Books {
    jobs: Vec<Value>,
    certificate_pem: String,
    /// (method and path, body, authorization, enrolment token), in order.
    calls: Vec<(String, Value, String, String)>,
    retired: bool,
    /// Reports of a job's end are refused with 503 while this is set.
    reports_down: bool,
}

struct Shared {
    books: Mutex<Books>,
    changed: Condvar,
    folder: PathBuf,
}

impl Shared {
    fn wait_for(&self, what: &str, ready: impl Fn(&Books) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut books = self.books.lock().expect("no panic");
        while !ready(&books) {
            let left = deadline.saturating_duration_since(Instant::now());
            let calls: Vec<_> = books.calls.iter().map(|call| &call.0).collect();
            assert!(!left.is_zero(), "no {what} within a minute; calls: {calls:?}");
            books = self.changed.wait_timeout(books, left).expect("no panic").0;
        }
    }

    /// Bodies of the calls to a path.
    fn bodies(&self, call: &str) -> Vec<Value> {
        let books = self.books.lock().expect("no panic");
        books.calls.iter().filter(|seen| seen.0 == call).map(|seen| seen.1.clone()).collect()
    }
}

fn tool(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Signs a CSR as openssl would, names and all.
fn sign(folder: &Path, csr_pem: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(at("asked.csr"), csr_pem).expect("writes");
    tool("openssl", &["req", "-in", &at("asked.csr"), "-noout", "-verify"]);
    let sign = ["x509", "-req", "-in", &at("asked.csr"), "-CA", &at("issuer.pem"), "-CAkey", &at("issuer.key")];
    tool(
        "openssl",
        &[&sign[..], &["-CAcreateserial", "-copy_extensions", "copyall", "-out", &at("leaf.pem")]].concat(),
    );
    std::fs::read_to_string(at("leaf.pem")).expect("the leaf")
}

async fn answer(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let call = format!("{} {}", request.method(), request.path());
    let mut books = shared.books.lock().expect("no panic");
    let (status, reply) = match call.as_str() {
        "POST /api/v1/agents" if header("X-Agent-Bootstrap-Token") == "token-1" => {
            (201, json!({"id": "agt-1", "name": body["name"], "status": "Online", "api_key": "cctl_agent"}))
        }
        _ if header("Authorization") != "Bearer cctl_agent" => (401, json!({"error": "unauthorized"})),
        _ if books.retired => (410, json!({"message": "Agent has been retired"})),
        "POST /api/v1/agents/agt-1/heartbeat" => (200, json!({"status": "heartbeat_recorded"})),
        "GET /api/v1/agents/agt-1/work" => (200, json!({"jobs": books.jobs, "count": books.jobs.len()})),
        "POST /api/v1/agents/agt-1/csr" => {
            let asked = body["csr_pem"].as_str().unwrap_or_default();
            if body["certificate_id"] == "mc-refused" {
                (422, json!({"message": "the profile allows RSA only"}))
            } else {
                books.certificate_pem = sign(&shared.folder, asked);
                books.jobs.clear();
                (202, json!({"status": "csr_signed"}))
            }
        }
        "GET /api/v1/agents/agt-1/certificates/mc-1" => (200, json!({"certificate_pem": books.certificate_pem})),
        path if path.ends_with("/status") && books.reports_down && body["status"] != "Running" => (503, json!({})),
        path if path.ends_with("/status") => {
            books.jobs.clear();
            (200, json!({"status": "updated"}))
        }
        _ => (404, json!({"message": "no such route"})),
    };
    books.calls.push((call, body, header("Authorization"), header("X-Agent-Bootstrap-Token")));
    shared.changed.notify_all();
    HttpResponse::build(StatusCode::from_u16(status).expect("a status")).json(reply)
}

/// A control plane on a thread of its own.
struct ControlPlane {
    shared: web::Data<Shared>,
    port: u16,
    handle: ServerHandle,
    folder: TempDir,
}

fn server_tls(folder: &Path) -> rustls::ServerConfig {
    let keys = RingKeys::new();
    let now = certctl_system::SystemClock.now();
    let serial = |octet: u8| Serial::from_random([octet; 20]).expect("not zero");
    let make = || {
        let der = keys.generate(KeyAlgorithm::EcdsaP256).expect("a key");
        let key = keys.load_der(&der).expect("loads");
        (der, key)
    };
    let (_, ca_key) = make();
    let ca_der = tls::bootstrap_ca("Scratch HTTPS CA", serial(1), now, ca_key.as_ref()).expect("a CA");
    let (leaf_der, leaf_key) = make();
    let names = [San::parse("localhost").expect("a name")];
    let issuer = ca::load(&pem::encode(pem::CERTIFICATE, &ca_der), now).expect("a CA").issuer();
    let leaf = tls::bootstrap_leaf(&names, leaf_key.public_key_spki(), serial(2), now, &issuer, ca_key.as_ref());
    std::fs::write(folder.join("https-ca.pem"), pem::encode(pem::CERTIFICATE, &ca_der)).expect("writes");
    let chain = vec![CertificateDer::from(leaf.expect("a leaf")), CertificateDer::from(ca_der)];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_der.to_vec()));
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair")
}

impl ControlPlane {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let make = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=Scratch Issuer",
        ];
        tool("openssl", &[&make[..], &["-keyout", &at("issuer.key"), "-out", &at("issuer.pem")]].concat());
        let shared = web::Data::new(Shared {
            books: Mutex::default(),
            changed: Condvar::new(),
            folder: folder.path().to_owned(),
        });
        let tls = server_tls(folder.path());
        let (told, started) = std::sync::mpsc::channel();
        let data = shared.clone();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server =
                    HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(answer)))
                        .workers(1)
                        .disable_signals()
                        .bind_rustls_0_23(("localhost", 0), tls)
                        .expect("binds");
                let port = server.addrs()[0].port();
                let server = server.run();
                told.send((port, server.handle())).expect("the test waits");
                server.await
            })
        });
        let (port, handle) = started.recv().expect("the server starts");
        Self { shared, port, handle, folder }
    }

    fn agent(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certctl-agent"));
        let at = |name: &str| self.folder.path().join(name);
        command
            .args(["--server", &format!("https://localhost:{}", self.port)])
            .arg("--ca-bundle")
            .arg(at("https-ca.pem"))
            .arg("--key-dir")
            .arg(at("agent/keys"))
            .args(["--name", "web-1"])
            .args(more)
            .env_remove("CERTCTL_CONFIG_FILE")
            .env("CERTCTL_AGENT_HEARTBEAT_INTERVAL", "200ms")
            .env("CERTCTL_AGENT_POLL_INTERVAL", "200ms")
            .stdout(Stdio::null());
        command
    }

    fn deployment(&self, job: &str) -> Value {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let conf = format!("pid {0};\nerror_log stderr;\nevents {{}}\n", at("pid"));
        std::fs::write(at("nginx.conf"), conf).expect("writes");
        // The deployment itself is tried against a running nginx elsewhere; here its commands need only succeed.
        let command = format!("nginx -t -p {} -c {}", self.folder.path().display(), at("nginx.conf"));
        json!({
            "id": job, "type": "Deployment", "status": "Running", "certificate_id": "mc-1", "target_id": "target-1",
            "target_type": "NGINX",
            "target_config": {
                "cert_path": at("site.pem"), "key_path": at("site.key"),
                "reload_command": command, "validate_command": command
            }
        })
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

fn request(job: &str, certificate: &str) -> Value {
    json!({"id": job, "type": "Issuance", "status": "AwaitingCSR", "certificate_id": certificate,
           "common_name": "site.example.com", "sans": ["site.example.com", "192.0.2.7"]})
}

fn terminate(mut agent: Child) {
    tool("kill", &["-TERM", &agent.id().to_string()]);
    let status = agent.wait().expect("ends");
    assert!(status.success(), "a signal ends the agent in good order: {status}");
}

#[test]
fn a_host_enrols_makes_its_key_and_installs_the_certificate_it_gets() {
    let plane = ControlPlane::start();
    let books = || plane.shared.books.lock().expect("no panic");
    books().jobs = vec![request("job-1", "mc-1")];
    let agent = plane.agent(&[]).env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "token-1").spawn().expect("starts");
    plane.shared.wait_for("CSR", |books| !books.certificate_pem.is_empty());
    let keys = plane.folder.path().join("agent/keys");
    let asked = csr::parse(plane.shared.bodies("POST /api/v1/agents/agt-1/csr")[0]["csr_pem"].as_str().expect("PEM"));
    assert_eq!(asked.expect("a valid request").sans.len(), 2);
    assert!(keys.join("mc-1.key.new").exists() && !keys.join("mc-1.key").exists(), "the key waits for its certificate");

    books().reports_down = true;
    books().jobs = vec![plane.deployment("job-2")];
    let status = "POST /api/v1/agents/agt-1/jobs/job-2/status";
    plane.shared.wait_for("report", |books| books.calls.iter().any(|c| c.0 == status && c.1["status"] == "Completed"));
    books().jobs.clear();
    terminate(agent);
    assert!(keys.join("mc-1.key").exists() && !keys.join("mc-1.key.new").exists(), "the key is live");
    let installed = std::fs::read_to_string(plane.folder.path().join("site.key")).expect("installed");
    assert_eq!(installed, std::fs::read_to_string(keys.join("mc-1.key")).expect("live"));
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&keys), mode(&keys.join("mc-1.key"))), (0o700, 0o600));
    let calls = books();
    for (call, body, _, token) in &calls.calls {
        assert_eq!(token == "token-1", call == "POST /api/v1/agents", "the token goes to enrolment alone: {call}");
        assert!(!body.to_string().contains("PRIVATE KEY"), "{call} carries a key");
    }
    assert!(calls.calls.iter().any(|call| call.0.ends_with("/heartbeat") && call.1["hostname"].is_string()));
    drop(calls);

    // The report that could not be delivered is, after a restart, without the token.
    let before = plane.shared.bodies(status).len();
    books().reports_down = false;
    let output = plane.agent(&["run", "--once"]).status().expect("runs");
    assert!(output.success());
    let told = plane.shared.bodies(status);
    assert_eq!(told.len(), before + 1);
    let last = told.last().expect("a report");
    assert_eq!((&last["status"], &last["result"]["outcome"]), (&json!("Completed"), &json!("changed")), "{last}");
    assert!(last["result"]["steps"].as_array().is_some_and(|steps| steps.iter().all(|step| step["ok"] == true)));
}

#[test]
fn a_refused_request_fails_its_job_with_the_control_planes_words() {
    let plane = ControlPlane::start();
    plane.shared.books.lock().expect("no panic").jobs = vec![request("job-1", "mc-refused")];
    let done = plane.agent(&["--once"]).env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "token-1").status().expect("runs");
    assert_eq!(done.code(), Some(1), "a round in which a job failed says so");
    let told = plane.shared.bodies("POST /api/v1/agents/agt-1/jobs/job-1/status");
    assert!(told[0]["error"].as_str().is_some_and(|error| error.contains("the profile allows RSA only")), "{told:?}");
    assert_eq!(told[0]["status"], "Failed");
}

#[test]
fn a_retired_agent_ends_with_0_and_a_wrong_token_with_1() {
    let plane = ControlPlane::start();
    let wrong = plane.agent(&["enroll"]).env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "guess").status().expect("runs");
    assert_eq!(wrong.code(), Some(1));
    let right = plane.agent(&["enroll"]).env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "token-1").status().expect("runs");
    assert_eq!(right.code(), Some(0));
    let mut agent = plane.agent(&[]).spawn().expect("starts");
    plane.shared.wait_for("heartbeat", |books| books.calls.iter().any(|call| call.0.ends_with("/heartbeat")));
    plane.shared.books.lock().expect("no panic").retired = true;
    assert_eq!(agent.wait().expect("ends").code(), Some(0));
}

#[test]
fn a_control_plane_under_another_ca_gets_nothing() {
    let plane = ControlPlane::start();
    let issuer = plane.folder.path().join("issuer.pem").display().to_string();
    let mut command = plane.agent(&["enroll"]);
    command.env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", "token-1").env("CERTCTL_SERVER_CA_BUNDLE_PATH", &issuer);
    // The option wins over the variable, so replace the file that it names.
    std::fs::copy(&issuer, plane.folder.path().join("https-ca.pem")).expect("copies");
    assert_eq!(command.status().expect("runs").code(), Some(1));
    assert!(plane.shared.books.lock().expect("no panic").calls.is_empty());
}
