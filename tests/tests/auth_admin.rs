//! Providers, mappings and people from the command line, at the real server.

use super::{Server, binary};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const SECRET: &str = "correct-horse-battery-staple";

struct Cli<'a> {
    server: &'a Server,
    key: String,
}

impl Cli<'_> {
    fn run(&self, line: &str) -> Output {
        let program = binary().with_file_name("certctl");
        assert!(program.exists(), "{} is missing: run `cargo build -p certctl-cli` first", program.display());
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CERTCTL_")) {
            command.env_remove(name);
        }
        command
            .current_dir(self.server.dir.path())
            .env("HOME", self.server.dir.path())
            .env("CERTCTL_SERVER_URL", format!("https://localhost:{}", self.server.port))
            .env("CERTCTL_SERVER_CA_BUNDLE_PATH", self.server.dir.path().join("data/tls/ca.crt"))
            .env("CERTCTL_API_KEY", &self.key)
            .env("OIDC_SECRET", SECRET)
            .args(line.split_whitespace())
            .output()
            .expect("certctl runs")
    }

    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "certctl {line}: {out}{error}");
        assert!(!out.contains(SECRET) && !error.contains(SECRET), "certctl {line} shows the secret");
        out.into_owned()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} -o json"))).expect("JSON")
    }

    fn exit(&self, line: &str) -> Option<i32> {
        self.run(line).status.code()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.server.dir.path().join(name), text).expect("a file");
    }
}

fn changes(told: &Value) -> Vec<String> {
    let lines = told["changes"].as_array().expect("a list").iter();
    lines.map(|line| line.as_str().expect("text").to_owned()).collect()
}

#[test]
fn a_file_says_what_providers_and_mappings_there_are_and_saying_it_twice_changes_nothing() {
    let server = Server::start_with(&[("RATE_LIMIT_ENABLED", "false")]);
    let cli = Cli { server: &server, key: server.bootstrap() };
    let file = "providers:
- name: corp
  issuer_url: https://idp.invalid/realms/pki
  client_id: certctl
  client_secret_env: OIDC_SECRET
  redirect_uri: https://pki.example/auth/oidc/callback
  scopes: [openid, groups]
  mappings:
  - {group: pki-operators, role: operator}
  - {group: pki-readers, role: viewer, description: everybody on the floor}
";
    cli.write("auth.yaml", file);
    // Nobody answers under that name, and the operator has not said that it does not matter.
    assert_eq!(cli.exit("auth apply -f auth.yaml"), Some(9));
    assert_eq!(cli.json("auth providers list")["total"], 0);
    let plan = [
        "+ provider corp",
        "+ mapping corp: pki-operators gives r-operator",
        "+ mapping corp: pki-readers gives r-viewer",
    ];
    assert_eq!(changes(&cli.json("auth apply -f auth.yaml --dry-run")), plan);
    assert_eq!(cli.json("auth providers list")["total"], 0, "a trial changes nothing");
    assert_eq!(changes(&cli.json("auth apply -f auth.yaml --skip-check")), plan);
    assert!(cli.ok("auth apply -f auth.yaml --prune").contains("nothing to change"));

    let provider = cli.json("auth providers get corp");
    assert_eq!(json!([provider["enabled"], provider["scopes"]]), json!([true, ["openid", "groups"]]));
    let mappings = cli.json("auth mappings list --provider corp");
    assert_eq!(mappings["total"], 2, "{mappings}");

    // What somebody did by hand is put back; what the file leaves out goes only when told.
    cli.ok("auth providers update corp --enabled=false");
    cli.ok("auth mappings add --provider corp --group guests --role viewer");
    cli.ok("auth providers create --name other --issuer-url https://other.invalid --client-id c \
            --redirect-uri https://pki.example/auth/oidc/callback --client-secret-env OIDC_SECRET --skip-check");
    cli.write("auth.yaml", &file.replace("  scopes", "  enabled: true\n  scopes"));
    assert_eq!(changes(&cli.json("auth apply -f auth.yaml")), ["~ provider corp: enabled false -> true"]);
    assert_eq!(cli.exit("auth apply -f auth.yaml --prune"), Some(2), "nobody is there to ask");
    assert_eq!(
        changes(&cli.json("auth apply -f auth.yaml --prune --yes")),
        ["- mapping corp: guests gives r-viewer", "- provider other"]
    );
    assert_eq!(cli.json("auth providers list")["total"], 1);
    assert_eq!(cli.exit("auth providers get other"), Some(7));

    // Somebody signed in: their provider is switched off, not deleted.
    let id = provider["id"].as_str().expect("an id");
    server.sql(&format!(
        "INSERT INTO iam.principals (kind, id) VALUES ('User', 'u-ada'); \
         INSERT INTO iam.users (id, email, oidc_provider_id, oidc_subject, subject_lookup) \
         VALUES ('u-ada', 'ada@corp.example', '{id}', 's-1', 'l-1')"
    ));
    cli.write("empty.yaml", "providers: []\n");
    for _ in 0..2 {
        cli.ok("auth apply -f empty.yaml --prune --yes");
    }
    assert_eq!(cli.json("auth providers get corp")["enabled"], false);
    assert_eq!(cli.exit("auth providers delete corp --yes"), Some(8));

    // Without the secret nothing is begun.
    cli.write("auth.yaml", &file.replace("OIDC_SECRET", "NOT_SET").replace("corp", "third"));
    assert_eq!(cli.exit("auth apply -f auth.yaml --skip-check"), Some(2));
    assert_eq!(cli.json("auth providers list")["total"], 1);
    cli.write("auth.yaml", &file.replace("client_secret_env: OIDC_SECRET", "client_secret: hunter2"));
    assert_eq!(cli.exit("auth apply -f auth.yaml"), Some(2));
}

#[test]
fn people_are_shut_out_purged_and_their_provider_archived_from_the_command_line() {
    let server = Server::start_with(&[("RATE_LIMIT_ENABLED", "false")]);
    let cli = Cli { server: &server, key: server.bootstrap() };
    cli.write("secret.txt", &format!("{SECRET}\n"));
    let made = cli.json(
        "auth providers create --name corp --issuer-url https://idp.invalid --client-id certctl \
         --redirect-uri https://pki.example/auth/oidc/callback --client-secret-file secret.txt --skip-check",
    );
    let id = made["id"].as_str().expect("an id");
    server.sql(&format!(
        "INSERT INTO iam.principals (kind, id, display) VALUES ('User', 'u-ada', 'Ada'); \
         INSERT INTO iam.users (id, email, display_name, oidc_provider_id, oidc_subject, subject_lookup) \
         VALUES ('u-ada', 'ada@corp.example', 'Ada', '{id}', 's-1', 'l-1')"
    ));
    assert!(cli.ok("auth users list").contains("ada@corp.example"));
    assert_eq!(cli.json("auth users get u-ada")["state"], "active");
    assert_eq!(cli.json("auth users export u-ada")["user"]["oidc_subject"], "s-1");
    assert_eq!(cli.exit("auth providers archive corp --yes"), Some(8), "something is left to do");
    assert_eq!(cli.exit("auth users deactivate u-ada"), Some(2), "nobody is there to ask");
    assert!(cli.ok("auth users deactivate u-ada --dry-run").contains("u-ada"));
    cli.ok("auth users deactivate u-ada --yes");
    cli.ok("auth users reactivate u-ada");
    assert_eq!(cli.exit("auth users purge u-ada --yes"), Some(8), "the door is open");
    cli.ok("auth users deactivate u-ada --yes");
    cli.ok("auth users purge u-ada --yes");
    assert_eq!(cli.json("auth users list --state purged")["data"][0]["email"], "purged@redacted.local");
    cli.ok("auth providers update corp --enabled=false");
    cli.ok("auth providers revoke-sessions corp --yes");
    cli.ok("auth providers archive corp --yes");
    assert_eq!(cli.json("auth providers list")["total"], 0);
    assert_eq!(cli.json("auth providers list --archived true")["total"], 1);
}

#[test]
fn the_doctor_finds_what_an_operator_should_look_at() {
    let server = Server::start_with(&[("RATE_LIMIT_ENABLED", "false")]);
    let cli = Cli { server: &server, key: server.bootstrap() };
    let me = cli.json("auth me")["actor_id"].as_str().expect("an id").to_owned();
    let healthy = cli.json(&format!("doctor auth --providers 0 --admin {me}"));
    let results: Vec<&str> =
        healthy["data"].as_array().expect("a list").iter().filter_map(|row| row["result"].as_str()).collect();
    assert!(results.len() >= 7 && results.iter().all(|result| *result == "ok"), "{healthy}");
    cli.ok("auth providers create --name corp --issuer-url https://idp.invalid --client-id certctl \
            --redirect-uri https://pki.example/auth/oidc/callback --client-secret-env OIDC_SECRET --skip-check");
    cli.ok("keys create --name second --role admin");
    let output = cli.run(&format!("doctor auth --providers 0 --admin {me} -o json"));
    assert_eq!(output.status.code(), Some(5));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let failed: Vec<&str> = told["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|row| row["result"] == "FAIL")
        .filter_map(|row| row["check"].as_str())
        .collect();
    assert_eq!(failed, ["providers", "provider keys", "administrators"], "{told}");
}

#[test]
fn personal_data_goes_by_itself_in_the_running_server() {
    let server = Server::start_with(&[
        ("RATE_LIMIT_ENABLED", "false"),
        ("USER_RETENTION_INTERVAL", "1s"),
        ("USER_RETENTION_WINDOW", "0s"),
        ("USER_RETENTION_BATCH_CAP", "1"),
    ]);
    let cli = Cli { server: &server, key: server.bootstrap() };
    let made = cli.json(
        "auth providers create --name corp --issuer-url https://idp.invalid --client-id certctl \
         --redirect-uri https://pki.example/auth/oidc/callback --client-secret-env OIDC_SECRET --skip-check",
    );
    let id = made["id"].as_str().expect("an id");
    for name in ["ada", "bob"] {
        server.sql(&format!(
            "INSERT INTO iam.principals (kind, id, display) VALUES ('User', 'u-{name}', '{name}'); \
             INSERT INTO iam.users (id, email, display_name, oidc_provider_id, oidc_subject, subject_lookup) \
             VALUES ('u-{name}', '{name}@corp.example', '{name}', '{id}', '{name}', 'l-{name}')"
        ));
        cli.ok(&format!("auth users deactivate u-{name} --yes"));
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    while cli.json("auth users list --state purged")["total"] != 2 {
        assert!(Instant::now() < deadline, "the data is still there");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.sql("SELECT count(*) FROM audit.events WHERE action = 'user.purge_pii'"), "2");
}

#[test]
fn the_hosts_doctor_finds_keys_that_do_not_go() {
    let server = Server::start_with(&[("RATE_LIMIT_ENABLED", "false")]);
    let cli = Cli { server: &server, key: server.bootstrap() };
    cli.ok("auth providers create --name corp --issuer-url https://idp.invalid --client-id certctl \
            --redirect-uri https://pki.example/auth/oidc/callback --client-secret-env OIDC_SECRET --skip-check");
    let doctor = || {
        let output = super::command(server.dir.path(), server.port)
            .args(["auth", "doctor"])
            .stdout(std::process::Stdio::piped())
            .output()
            .expect("the command runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // Loops run soon after the start.
    let deadline = Instant::now() + Duration::from_mins(1);
    while doctor().0 != Some(0) {
        assert!(Instant::now() < deadline, "{}", doctor().1);
    }
    let (_, told) = doctor();
    assert!(told.contains("corp: its client secret opens") && !told.contains("FAIL"), "{told}");
    server.sql(
        "INSERT INTO iam.session_signing_keys (id, key_material_encrypted, created_at, retired_at) \
         SELECT 'sk-old', key_material_encrypted, now() - interval '90 days', now() - interval '60 days' \
         FROM iam.session_signing_keys",
    );
    let (code, told) = doctor();
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("the loop session-gc is stuck: sk-old"), "{told}");
}
