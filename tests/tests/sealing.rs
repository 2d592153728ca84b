//! Encryption keys of a real server: changed while it runs, and missed when they are not there.

use super::{Server, command};
use std::process::Output;

const OLD: &str = "k1:0123456789abcdef0123456789abcdef";
const NEW: &str = "k2:fedcba9876543210fedcba9876543210";

/// Only the keyring; the usual single key is taken away.
fn keyring(keys: &[&str]) -> Vec<(String, String)> {
    [("CERTCTL_CONFIG_ENCRYPTION_KEY", String::new()), ("CERTCTL_CONFIG_ENCRYPTION_KEYS", keys.join(","))]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
}

/// Another process with the server's settings.
fn beside(server: &Server, arguments: &[&str]) -> Output {
    command(server.dir.path(), server.port)
        .envs(server.settings.clone())
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .output()
        .expect("it runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stop(server: &mut Server) {
    server.signal("-TERM");
    server.child.wait().expect("it ends");
}

#[test]
fn a_key_is_replaced_beside_the_running_server_and_the_old_one_can_go() {
    let mut server = Server::start_with(&[("CONFIG_ENCRYPTION_KEY", ""), ("CONFIG_ENCRYPTION_KEYS", OLD)]);
    let admin = server.bootstrap();
    stop(&mut server);

    // Neither without the key that the CA's private key is under, nor with another one of that name.
    server.settings = keyring(&[NEW]);
    let refused = beside(&server, &["serve"]);
    assert!(
        !refused.status.success() && err(&refused).contains("under key k1, which is not configured"),
        "{refused:?}"
    );
    let status = beside(&server, &["secrets", "status"]);
    assert_eq!(status.status.code(), Some(3), "{status:?}");
    assert!(out(&status).contains("ca.ca_certificates.sealed_key") && out(&status).contains("missing"), "{status:?}");
    server.settings = keyring(&["k1:fedcba9876543210fedcba9876543210"]);
    let refused = beside(&server, &["serve"]);
    assert!(!refused.status.success() && err(&refused).contains("key k1 does not open"), "{refused:?}");

    server.settings = keyring(&[NEW, OLD]);
    server.restart();
    let trial = beside(&server, &["reseal", "--dry-run"]);
    assert!(trial.status.success() && out(&trial).contains("would be moved from v4 k1 to v4 k2"), "{trial:?}");
    assert!(out(&beside(&server, &["secrets", "status"])).contains("opens; reseal moves it"));
    let done = beside(&server, &["reseal", "--batch", "1"]);
    assert!(done.status.success() && out(&done).contains("ca.ca_certificates.sealed_key: 1 moved"), "{done:?}");
    assert!(err(&done).contains("values moved, at"), "progress is told: {done:?}");
    let again = beside(&server, &["reseal"]);
    assert!(again.status.success() && out(&again).contains("all values are under key k2"), "{again:?}");
    let (_, trail) = server.call("GET", "/api/v1/audit?action=secrets.resealed", Some(&admin), None);
    assert!(trail["total"].as_i64() >= Some(1) && trail["data"][0]["details"]["to"] == "k2", "{trail}");
    assert!(!trail.to_string().contains("fedcba98"), "no key in the trail");

    stop(&mut server);
    server.settings = keyring(&[NEW]);
    server.restart();
    assert_eq!(server.call("GET", "/.well-known/pki/crl/iss-local", None, None).0, 200);
    let output = server.curl(&[
        "-H",
        &format!("Authorization: Bearer {admin}"),
        &format!("https://localhost:{}/api/v1/metrics/prometheus", server.port),
    ]);
    let figures = out(&output);
    assert!(figures.contains("certctl_secret_blobs{kid=\"k2\",version=\"4\"}"), "{figures}");
    assert!(!figures.contains("kid=\"k1\""), "{figures}");
}

#[test]
fn a_made_key_is_one_that_the_server_takes() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut init = command(dir.path(), 1);
    let made = init.args(["keys", "init", "--id", "k9"]).stdout(std::process::Stdio::piped()).output().expect("runs");
    let entry = out(&made).trim().to_owned();
    assert!(entry.starts_with("k9:") && entry.len() > 40, "{entry}");
    let checked = command(dir.path(), 8443).envs(keyring(&[&entry])).args(["config", "check"]).output().expect("runs");
    assert!(checked.status.success(), "{checked:?}");
    let refused = command(dir.path(), 1).args(["keys", "init", "--id", "too-long"]).output().expect("it runs");
    assert!(!refused.status.success());
}
