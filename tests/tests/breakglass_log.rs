//! What the log says of emergency accounts, and what it never says.

use super::breakglass_host::{host, told};
use super::{Server, command, free_port, json};
use std::fs::File;

const PASSWORD: &str = "correct-horse-battery-staple";
const OTHER: &str = "another-horse-battery-staple";
const WRONG: &str = "never-the-right-horse-at-all";

/// A server with these settings whose whole log, at its most talkative, goes into a file.
pub(crate) fn logged(settings: &[(&str, &str)]) -> (Server, std::path::PathBuf) {
    let dir = tempfile::Builder::new().prefix("cc").tempdir().expect("a temporary folder");
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("chmod");
    let (port, path) = (free_port(), dir.path().join("server.log"));
    let log = File::create(&path).expect("a file");
    let settings: Vec<_> = settings
        .iter()
        .chain(&[("LOG_LEVEL", "debug")])
        .map(|(name, value)| (format!("CERTCTL_{name}"), (*value).to_owned()))
        .collect();
    let mut server = command(dir.path(), port);
    server.envs(settings.clone()).stdout(log.try_clone().expect("a file")).stderr(log);
    let server = Server { child: server.spawn().expect("the server starts"), dir, port, settings };
    server.until_ready();
    (server, path)
}

#[test]
fn tl_07_the_log_tells_of_every_emergency_sign_in_and_of_no_password() {
    let (mut server, path) = logged(&[("BREAKGLASS_ENABLED", "true")]);
    let admin = server.bootstrap();
    told(&server, &["create", "drill-1", "--role", "admin"], PASSWORD);
    let login = |password: &str| {
        let body = json!({"actor_id": "drill-1", "password": password});
        server.call("POST", "/auth/breakglass/login", None, Some(&body)).0
    };
    assert_eq!((login(WRONG), login(PASSWORD)), (401, 204));
    // A password in the wrong field, and one of a wrong type.
    let crossed = json!({"actor_id": WRONG, "password": "drill-1"});
    assert_eq!(server.call("POST", "/auth/breakglass/login", None, Some(&crossed)).0, 401);
    let credentials = "/api/v1/auth/breakglass/credentials";
    for (password, expected) in [(json!(OTHER), 201), (json!([OTHER]), 400), (json!("short"), 400)] {
        let body = json!({"actor_id": "drill-1", "password": password});
        assert_eq!(server.call("POST", credentials, Some(&admin), Some(&body)).0, expected);
    }
    assert_eq!(login(OTHER), 204);
    assert!(!host(&server, &["set-password", "nobody"], PASSWORD).status.success());
    server.signal("-TERM");
    server.child.wait().expect("it ends");

    let log = std::fs::read_to_string(&path).expect("a log");
    assert_eq!(log.matches("the emergency way in was used").count(), 2, "{log}");
    assert_eq!(log.matches("an emergency sign-in was refused").count(), 2, "{log}");
    assert!(log.contains("the emergency way in is mounted"), "{log}");
    for secret in [PASSWORD, OTHER, WRONG, "$argon2id", "__Host-certctl_session=v1."] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
