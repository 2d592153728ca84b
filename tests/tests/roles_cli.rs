//! Roles from the command line, at the real server.

use super::{Server, binary};
use serde_json::Value;
use std::process::{Command, Output};

pub(crate) struct Cli<'a> {
    pub(crate) server: &'a Server,
    pub(crate) key: String,
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
            .env("HOME", self.server.dir.path())
            .env("CERTCTL_SERVER_URL", format!("https://localhost:{}", self.server.port))
            .env("CERTCTL_SERVER_CA_BUNDLE_PATH", self.server.dir.path().join("data/tls/ca.crt"))
            .env("CERTCTL_API_KEY", &self.key)
            .args(line.split_whitespace())
            .output()
            .expect("certctl runs")
    }

    pub(crate) fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "certctl {line}: {out}{error}");
        out.into_owned()
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} -o json"))).expect("JSON")
    }

    pub(crate) fn exit(&self, line: &str) -> Option<i32> {
        self.run(line).status.code()
    }
}

#[test]
fn roles_are_made_given_explained_and_scoped_down_from_the_command_line() {
    let server = Server::start_with(&[("RATE_LIMIT_ENABLED", "false")]);
    let cli = Cli { server: &server, key: server.bootstrap() };
    cli.ok("keys create --name ci-deploy --role viewer");
    let ci = cli.json("keys create --name old-job --role admin");
    assert!(cli.ok("auth me").contains("admin"));

    // A role of one's own.
    let role = cli.json("auth roles create --name on-call --clone-of viewer");
    assert_eq!(role["name"], "on-call", "{role}");
    assert!(cli.ok("auth roles list").contains("on-call"));
    cli.ok("auth permissions add on-call cert.revoke");
    cli.ok("auth permissions remove on-call audit.read");
    let shown = cli.ok("auth roles get on-call");
    assert!(shown.contains("cert.revoke") && !shown.contains("audit.read"), "{shown}");
    cli.ok("auth roles update on-call --description weekends");
    assert_eq!(cli.exit("auth roles update viewer --name mine"), Some(8), "roles of the product stay");
    assert_eq!(cli.exit("auth permissions add on-call cert.fly"), Some(9));
    assert!(cli.ok("auth permissions list").contains("cert.revoke"));

    // Given, explained, taken back; short and full names mean the same.
    let id = role["id"].as_str().expect("an id");
    cli.ok(&format!("auth keys assign ci-deploy --role {id}"));
    let why = cli.json("auth explain cert.revoke --actor ci-deploy");
    assert_eq!((&why["allowed"], &why["decided_by"]["grant"]["role_id"]), (&true.into(), &id.into()), "{why}");
    assert!(cli.ok("auth explain cert.revoke --actor ci-deploy").contains(id));
    assert!(cli.ok("auth keys list").contains("ci-deploy"));
    assert_eq!(cli.exit("auth roles delete on-call --yes"), Some(8), "somebody holds it");
    cli.ok(&format!("auth keys revoke ci-deploy --role {id}"));
    let why = cli.json("auth explain cert.revoke --actor ci-deploy");
    assert_eq!(why["allowed"], false, "{why}");
    cli.ok("auth roles delete on-call --yes");
    for spelling in ["operator", "r-operator"] {
        cli.ok(&format!("auth keys assign ci-deploy --role {spelling}"));
        cli.ok(&format!("auth keys revoke ci-deploy --role {spelling}"));
    }
    assert_eq!(cli.exit("auth keys assign nobody --role viewer"), Some(7));
    assert_eq!(cli.exit("auth keys revoke admin --role admin"), Some(0), "another administrator is left");
    let other = Cli { server: &server, key: ci["key_value"].as_str().expect("a key").to_owned() };
    assert_eq!(other.exit("auth keys revoke old-job --role admin"), Some(8), "the last administrator stays");
    other.ok("auth keys assign admin --role admin");

    // What is used is written down every ten seconds; until then nothing is suggested.
    let reader = Cli {
        server: &server,
        key: other.json("keys create --name reader --role operator")["key_value"].as_str().expect("a key").to_owned(),
    };
    reader.ok("teams list");
    super::faults::until("the use is written down", || {
        let found = other.json("auth keys scope-down --suggest");
        let rows = found["data"].as_array().expect("rows").clone();
        rows.iter().any(|row| row["actor_id"] == "reader" && row["suggested_roles"] == serde_json::json!(["r-viewer"]))
    });
    other.ok("auth keys scope-down --suggest --apply --yes");
    let why = other.json("auth explain cert.revoke --actor reader");
    assert_eq!(why["allowed"], false, "{why}");

    // From a file: one call and one transaction for each.
    let file = server.dir.path().join("roles.json");
    std::fs::write(&file, r#"{"ci-deploy": "auditor", "reader": ""}"#).expect("a file");
    assert_eq!(
        other.exit(&format!("auth keys scope-down --non-interactive {}", file.display())),
        Some(2),
        "asks first"
    );
    other.ok(&format!("auth keys scope-down --non-interactive {} --yes", file.display()));
    let holders = other.json("auth keys list");
    let held = |name: &str| {
        let rows = holders["data"].as_array().expect("rows");
        rows.iter().find(|row| row["actor_id"] == name).map(|row| row["role_ids"].clone())
    };
    assert_eq!((held("ci-deploy"), held("reader")), (Some(serde_json::json!(["r-auditor"])), None), "{holders}");
}
