//! The rules of `docs/architecture.md`, read from `cargo metadata`, and the route table against the contract.

mod docs;
mod routes;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests live one level below the root")
}

struct Workspace {
    /// Crate name → folder relative to the root.
    rooms: BTreeMap<String, String>,
    /// Crate name → its direct dependencies outside tests.
    dependencies: BTreeMap<String, BTreeSet<String>>,
}

fn workspace() -> Workspace {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let mut rooms = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name").to_owned();
        let manifest = Path::new(package["manifest_path"].as_str().expect("path"));
        let folder = manifest.parent().and_then(|dir| dir.strip_prefix(root()).ok()).expect("inside the workspace");
        rooms.insert(name.clone(), folder.to_string_lossy().into_owned());
        let direct = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().expect("name").to_owned())
            .collect();
        dependencies.insert(name, direct);
    }
    Workspace { rooms, dependencies }
}

fn breaches(allowed: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let workspace = workspace();
    let mut found = Vec::new();
    for (name, direct) in &workspace.dependencies {
        let from = &workspace.rooms[name];
        for dependency in direct {
            let to = workspace.rooms.get(dependency).map_or(dependency.as_str(), String::as_str);
            if !allowed(from, to) {
                found.push(format!("{from} depends on {to}"));
            }
        }
    }
    found
}

#[test]
fn the_domain_depends_on_nothing_that_does_input_or_output() {
    const FORBIDDEN: &[&str] = &[
        "tokio",
        "actix-web",
        "actix-rt",
        "tokio-postgres",
        "deadpool-postgres",
        "postgres",
        "refinery",
        "reqwest",
        "ureq",
        "hyper",
        "rustls",
        "rustix",
        "nix",
        "clap",
        "tracing-subscriber",
        "tempfile",
        "mio",
    ];
    let found =
        breaches(|from, to| !(from.starts_with("core/") || from.starts_with("ports/")) || !FORBIDDEN.contains(&to));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn dependencies_point_inwards() {
    let found = breaches(|from, to| {
        let inside = |rooms: &[&str]| rooms.iter().any(|room| to.starts_with(room));
        let ours = inside(&["core/", "ports/", "adapters/", "app/", "tests"]);
        !ours
            || match from.split('/').next() {
                Some("core" | "ports" | "adapters") => inside(&["core/", "ports/"]),
                Some("app") => inside(&["core/", "ports/", "adapters/"]),
                _ => true,
            }
    });
    assert!(found.is_empty(), "{found:#?}");
}

/// Who may use the system's OpenSSL: it verifies signatures of tokens and of security keys, and speaks TLS with nobody.
const JUDGES: &[&str] = &["josekit", "webauthn-rs-core", "webauthn-attestation-ca", "webauthn-authenticator-rs"];

#[test]
fn there_is_one_crypto_provider_and_one_tls() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file is committed");
    for banned in ["aws-lc-rs", "aws-lc-sys", "native-tls", "tokio-openssl", "hyper-tls"] {
        assert!(!lock.contains(&format!("name = \"{banned}\"\n")), "{banned} is in the build");
    }
    for package in lock.split("[[package]]").filter(|package| package.contains("\n \"openssl\",\n")) {
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default().trim_matches('"');
        assert!(JUDGES.contains(&name), "{name} brings OpenSSL into the build");
    }
}

/// Calls that the domain must not make: each line is a text and the reason.
const FORBIDDEN_CALLS: &[(&str, &str)] = &[
    ("SystemTime::now", "time comes in through the Clock port"),
    ("OffsetDateTime::now", "time comes in through the Clock port"),
    ("Instant::now", "time comes in through the Clock port"),
    ("SystemRandom", "randomness comes in through the Random port"),
    ("std::env", "configuration comes in as values"),
    ("std::fs", "files are the adapters' business"),
    ("std::net::Tcp", "sockets are the adapters' business"),
    ("std::process", "processes are the adapters' business"),
];

fn sources(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_domain_makes_no_call_that_reads_the_world() {
    let mut files = Vec::new();
    for (name, folder) in workspace().rooms {
        if folder.starts_with("core/") {
            let source = root().join(&folder).join("src");
            assert!(source.exists(), "{name} has no sources");
            sources(&source, &mut files);
        }
    }
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        // Test modules come last in a file and may use what they need.
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (call, reason) in FORBIDDEN_CALLS {
            for line in product.lines().filter(|line| line.contains(call) && !line.trim_start().starts_with("//")) {
                found.push(format!("{}: {} ({reason})", file.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_top_level_holds_just_what_the_plan_names() {
    let output = Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git runs");
    let listed = String::from_utf8(output.stdout).expect("UTF-8");
    let top: BTreeSet<&str> = listed.lines().filter_map(|line| line.split('/').next()).collect();
    let expected = [
        "Cargo.toml",
        "Cargo.lock",
        "core",
        "ports",
        "adapters",
        "app",
        "migrations",
        "openapi",
        "docs",
        "tests",
        "justfile",
        "README.md",
        "LICENSE",
        "scripts",
        "clippy.toml",
        "rustfmt.toml",
        "deny.toml",
    ];
    let extra: Vec<_> = top.iter().filter(|name| !name.starts_with('.') && !expected.contains(*name)).collect();
    assert!(extra.is_empty(), "{extra:?} are not in the plan");
}
