//! The server and the agent as processes, and what the system says of them.

use crate::Outcome;
use crate::client::{Client, trust};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use ureq::tls::TlsConfig;

const TOKEN: &str = "a-bootstrap-token-of-forty-characters-xx";
/// Enrols agents.
const ENROLMENT_TOKEN: &str = "fedcba9876543210fedcba9876543210";
/// Length of a tick in `/proc/<pid>/stat`; fixed on Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// Processor seconds of all that take part.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// The server.
    pub server: f64,
    /// PostgreSQL with all of its backends.
    pub database: f64,
    /// This driver.
    pub driver: f64,
}

impl Usage {
    /// What came on top of `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            server: self.server - before.server,
            database: self.database - before.database,
            driver: self.driver - before.driver,
        }
    }

    /// The share of one of `count` requests.
    pub fn over(&self, count: f64) -> Self {
        Self { server: self.server / count, database: self.database / count, driver: self.driver / count }
    }
}

fn free_port() -> Outcome<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

/// The folder of the release binaries, which `scripts/bench` has built.
fn binary(name: &str) -> Outcome<PathBuf> {
    let mut path = std::env::current_exe().map_err(|error| error.to_string())?;
    path.pop();
    path.pop();
    path.push(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is missing; scripts/bench builds it", path.display())) }
}

/// A command without settings of another installation.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CERTCTL_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A resident size in KiB: `VmRSS` now, `VmHWM` at its highest.
fn resident(pid: u32, line: &str) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("process {pid}: {error}"))?;
    text.lines()
        .find_map(|found| found.strip_prefix(line)?.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| format!("process {pid} shows no {line}"))
}

/// Parent and processor time of a process; what its dead children used is included.
fn stat(pid: &str) -> Option<(u32, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold blanks; it ends at the last parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u32 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u32>().ok()).sum();
    Some((fields.get(1)?.parse().ok()?, f64::from(ticks) / TICKS_A_SECOND))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Sends SIGTERM and waits for the end.
fn end(child: &mut Child) -> Outcome<()> {
    if matches!(child.try_wait(), Ok(None)) {
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        told.map_err(|error| format!("kill: {error}"))?;
        child.wait().map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A server in a folder of its own.
pub struct Server {
    dir: tempfile::TempDir,
    child: Child,
    port: u16,
    pki_port: u16,
    tls: Option<TlsConfig>,
    key: Option<String>,
}

fn launch(dir: &Path, port: u16, pki_port: u16) -> Outcome<Child> {
    let log = fs::File::create(dir.join("server.log")).map_err(|error| error.to_string())?;
    command(&binary("certctl-server")?)
        .env("CERTCTL_DATA_DIR", dir.join("data"))
        .env("CERTCTL_SERVER_PORT", port.to_string())
        .env("CERTCTL_PKI_HTTP_LISTEN", format!("127.0.0.1:{pki_port}"))
        .env("CERTCTL_CONFIG_ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef")
        .env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", ENROLMENT_TOKEN)
        .env("CERTCTL_BOOTSTRAP_TOKEN", TOKEN)
        .env("CERTCTL_SHUTDOWN_DRAIN_DELAY", "0s")
        .env("CERTCTL_RATE_LIMIT_ENABLED", "false")
        .env("CERTCTL_SESSION_MAX_PER_USER", "0")
        .env("CERTCTL_BREAKGLASS_ENABLED", "true")
        .env("CERTCTL_TRUSTED_PROXIES", "127.0.0.1")
        .env("CERTCTL_OCSP_RATE_LIMIT_PER_IP_MIN", "0")
        .stderr(log)
        .spawn()
        .map_err(|error| format!("certctl-server: {error}"))
}

impl Server {
    /// Starts one on an empty database.
    pub fn start() -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("certctl-bench").tempdir().map_err(|error| error.to_string())?;
        // The private PostgreSQL of a root server runs as another user and must pass through.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .map_err(|error| error.to_string())?;
        let (port, pki_port) = (free_port()?, free_port()?);
        let child = launch(dir.path(), port, pki_port)?;
        let mut server = Self { dir, child, port, pki_port, tls: None, key: None };
        server.until_ready(Duration::from_mins(1))?;
        Ok(server)
    }

    fn until_ready(&mut self, patience: Duration) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server ended with {status}: {}", self.log()));
            }
            if self.tls.is_none()
                && let Ok(pem) = fs::read(self.data().join("tls/ca.crt"))
            {
                self.tls = Some(trust(&pem)?);
            }
            let open = std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            if open && self.tls.is_some() && self.client(None).expect("GET", "/ready", None, 200).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("the server did not become ready: {}", self.log()))
    }

    fn log(&self) -> String {
        last_lines(&self.dir.path().join("server.log"))
    }

    /// Makes the first administrator; the key is used by [`Self::key`] from then on.
    pub fn bootstrap(&mut self) -> Outcome<()> {
        let body = json!({"token": TOKEN, "actor_name": "bench"}).to_string();
        let answer = self.client(None).expect("POST", "/api/v1/auth/bootstrap", Some(body.as_bytes()), 201)?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        self.key = Some(answer["key_value"].as_str().ok_or("the bootstrap gave no key")?.to_owned());
        Ok(())
    }

    /// The administrator's key.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Stops it, starts it on the same data and tells how long it took to become ready.
    pub fn restart(&mut self) -> Outcome<Duration> {
        end(&mut self.child)?;
        let begun = Instant::now();
        self.child = launch(self.dir.path(), self.port, self.pki_port)?;
        self.until_ready(Duration::from_mins(1))?;
        Ok(begun.elapsed())
    }

    /// A new connection over TLS.
    pub fn client(&self, key: Option<&str>) -> Client {
        Client::new(&self.url(), self.tls.as_ref().unwrap_or(&TlsConfig::default()), key)
    }

    /// A new connection to the listener for relying parties, without TLS.
    pub fn plain_client(&self) -> Client {
        Client::new(&format!("http://127.0.0.1:{}", self.pki_port), &TlsConfig::default(), None)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where this run may keep files.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// Resident memory in KiB, without PostgreSQL.
    pub fn resident(&self) -> Outcome<u64> {
        resident(self.child.id(), "VmRSS")
    }

    /// Its highest so far.
    pub fn peak_resident(&self) -> Outcome<u64> {
        resident(self.child.id(), "VmHWM")
    }

    /// Processor time used so far.
    pub fn usage(&self) -> Outcome<Usage> {
        let of = |pid: &str| stat(pid).map(|(_, seconds)| seconds).ok_or_else(|| format!("process {pid} is gone"));
        let postmaster = crate::database::postmaster(&self.data())?;
        let mut database = of(&postmaster.to_string())?;
        for entry in fs::read_dir("/proc").map_err(|error| error.to_string())?.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else { continue };
            if let Some((parent, seconds)) = stat(pid)
                && parent == postmaster
            {
                database += seconds;
            }
        }
        Ok(Usage { server: of(&self.child.id().to_string())?, database, driver: of("self")? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = end(&mut self.child) {
            eprintln!("the server could not be stopped: {error}");
        }
    }
}

/// An agent that works for a server.
pub struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// Starts one that enrols as `name`.
    pub fn start(server: &Server, name: &str) -> Outcome<Self> {
        let home = server.scratch().join(name);
        fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let log = home.join("agent.log");
        let output = fs::File::create(&log).map_err(|error| error.to_string())?;
        let child = command(&binary("certctl-agent")?)
            .arg("run")
            .env("CERTCTL_SERVER_URL", server.url())
            .env("CERTCTL_SERVER_CA_BUNDLE_PATH", server.data().join("tls/ca.crt"))
            .env("CERTCTL_AGENT_NAME", name)
            .env("CERTCTL_AGENT_BOOTSTRAP_TOKEN", ENROLMENT_TOKEN)
            .env("CERTCTL_KEY_DIR", home.join("keys"))
            .env("CERTCTL_AGENT_STATE_DIR", home.join("state"))
            .env("CERTCTL_AGENT_COMMAND_ALLOW", "true")
            .env("CERTCTL_AGENT_HEARTBEAT_INTERVAL", "2s")
            .env("CERTCTL_AGENT_POLL_INTERVAL", "1s")
            .stdout(output)
            .spawn()
            .map_err(|error| format!("certctl-agent: {error}"))?;
        Ok(Self { child, log })
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> Outcome<u64> {
        resident(self.child.id(), "VmRSS")
    }

    /// Its highest so far.
    pub fn peak_resident(&self) -> Outcome<u64> {
        resident(self.child.id(), "VmHWM")
    }

    /// The end of its log, for when something goes wrong.
    pub fn log(&self) -> String {
        last_lines(&self.log)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Err(error) = end(&mut self.child) {
            eprintln!("the agent could not be stopped: {error}");
        }
    }
}
