//! A scratch CA, and an nginx of the test's own.

use certctl_kernel::Secret;
use certctl_port_target::{DeployRequest, Deployment, Material, TargetConnector};
use certctl_ports::fakes::FixedClock;
use certctl_targets::{Host, Nginx};
use serde_json::{Value, json};
use std::cell::Cell;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Runs a program and returns what it printed; its failure fails the test.
pub fn tool(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("these tests need {program} (Debian: apt install nginx-light openssl): {error}")
    });
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A root and an intermediate CA.
pub struct Pki {
    folder: TempDir,
    next: Cell<u32>,
}

impl Pki {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Self { folder, next: Cell::new(0) };
        let (root_key, root) = (pki.at("root.key"), pki.at("root.pem"));
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"];
        let ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign"];
        let make = ["-out", &root, "-subj", "/CN=Scratch Root", "-days", "30"];
        tool("openssl", &[&["req", "-x509"][..], &key[..], &[root_key.as_str()], &make[..], &ca[..]].concat());
        pki.issue("inter", "/CN=Scratch Intermediate", "basicConstraints=critical,CA:TRUE\n", "root", 20);
        pki
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn root(&self) -> String {
        self.at("root.pem")
    }

    fn issue(&self, name: &str, subject: &str, extensions: &str, issuer: &str, days: u32) {
        let file = |suffix: &str| self.at(&format!("{name}.{suffix}"));
        let (key, csr, pem, ext) = (file("key"), file("csr"), file("pem"), file("ext"));
        std::fs::write(&ext, extensions).expect("writes");
        let new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        tool("openssl", &[&new[..], &["-keyout", &key, "-out", &csr, "-subj", subject]].concat());
        let (ca, ca_key) = (self.at(&format!("{issuer}.pem")), self.at(&format!("{issuer}.key")));
        let days = days.to_string();
        let sign = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
        tool("openssl", &[&sign[..], &["-extfile", &ext, "-days", &days, "-out", &pem]].concat());
    }

    fn der(&self, name: &str) -> Vec<u8> {
        tool("openssl", &["x509", "-in", &self.at(&format!("{name}.pem")), "-outform", "DER"])
    }

    /// A server certificate for localhost with its key.
    pub fn leaf(&self) -> Material {
        let number = self.next.replace(self.next.get() + 1);
        let name = format!("leaf{number}");
        self.issue(&name, "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n", "inter", 10);
        let key = std::fs::read_to_string(self.at(&format!("{name}.key"))).expect("the key");
        Material { leaf: self.der(&name), chain: vec![self.der("inter")], key_pem: Secret::new(key) }
    }
}

/// An nginx under its own prefix with one TLS host.
pub struct Server {
    pub folder: TempDir,
    pub port: u16,
    child: Child,
    started_with: (String, String),
}

const WORK: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl Server {
    /// Starts it with a placeholder certificate that no CA of ours signed.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        for name in ["tls", "conf.d", "state"] {
            std::fs::create_dir(root.join(name)).expect("makes");
        }
        let (cert, key) =
            (root.join("tls/site.pem").display().to_string(), root.join("tls/site.key").display().to_string());
        let make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
        tool("openssl", &[&make[..], &["-subj", "/CN=placeholder", "-keyout", &key, "-out", &cert]].concat());
        let port = free_port();
        let at = root.display();
        let work: Vec<String> = WORK.iter().map(|name| format!("{name}_temp_path {at}/{name};")).collect();
        let conf = format!(
            "daemon off;\nworker_processes 2;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{\n\
             access_log off;\n{}\nserver {{ listen 127.0.0.1:{port} ssl; server_name localhost; ssl_certificate \
             {cert}; ssl_certificate_key {key}; }}\ninclude {at}/conf.d/*.conf;\n}}\n",
            work.join("\n")
        );
        std::fs::write(root.join("nginx.conf"), conf).expect("writes");
        let child = Self::spawn(&root, port);
        Self { folder, port, child, started_with: (cert, key) }
    }

    fn spawn(root: &Path, port: u16) -> Child {
        let mut child = Command::new("nginx")
            .args(["-p", &root.display().to_string(), "-c", &root.join("nginx.conf").display().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("these tests need nginx (Debian: apt install nginx-light): {error}"));
        let started = Instant::now();
        // The port opens before the process writes its number, which reloads need.
        while TcpStream::connect(("127.0.0.1", port)).is_err()
            || std::fs::read(root.join("pid")).unwrap_or_default().is_empty()
        {
            let ended = child.try_wait().expect("waits");
            let log = || std::fs::read_to_string(root.join("error.log")).unwrap_or_default();
            assert!(ended.is_none() && started.elapsed() < Duration::from_secs(30), "nginx does not start: {}", log());
            std::thread::yield_now();
        }
        child
    }

    /// Ends it through its master: workers outlive a master that is killed, and `-s stop` wants a valid configuration.
    fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }

    pub fn restart(&mut self) {
        self.stop();
        let _ = std::fs::remove_file(self.folder.path().join("pid"));
        self.child = Self::spawn(self.folder.path(), self.port);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &str) -> String {
        format!("nginx -p {} -c {} {arguments}", self.folder.path().display(), self.path("nginx.conf").display())
    }

    /// A configuration that fits this server.
    pub fn config(&self) -> Value {
        json!({
            "cert_path": self.started_with.0,
            "key_path": self.started_with.1,
            "reload_command": self.command("-s reload"),
            "validate_command": self.command("-t"),
            "post_deploy_verify": {
                "enabled": true,
                "endpoint": format!("127.0.0.1:{}", self.port),
                "server_name": "localhost",
                "timeout": "5s"
            },
            "post_deploy_verify_attempts": 40,
            "post_deploy_verify_backoff": "50ms",
            "post_deploy_verify_max_backoff": "200ms"
        })
    }

    /// Settings of the host; the clock stands just after the leaf was made.
    pub fn host(&self, material: &Material) -> Host {
        let leaf = certctl_x509::certificate::inspect(&material.leaf).expect("a certificate");
        let clock = FixedClock::new(leaf.not_before + time::Duration::hours(1));
        Host::new(self.path("state"), Arc::new(clock))
    }

    /// Makes another host of the same server invalid, or valid again.
    pub fn break_other_host(&self, broken: bool) {
        let path = self.path("conf.d/other.conf");
        if broken {
            std::fs::write(path, "server { ssl_certificate /nonexistent.pem; ssl_nonsense on; }\n").expect("writes");
        } else {
            std::fs::remove_file(path).expect("removes");
        }
    }

    fn s_client(&self, more: &[&str]) -> String {
        let address = format!("127.0.0.1:{}", self.port);
        let connect = ["s_client", "-connect", &address, "-servername", "localhost"];
        String::from_utf8_lossy(&tool("openssl", &[&connect[..], more].concat())).into_owned()
    }

    /// The fingerprint of the served leaf as openssl sees it.
    pub fn served(&self) -> Option<String> {
        let text = self.s_client(&[]);
        let pem = &text[text.find("-----BEGIN CERTIFICATE")?..];
        let leaf = self.path("served.pem");
        std::fs::write(&leaf, pem).expect("writes");
        let der = tool("openssl", &["x509", "-in", &leaf.display().to_string(), "-outform", "DER"]);
        Some(Material::fingerprint_of(&der))
    }

    /// Verifies the served chain with openssl against the root alone.
    pub fn verify_chain(&self, pki: &Pki) {
        let text = self.s_client(&["-CAfile", &pki.root(), "-verify_return_error", "-verify_hostname", "localhost"]);
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn deploy(host: &Host, config: &Value, material: &Material, job_id: &str) -> Deployment {
    Nginx::new(host.clone()).deploy(&request(config, material, job_id))
}

pub fn request<'a>(config: &'a Value, material: &'a Material, job_id: &'a str) -> DeployRequest<'a> {
    DeployRequest { job_id, target_id: "target-1", certificate_id: "mc-1", config, material, force: false }
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().expect("it exists").permissions().mode() & 0o7777
}

/// Names of the files in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("readable");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}
