//! Roles in the scope of a profile or an issuer, as clients see them: what is in the scope opens, lists show it and
//! nothing else, and no other path leads to the rest.

use crate::edge::{TOKEN, edge, send};
use crate::support::TestDatabase;
use serde_json::{Value, json};

async fn with_catalogue() -> TestDatabase {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    db
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn certificate(name: &str, issuer: &str, profile: Option<&str>) -> Value {
    json!({
        "id": format!("mc-{name}"), "name": name, "common_name": format!("{name}.example.com"),
        "sans": [format!("{name}.example.com")], "environment": "production", "owner_id": "o-1", "team_id": "t-1",
        "issuer_id": issuer, "renewal_policy_id": "rp-default", "certificate_profile_id": profile,
    })
}

macro_rules! made {
    ($edge:expr, $key:expr, $path:expr, $body:expr) => {{
        let (status, made) = send!($edge, POST $path, Some($key), Some($body));
        assert_eq!(status, 201, "{made}");
        made
    }};
}

/// Two issuers, two profiles, and a certificate of every combination that matters, each with a renewal job. Gives the
/// administrator's key.
macro_rules! scene {
    ($db:expr, $edge:expr) => {{
        let admin = text(
            &made!($edge, "", "/api/v1/auth/bootstrap", json!({"token": TOKEN, "actor_name": "admin"}))["key_value"],
        );
        made!($edge, &admin, "/api/v1/teams", json!({"id": "t-1", "name": "t-1"}));
        made!($edge, &admin, "/api/v1/owners", json!({"id": "o-1", "name": "o-1", "team_id": "t-1"}));
        for id in ["iss-a", "iss-b"] {
            made!($edge, &admin, "/api/v1/issuers", json!({"id": id, "name": id, "type": "local"}));
        }
        for id in ["prof-a", "prof-b"] {
            made!($edge, &admin, "/api/v1/profiles", json!({"id": id, "name": id}));
        }
        for (name, issuer, profile) in [
            ("a-a", "iss-a", Some("prof-a")),
            ("b-a", "iss-b", Some("prof-a")),
            ("b-b", "iss-b", Some("prof-b")),
            ("b-none", "iss-b", None),
        ] {
            made!($edge, &admin, "/api/v1/certificates", certificate(name, issuer, profile));
        }
        // Without an agent no job can be ordered, and who may see one is all that matters here.
        let jobs = "INSERT INTO work.jobs (id, type, certificate_id, executor, status, state_entered_at, max_attempts, \
                      scheduled_at, requested_by, trigger, created_at) \
                    SELECT 'job-' || id, 'Renewal', id, 'agent', 'AwaitingCSR', now(), 3, now(), 'it', 'manual', now() \
                    FROM inventory.certificates";
        $db.session().await.execute(jobs, &[]).await.expect("jobs");
        admin
    }};
}

/// A key whose only role is in one scope.
macro_rules! scoped {
    ($edge:expr, $admin:expr, $name:expr, $role:expr, $kind:expr, $id:expr) => {{
        let key = made!($edge, $admin, "/api/v1/auth/api-keys", json!({"name": $name, "roles": ["viewer"]}));
        let path = format!("/api/v1/auth/actors/APIKey/{}/roles", $name);
        let roles = json!({"roles": [{"role_id": $role, "scope_type": $kind, "scope_id": $id}]});
        let (status, held) = send!($edge, PUT & path, Some($admin), Some(roles));
        assert_eq!(status, 200, "{held}");
        text(&key["key_value"])
    }};
}

/// The `member` of every row of a list, sorted.
macro_rules! listed {
    ($edge:expr, $path:expr, $key:expr, $member:expr) => {{
        let (status, list) = send!($edge, GET $path, Some($key));
        assert_eq!(status, 200, "{list}");
        let mut seen: Vec<String> = list["data"].as_array().expect("rows").iter().map(|row| text(&row[$member])).collect();
        seen.sort();
        assert_eq!(list["total"], seen.len(), "the total tells of no others");
        seen
    }};
}

#[tokio::test]
async fn lists_show_what_is_in_the_scope_and_nothing_else() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = &scene!(&db, edge);
    let by_profile = &scoped!(edge, admin, "by-profile", "viewer", "profile", "prof-a");
    let by_issuer = &scoped!(edge, admin, "by-issuer", "viewer", "issuer", "iss-a");

    assert_eq!(listed!(edge, "/api/v1/certificates", by_profile, "id"), ["mc-a-a", "mc-b-a"]);
    assert_eq!(listed!(edge, "/api/v1/certificates", by_issuer, "id"), ["mc-a-a"]);
    assert_eq!(listed!(edge, "/api/v1/jobs", by_profile, "certificate_id"), ["mc-a-a", "mc-b-a"]);
    assert_eq!(listed!(edge, "/api/v1/jobs", by_issuer, "certificate_id"), ["mc-a-a"]);
    assert_eq!(listed!(edge, "/api/v1/jobs?certificate_id=mc-b-b", by_issuer, "id"), Vec::<String>::new());
    assert_eq!(listed!(edge, "/api/v1/profiles", by_profile, "id"), ["prof-a"]);
    assert_eq!(listed!(edge, "/api/v1/profiles", by_issuer, "id"), Vec::<String>::new());
    assert_eq!(listed!(edge, "/api/v1/issuers", by_issuer, "id"), ["iss-a"]);
    assert_eq!(listed!(edge, "/api/v1/issuers", by_profile, "id"), Vec::<String>::new());
    assert_eq!(listed!(edge, "/api/v1/certificates", admin, "id").len(), 4);

    // What no profile or issuer narrows needs the permission everywhere.
    for path in ["/api/v1/teams", "/api/v1/owners", "/api/v1/agents", "/api/v1/targets", "/api/v1/audit"] {
        assert_eq!(send!(edge, GET path, Some(by_profile)).0, 403, "{path}");
    }
    // Filters and cursors narrow further and never widen.
    assert_eq!(listed!(edge, "/api/v1/certificates?issuer_id=iss-b", by_issuer, "id"), Vec::<String>::new());
    let (_, first) = send!(edge, GET "/api/v1/certificates?per_page=1", Some(admin));
    let cursor = text(&first["next_cursor"]);
    let (status, body) = send!(edge, GET & format!("/api/v1/certificates?cursor={cursor}"), Some(by_issuer));
    assert_eq!(status, 400, "a cursor of a wider list is refused: {body}");
}

#[tokio::test]
async fn single_objects_open_by_their_profile_or_their_issuer() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = &scene!(&db, edge);
    let by_profile = &scoped!(edge, admin, "by-profile", "operator", "profile", "prof-a");
    let by_issuer = &scoped!(edge, admin, "by-issuer", "operator", "issuer", "iss-a");
    let (_, jobs) = send!(edge, GET "/api/v1/jobs", Some(admin));
    let job = |name: &str| {
        let rows = jobs["data"].as_array().expect("rows");
        text(&rows.iter().find(|row| row["certificate_id"] == format!("mc-{name}")).expect("a job")["id"])
    };
    for (name, profile_opens, issuer_opens) in
        [("a-a", true, true), ("b-a", true, false), ("b-b", false, false), ("b-none", false, false)]
    {
        for (key, opens) in [(by_profile, profile_opens), (by_issuer, issuer_opens)] {
            let open = |status: u16| if opens { status != 403 } else { status == 403 };
            let certificate = format!("/api/v1/certificates/mc-{name}");
            assert_eq!(send!(edge, GET & certificate, Some(key)).0, if opens { 200 } else { 403 }, "{name}");
            for path in ["/versions", "/deployments", "/export/pem"] {
                let (status, body) = send!(edge, GET & format!("{certificate}{path}"), Some(key));
                assert!(open(status), "{name}{path} {status} {body}");
            }
            for (path, body) in [
                ("/renew", json!({})),
                ("/deploy", json!({})),
                ("/export/pkcs12", json!({"password": "a long enough one"})),
            ] {
                let (status, body) = send!(edge, POST & format!("{certificate}{path}"), Some(key), Some(body));
                assert!(open(status), "{name}{path} {status} {body}");
            }
            let (status, body) = send!(edge, PUT & certificate, Some(key), Some(json!({"environment": "staging"})));
            assert!(open(status), "{name} {status} {body}");
            let job = format!("/api/v1/jobs/{}", job(name));
            assert_eq!(send!(edge, GET & job, Some(key)).0, if opens { 200 } else { 403 }, "{name}");
            assert!(open(send!(edge, GET & format!("{job}/verification"), Some(key)).0), "{name}");
        }
        // Cancelling comes last, because it changes the job.
        for (key, opens) in [(by_issuer, issuer_opens), (by_profile, profile_opens)] {
            let (status, body) = send!(edge, POST & format!("/api/v1/jobs/{}/cancel", job(name)), Some(key));
            assert_eq!(status == 403, !opens, "{name} {status} {body}");
        }
    }
}

#[tokio::test]
async fn creation_and_moves_are_checked_against_the_profile_and_issuer_named() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = &scene!(&db, edge);
    let key = &scoped!(edge, admin, "by-profile", "operator", "profile", "prof-a");
    made!(edge, key, "/api/v1/certificates", certificate("new", "iss-b", Some("prof-a")));
    for (name, profile) in [("other", Some("prof-b")), ("none", None)] {
        let body = certificate(name, "iss-b", profile);
        let (status, refused) = send!(edge, POST "/api/v1/certificates", Some(key), Some(body));
        assert_eq!((status, text(&refused["permission"])), (403, "cert.issue".to_owned()));
    }
    // A certificate is not carried out of the scope, and none is carried in.
    let out = json!({"certificate_profile_id": "prof-b"});
    assert_eq!(send!(edge, PUT "/api/v1/certificates/mc-new", Some(key), Some(out)).0, 403);
    let inward = json!({"certificate_profile_id": "prof-a"});
    assert_eq!(send!(edge, PUT "/api/v1/certificates/mc-b-b", Some(key), Some(inward)).0, 403);
    // Profiles and issuers themselves are made by those who may everywhere.
    assert_eq!(send!(edge, POST "/api/v1/profiles", Some(key), Some(json!({"id": "prof-c", "name": "c"}))).0, 403);
    assert_eq!(send!(edge, PUT "/api/v1/profiles/prof-a", Some(key), Some(json!({"description": "mine"}))).0, 200);
    assert_eq!(send!(edge, PUT "/api/v1/profiles/prof-b", Some(key), Some(json!({"description": "mine"}))).0, 403);
}

#[tokio::test]
async fn a_scope_does_not_outlive_its_object() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = &scene!(&db, edge);
    scoped!(edge, admin, "by-issuer", "viewer", "issuer", "iss-a");
    made!(edge, admin, "/api/v1/profiles", json!({"id": "prof-short", "name": "short"}));
    scoped!(edge, admin, "by-profile", "viewer", "profile", "prof-short");
    // Were it deleted, another profile of the same id would inherit the grant.
    for path in ["/api/v1/profiles/prof-short", "/api/v1/profiles/prof-short?force=true"] {
        let (status, blocked) = send!(edge, DELETE path, Some(admin));
        assert_eq!((status, text(&blocked["code"])), (409, "dependency_blocked".to_owned()), "{blocked}");
    }
    let path = "/api/v1/auth/keys/by-profile/roles/viewer?scope_type=profile&scope_id=prof-short";
    assert_eq!(send!(edge, DELETE path, Some(admin)).0, 204);
    assert_eq!(send!(edge, DELETE "/api/v1/profiles/prof-short", Some(admin)).0, 204);
}
