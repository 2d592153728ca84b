//! Who gets through which door: every route of the table, over TLS at the real server, with each default role, with a
//! role in a scope, with a grant that has ended and with no credential; and two servers on one database.

use super::Server;
use certctl_http::edge::Gate;
use certctl_rbac::{DefaultRole, Permission, ScopeType};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// A request of the matrix: a row of the table with its parameters filled in.
struct Door {
    method: String,
    template: String,
    path: String,
    gate: Gate,
}

impl Door {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What came back.
struct Answer {
    status: u16,
    body: Value,
}

/// Every row of the table. `{id}` becomes `id`, except where it names the caller itself.
fn doors(id: &str, caller: &str) -> Vec<Door> {
    certctl_http::routes::all()
        .into_iter()
        .map(|route| {
            let own = route.path.contains("/actors/{type}/") && matches!(route.gate, Gate::Authenticated);
            let mut path = route.path.replace("{id}", if own { caller } else { id }).replace("{type}", "APIKey");
            while let Some(start) = path.find('{') {
                let end = start + path[start..].find('}').expect("a whole parameter");
                path.replace_range(start..=end, "none");
            }
            Door { method: route.method.as_str().to_owned(), template: route.path, path, gate: route.gate }
        })
        .collect()
}

/// Sends every request over few connections, because a process each would take minutes.
fn knock(server: &Server, doors: &[Door], key: Option<&str>) -> Vec<Answer> {
    let answers = tempfile::tempdir().expect("a temporary folder");
    let mut config = String::new();
    for (n, door) in doors.iter().enumerate() {
        let mut line = |text: String| writeln!(config, "{text}").expect("memory");
        if n > 0 {
            line("next".to_owned());
        }
        line(format!("url = \"https://localhost:{}{}\"", server.port, door.path));
        line(format!("request = \"{}\"", door.method));
        line(format!("output = \"{}/{n}\"", answers.path().display()));
        line("write-out = \"%{http_code}\\n\"".to_owned());
        line(format!("cacert = \"{}\"", server.dir.path().join("data/tls/ca.crt").display()));
        line("max-time = 30\nsilent\nshow-error".to_owned());
        if let Some(key) = key {
            line(format!("header = \"Authorization: Bearer {key}\""));
        }
        if matches!(door.method.as_str(), "POST" | "PUT" | "PATCH") {
            line("header = \"Content-Type: application/json\"\ndata = \"{}\"".to_owned());
        }
    }
    let file = answers.path().join("config");
    std::fs::write(&file, config).expect("a file");
    let output = Command::new("curl").arg("-K").arg(&file).output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let statuses: Vec<u16> = text.lines().map(|line| line.parse().expect("a status")).collect();
    assert_eq!(statuses.len(), doors.len(), "{}", String::from_utf8_lossy(&output.stderr));
    statuses
        .into_iter()
        .enumerate()
        .map(|(n, status)| {
            let body = std::fs::read(answers.path().join(n.to_string())).unwrap_or_default();
            Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
        })
        .collect()
}

fn start() -> Server {
    Server::start_with(&[("RATE_LIMIT_ENABLED", "false"), ("BREAKGLASS_ENABLED", "true")])
}

fn key(server: &Server, admin: &str, name: &str, role: &str) -> String {
    let body = json!({"name": name, "roles": [role]});
    let (status, made) = server.call("POST", "/api/v1/auth/api-keys", Some(admin), Some(&body));
    assert_eq!(status, 201, "{made}");
    made["key_value"].as_str().expect("a key").to_owned()
}

/// A request to sign, PEM.
fn request(server: &Server) -> String {
    let output = Command::new("openssl")
        .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=a.example.com", "-addext", "subjectAltName=DNS:a.example.com", "-keyout"])
        .arg(server.dir.path().join("matrix.key"))
        .output()
        .expect("openssl runs");
    String::from_utf8(output.stdout).expect("PEM is text")
}

fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The permission that a gate asks for.
fn asked(gate: Gate) -> Option<Permission> {
    match gate {
        Gate::Permission(permission)
        | Gate::Objects(permission)
        | Gate::Scoped(permission, _)
        | Gate::Enrolment(permission) => Some(permission),
        Gate::Authenticated | Gate::Public(_) => None,
    }
}

/// Whether an answer is a refusal for want of `permission`.
fn refused(answer: &Answer, permission: Permission) -> bool {
    answer.status == 403 && answer.body["permission"] == permission.as_str()
}

/// Agents' own routes are for the agent of the path, whatever role the caller holds, or for who may edit agents.
fn only_for_the_agent_itself(door: &Door, answer: &Answer) -> bool {
    door.template.starts_with("/api/v1/agents/{id}/") && refused(answer, Permission::AgentEdit)
}

/// Operations that everybody has for what is their own, and for others' with a permission.
fn only_for_the_person_itself(door: &Door, answer: &Answer) -> bool {
    match door.template.as_str() {
        "/api/v1/auth/users/{id}" => refused(answer, Permission::AuthUserRead),
        "/api/v1/auth/users/{id}/export" => refused(answer, Permission::AuthUserDeactivate),
        _ => false,
    }
}

/// Ways to sign in judge by what is presented, and take forms from our own pages only.
fn judges_by_itself(door: &Door, answer: &Answer) -> bool {
    let form = door.template.ends_with("-form") && answer.status == 403;
    let way_in = door.template.starts_with("/auth/breakglass/") && answer.status == 401;
    matches!(door.gate, Gate::Public(_)) && (form || way_in)
}

fn let_through(door: &Door, answer: &Answer) -> bool {
    !matches!(answer.status, 401 | 403) && answer.status < 500
        || only_for_the_agent_itself(door, answer)
        || only_for_the_person_itself(door, answer)
        || judges_by_itself(door, answer)
}

/// What is wrong with the answers, by the rule that says what each door does.
fn problems(who: &str, doors: &[Door], answers: &[Answer], opens: impl Fn(&Door) -> bool) -> Vec<String> {
    doors
        .iter()
        .zip(answers)
        .filter_map(|(door, answer)| {
            let sound = match asked(door.gate) {
                None => let_through(door, answer),
                Some(_) if opens(door) => let_through(door, answer),
                Some(permission) => refused(answer, permission),
            };
            (!sound).then(|| format!("{who}: {} gave {} {}", door.name(), answer.status, answer.body))
        })
        .collect()
}

#[test]
fn every_route_lets_in_whom_the_table_says_and_nobody_else() {
    let server = start();
    let admin = server.bootstrap();
    let mut wrong = Vec::new();

    let all = doors("none", "nobody");
    for (door, answer) in all.iter().zip(knock(&server, &all, None)) {
        let sound = match door.gate {
            Gate::Public(_) if judges_by_itself(door, &answer) => true,
            // What is wrong with an emergency sign-in is told to nobody.
            Gate::Public(_) if door.template.starts_with("/auth/breakglass/") => matches!(answer.status, 401 | 429),
            Gate::Public(_) => !matches!(answer.status, 401 | 403) && answer.status < 500,
            _ => answer.status == 401,
        };
        if !sound {
            wrong.push(format!("no credential: {} gave {} {}", door.name(), answer.status, answer.body));
        }
    }

    for role in DefaultRole::ALL {
        let name = format!("only-{}", role.name());
        let key = key(&server, &admin, &name, role.id());
        let held = role.permissions();
        let doors = doors("none", &name);
        let answers = knock(&server, &doors, Some(&key));
        wrong.extend(problems(role.id(), &doors, &answers, |door| {
            asked(door.gate).is_some_and(|permission| held.contains(&permission))
        }));
    }

    // A role in the scope of one profile opens what has to do with that profile, and the objects of others stay shut.
    for id in ["prof-mine", "prof-other"] {
        let body = json!({"id": id, "name": id});
        let (status, made) = server.call("POST", "/api/v1/profiles", Some(&admin), Some(&body));
        assert_eq!(status, 201, "{made}");
    }
    let scoped = key(&server, &admin, "scoped", "viewer");
    let grant = json!({"role_id": "operator", "scope_type": "profile", "scope_id": "prof-mine"});
    let path = "/api/v1/auth/keys/scoped/roles";
    assert_eq!(server.call("POST", path, Some(&admin), Some(&grant)).0, 204);
    assert_eq!(server.call("DELETE", &format!("{path}/viewer"), Some(&admin), None).0, 204);
    let held = DefaultRole::Operator.permissions();
    for id in ["prof-mine", "prof-other"] {
        let doors = doors(id, "scoped");
        let answers = knock(&server, &doors, Some(&scoped));
        wrong.extend(problems("scoped", &doors, &answers, |door| match door.gate {
            Gate::Objects(permission) => held.contains(&permission),
            Gate::Scoped(permission, ScopeType::Profile) => id == "prof-mine" && held.contains(&permission),
            _ => false,
        }));
    }

    // Issuing and revoking need the signing keys of a whole server, so they are tried here.
    let create = |path: &str, body: &Value| {
        let (status, made) = server.call("POST", path, Some(&admin), Some(body));
        assert_eq!(status, 201, "{made}");
    };
    create("/api/v1/teams", &json!({"id": "t1", "name": "t1"}));
    create("/api/v1/owners", &json!({"id": "o1", "name": "o1", "team_id": "t1"}));
    for profile in ["prof-mine", "prof-other"] {
        let body = json!({
            "id": format!("mc-{profile}"), "name": profile, "common_name": "a.example.com", "sans": ["a.example.com"],
            "owner_id": "o1", "team_id": "t1", "issuer_id": "iss-local", "renewal_policy_id": "rp-default",
            "certificate_profile_id": profile,
        });
        create("/api/v1/certificates", &body);
        for (action, permission, body) in [
            ("revoke", "cert.revoke", json!({"reason": "superseded"})),
            ("versions", "cert.issue", json!({"csr_pem": request(&server)})),
        ] {
            let path = format!("/api/v1/certificates/mc-{profile}/{action}");
            let (status, body) = server.call("POST", &path, Some(&scoped), Some(&body));
            let shut = status == 403 && body["permission"] == permission;
            if shut != (profile == "prof-other") {
                wrong.push(format!("scoped: POST {path} gave {status} {body}"));
            }
        }
    }

    // A grant that has ended opens nothing, from the moment at which it ends.
    let expired = key(&server, &admin, "expired", "viewer");
    let soon = Command::new("date").args(["-u", "-d", "+2 seconds", "+%FT%TZ"]).output().expect("date runs");
    let soon = String::from_utf8_lossy(&soon.stdout).trim().to_owned();
    let path = "/api/v1/auth/keys/expired/roles";
    let grant = json!({"role_id": "admin", "expires_at": soon});
    assert_eq!(server.call("POST", path, Some(&admin), Some(&grant)).0, 204);
    assert_eq!(server.call("DELETE", &format!("{path}/viewer"), Some(&admin), None).0, 204);
    assert_eq!(server.call("GET", "/api/v1/auth/roles", Some(&expired), None).0, 200, "until then it opens all");
    until("the grant ends", Duration::from_secs(10), || {
        server.call("GET", "/api/v1/auth/roles", Some(&expired), None).0 == 403
    });
    let doors = doors("none", "expired");
    let answers = knock(&server, &doors, Some(&expired));
    wrong.extend(problems("expired grant", &doors, &answers, |_| false));

    assert!(wrong.is_empty(), "{} doors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_is_revoked_at_one_server_is_gone_at_the_other_within_two_seconds() {
    let first = start();
    let admin = first.bootstrap();
    let data = first.dir.path().join("data");
    let password = std::fs::read_to_string(data.join("postgres.password")).expect("the private password");
    let socket = data.join("run").display().to_string().replace('/', "%2F");
    let url = format!("postgres://certctl:{}@{socket}/certctl", password.trim());
    let second = Server::start_with(&[("RATE_LIMIT_ENABLED", "false"), ("DATABASE_URL", &url)]);

    let list = "/api/v1/certificates";
    let within = Duration::from_secs(2);
    let reader = key(&first, &admin, "reader", "viewer");
    for server in [&first, &second] {
        assert_eq!(server.call("GET", list, Some(&reader), None).0, 200);
    }
    assert_eq!(first.call("DELETE", "/api/v1/auth/keys/reader/roles/viewer", Some(&admin), None).0, 204);
    assert_eq!(first.call("GET", list, Some(&reader), None).0, 403);
    until("the revoked role is gone at the other server", within, || {
        second.call("GET", list, Some(&reader), None).0 == 403
    });

    // And the other way round, with what a role permits.
    let body = json!({"name": "readers", "clone_of": "viewer"});
    let (_, role) = second.call("POST", "/api/v1/auth/roles", Some(&admin), Some(&body));
    let role = role["id"].as_str().expect("an id").to_owned();
    let grant = json!({"role_id": role});
    assert_eq!(second.call("POST", "/api/v1/auth/keys/reader/roles", Some(&admin), Some(&grant)).0, 204);
    until("the granted role is known at the other server", within, || {
        first.call("GET", list, Some(&reader), None).0 == 200
    });
    let path = format!("/api/v1/auth/roles/{role}/permissions/cert.read");
    assert_eq!(second.call("DELETE", &path, Some(&admin), None).0, 204);
    until("the permission is gone at the other server", within, || {
        first.call("GET", list, Some(&reader), None).0 == 403
    });

    // A change behind both servers' backs is noticed as well.
    let (_, me) = second.call("GET", "/api/v1/teams", Some(&reader), None);
    assert!(me["data"].is_array(), "{me}");
    let changed = Command::new("psql")
        .env("PGPASSWORD", password.trim())
        .arg("-h")
        .arg(data.join("run"))
        .args(["-U", "certctl", "-d", "certctl", "-XAtqc", "DELETE FROM iam.grants WHERE actor_id = 'reader'"])
        .status()
        .expect("psql runs");
    assert!(changed.success());
    for server in [&first, &second] {
        until("the deleted grant is gone", within, || {
            server.call("GET", "/api/v1/teams", Some(&reader), None).0 == 403
        });
    }
}

#[test]
fn what_callers_use_is_written_down_and_survives_a_stop() {
    let mut server = start();
    let admin = server.bootstrap();
    let reader = key(&server, &admin, "reader", "operator");
    for _ in 0..3 {
        assert_eq!(server.call("GET", "/api/v1/teams", Some(&reader), None).0, 200);
    }
    // The counts are in memory until the loop writes them, or the server stops.
    server.signal("-TERM");
    server.child.wait().expect("the server ends");
    server.restart();
    let path = "/api/v1/auth/actors/APIKey/reader/scope-down";
    let (status, found) = server.call("GET", path, Some(&admin), None);
    assert_eq!(status, 200, "{found}");
    let used = &found["used"][0];
    assert_eq!((used["permission"].as_str(), used["count"].as_i64()), (Some("team.read"), Some(3)), "{found}");
    assert_eq!(found["suggested_roles"], json!(["r-viewer"]), "{found}");
}
