//! What the demo mode, or a database from elsewhere, left behind: noticed at the start, refused when asked to, cleared.

use super::{Server, command};
use std::process::Command;

#[test]
fn roles_of_the_demo_principal_are_noticed_refused_on_wish_and_cleared() {
    let mut server = Server::start();
    let admin = server.bootstrap();
    let data = server.dir.path().join("data");
    let password = std::fs::read_to_string(data.join("postgres.password")).expect("the private password");
    let residue = "INSERT INTO iam.principals (kind, id) VALUES ('Anonymous', 'actor-demo-anon'); \
                   INSERT INTO iam.grants (id, actor_type, actor_id, role_id, source, granted_by) \
                   VALUES ('ar-demo-anon-admin', 'Anonymous', 'actor-demo-anon', 'r-admin', 'manual', 'system')";
    let inserted = Command::new("psql")
        .env("PGPASSWORD", password.trim())
        .arg("-h")
        .arg(data.join("run"))
        .args(["-U", "certctl", "-d", "certctl", "-XAtqc", residue])
        .status()
        .expect("psql runs");
    assert!(inserted.success());
    // It is a grant to nobody who can sign in.
    assert_eq!(server.call("GET", "/api/v1/teams", None, None).0, 401);
    server.signal("-TERM");
    server.child.wait().expect("the server ends");

    let refused = command(server.dir.path(), server.port)
        .env("CERTCTL_DEMO_MODE_RESIDUAL_STRICT", "true")
        .output()
        .expect("the server runs");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("demo-residual/cleanup"), "{text}");

    server.restart();
    let events = |action: &str| {
        let (_, trail) = server.call("GET", &format!("/api/v1/audit?action={action}"), Some(&admin), None);
        trail["data"].as_array().expect("events").clone()
    };
    let seen = events("auth.demo_residual_grants_detected");
    assert_eq!(seen.len(), 2, "the refused start told of it as well");
    assert_eq!(seen[0]["details"]["residue_count"], 1);
    let cleanup = "/api/v1/auth/demo-residual/cleanup";
    let (status, cleared) = server.call("POST", cleanup, Some(&admin), None);
    assert_eq!((status, cleared["removed"].as_u64()), (200, Some(1)), "{cleared}");
    assert_eq!(events("auth.demo_residual_grants_cleaned").len(), 1);
    let (_, config) = server.call("GET", "/api/v1/auth/runtime-config", Some(&admin), None);
    let settings = config["runtime_config"].as_object().expect("settings");
    assert_eq!((settings.len(), settings["CERTCTL_AUTH_TYPE"].as_str()), (12, Some("api-key")));
    assert!(!config.to_string().contains(super::TOKEN), "{config}");
}
