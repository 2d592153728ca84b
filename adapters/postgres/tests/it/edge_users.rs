//! People as administrators, and as they themselves, see them.

use crate::edge::{TOKEN, edge, send};
use crate::oidc::{provider, save, with_catalogue};
use crate::support::{START, TestDatabase};
use crate::users::{signed_in, told};
use actix_web::http::Method;
use certctl_kernel::{Actor, ActorType, RequestContext};
use certctl_rbac::Caller;
use certctl_unit_of_work::Database as _;
use certctl_user::{Retention, SignIn, UserState, deactivate_user, export_user, purge_due, purge_user};
use serde_json::{Value, json};
use time::Duration;

const USERS: &str = "/api/v1/auth/users";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}

/// Key of the first administrator.
macro_rules! admin {
    ($edge:expr) => {{
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (status, made) = send!($edge, POST "/api/v1/auth/bootstrap", None, Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

/// Somebody with two sessions and a key of their own; gives the id.
async fn person(db: &TestDatabase, provider_id: &str, subject: &str) -> String {
    let groups = ["eng".to_owned()];
    let id = signed_in(db, SignIn { groups: &groups, ..told(provider_id, subject) }).await.expect("let in").user.id;
    let session = db.session().await;
    for n in 1..=2 {
        let sql = "WITH key AS (INSERT INTO iam.session_signing_keys (id, key_material_encrypted, created_at) \
                     VALUES ('sk-it', '\\x00', $4) ON CONFLICT DO NOTHING) \
                   INSERT INTO iam.sessions (id, actor_type, actor_id, signing_key_id, way, provider_id, idp_sid, \
                     id_token_encrypted, ip_address, user_agent, created_at, last_seen_at, absolute_expires_at) \
                   VALUES ($1, 'User', $3, 'sk-it', 'oidc', $2, 'sid', '\\x0401', '192.0.2.9', 'Firefox', $4, $4, $5)";
        let (row, end) = (format!("ses-{subject}-{n}"), START + Duration::hours(8));
        session.execute(sql, &[&row, &provider_id, &id, &START, &end]).await.expect("a session");
    }
    id
}

/// A key that names its owner.
macro_rules! key_of {
    ($edge:expr, $admin:expr, $name:expr, $owner:expr) => {{
        let body = json!({"name": $name, "roles": ["viewer"], "owner_user_id": $owner});
        let (status, made) = send!($edge, POST "/api/v1/auth/api-keys", Some(&$admin), Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

async fn live_sessions(db: &TestDatabase, user: &str) -> i64 {
    let sql = "SELECT count(*) FROM iam.sessions WHERE actor_id = $1 AND revoked_at IS NULL";
    db.session().await.query_one(sql, &[&user]).await.expect("a count").get(0)
}

fn oneself(id: &str) -> Caller {
    let context =
        RequestContext { actor: Actor::new(id, ActorType::User), request_id: "req-it".to_owned(), source_ip: None };
    Caller { context, ..Caller::system("it") }
}

#[tokio::test]
async fn who_is_shut_out_loses_sessions_and_keys_at_once_and_can_be_let_in_again() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let idp = provider(&db, "corp").await;
    let id = person(&db, &idp.id, "s1").await;
    let other = person(&db, &idp.id, "s2").await;
    let own = key_of!(edge, admin, "adas-key", id);
    assert_eq!(send!(edge, GET "/api/v1/auth/me", Some(&own)).0, 200);
    let path = format!("{USERS}/{id}");
    assert_eq!(send!(edge, DELETE & path, Some(&admin)), (204, Value::Null));
    assert_eq!((live_sessions(&db, &id).await, live_sessions(&db, &other).await), (0, 2));
    assert_eq!(send!(edge, GET "/api/v1/auth/me", Some(&own)).0, 401, "the key is off");
    let (_, user) = send!(edge, GET & path, Some(&admin));
    assert_eq!((&user["state"], &user["deactivated_at"]), (&json!("deactivated"), &json!("2026-03-01T12:00:00Z")));
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.user_deactivated", Some(&admin));
    let details = &trail["data"][0]["details"];
    assert_eq!(
        json!([
            details["user_id"],
            details["oidc_provider_id"],
            details["session_revoke_status"],
            details["sessions_revoked"]
        ]),
        json!([id, idp.id, "ok", 2])
    );
    assert_eq!(details["disabled_key_ids"].as_array().map(Vec::len), Some(1));
    db.clock.set(START + Duration::HOUR);
    assert_eq!(send!(edge, DELETE & path, Some(&admin)).0, 204, "twice is once");
    let (_, again) = send!(edge, GET & path, Some(&admin));
    assert_eq!(again["deactivated_at"], user["deactivated_at"]);
    let back = format!("{path}/reactivate");
    for _ in 0..2 {
        assert_eq!(send!(edge, POST & back, Some(&admin)), (204, Value::Null));
    }
    assert_eq!(live_sessions(&db, &id).await, 0, "sessions stay ended");
    let again = signed_in(&db, told(&idp.id, "s1")).await.expect("let in");
    assert_eq!((again.user.id, again.user.deactivated_at), (id, None));
    for path in [format!("{USERS}/u-none"), format!("{USERS}/u-none/reactivate"), format!("{USERS}/u-none/purge")] {
        let method = if path.ends_with("none") { Method::DELETE } else { Method::POST };
        let request = crate::edge::request(method, &path, Some(&admin), None);
        assert_eq!(actix_web::test::call_service(&edge, request.to_request()).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn nobody_shuts_out_themselves_or_the_last_administrator() {
    let db = with_catalogue().await;
    let idp = provider(&db, "corp").await;
    let id = person(&db, &idp.id, "s1").await;
    let mut tx = db.begin().await;
    let actor = Actor::new(id.clone(), ActorType::User);
    tx.add_grant(&actor, "r-admin", &certctl_rbac::Scope::Global, "manual", "it", None).await.expect("a grant");
    save(tx).await;
    let mut tx = db.begin().await;
    let refused = deactivate_user(tx.stores(), &db.ambient, &oneself(&id), &id).await.expect_err("refused");
    tx.discard().await.expect("a rollback");
    assert!(refused.to_string().contains("your own account"), "{refused}");
    let mut tx = db.begin().await;
    let refused = deactivate_user(tx.stores(), &db.ambient, &Caller::system("it"), &id).await.expect_err("refused");
    tx.discard().await.expect("a rollback");
    assert!(refused.to_string().contains("last working administrator"), "{refused}");
    assert_eq!(live_sessions(&db, &id).await, 2);
    let user = db.read().await.user(&id).await.expect("read").expect("a row");
    assert_eq!(user.state(), UserState::Active);
}

#[tokio::test]
async fn shutting_out_and_signing_in_at_once_leave_no_live_session_behind_a_shut_door() {
    let db = with_catalogue().await;
    let idp = provider(&db, "corp").await;
    for n in 0..8 {
        let subject = format!("r{n}");
        let id = person(&db, &idp.id, &subject).await;
        let (replica, ambient, user) = (db.replica(), db.ambient.clone(), id.clone());
        let out = tokio::spawn(async move {
            let mut tx = replica.begin().await.expect("a transaction");
            deactivate_user(tx.stores(), &ambient, &Caller::system("it"), &user).await.expect("shut out");
            tx.save().await.expect("a commit");
        });
        let (replica, ambient, provider_id, user) = (db.replica(), db.ambient.clone(), idp.id.clone(), id.clone());
        let row = format!("ses-new-{n}");
        let inside = tokio::spawn(async move {
            let mut tx = replica.begin().await.expect("a transaction");
            let command = told(&provider_id, &subject);
            if certctl_user::sign_in(tx.stores(), &ambient, &crate::users::pepper(), command).await.is_err() {
                tx.discard().await.expect("a rollback");
                return;
            }
            let session = certctl_session::Session {
                id: row,
                actor: Actor::new(user, ActorType::User),
                ..crate::users::session_row(&provider_id)
            };
            let secrets = certctl_session::SessionSecrets::default();
            tx.insert_session(&session, &secrets).await.expect("a session");
            save(tx).await;
        });
        out.await.expect("no panic");
        inside.await.expect("no panic");
        assert_eq!(live_sessions(&db, &id).await, 0, "whoever came first");
    }
}

#[tokio::test]
async fn lists_are_filtered_paged_and_told() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let (here, there) = (provider(&db, "here").await, provider(&db, "there").await);
    for (idp, subject, name) in [(&here, "1", "Ada"), (&here, "2", "Bob"), (&there, "3", "Cleo")] {
        signed_in(&db, SignIn { name: Some(name), ..told(&idp.id, subject) }).await.expect("let in");
        db.clock.set(db.ambient.now() + Duration::MINUTE);
    }
    let names = |list: &Value| -> Vec<String> {
        list["users"].as_array().expect("a list").iter().map(|user| text(&user["display_name"])).collect()
    };
    let (status, all) = send!(edge, GET USERS, Some(&admin));
    assert_eq!((status, names(&all), &all["total"]), (200, vec!["Ada".into(), "Bob".into(), "Cleo".into()], &json!(3)));
    let first = &all["users"][0];
    assert_eq!(
        json!([
            first["email"],
            first["oidc_subject"],
            first["oidc_provider_id"],
            first["last_login_at"],
            first["tenant_id"]
        ]),
        json!(["ada@corp.example", "1", here.id, "2026-03-01T12:00:00Z", "t-default"])
    );
    let (_, page) = send!(edge, GET & format!("{USERS}?per_page=2"), Some(&admin));
    let (_, rest) =
        send!(edge, GET & format!("{USERS}?per_page=2&cursor={}", text(&page["next_cursor"])), Some(&admin));
    assert_eq!((names(&page), names(&rest)), (vec!["Ada".into(), "Bob".into()], vec!["Cleo".into()]));
    for (query, expected) in [
        (format!("oidc_provider_id={}", here.id), 2),
        ("oidc_provider_id=op-none".to_owned(), 0),
        ("q=cle".to_owned(), 1),
        ("state=active".to_owned(), 3),
        ("state=purged".to_owned(), 0),
    ] {
        let (_, found) = send!(edge, GET & format!("{USERS}?{query}"), Some(&admin));
        assert_eq!(found["total"], json!(expected), "{query}");
    }
    for query in ["state=gone", "q=a", "colour=red", "cursor=v1.x"] {
        assert_eq!(send!(edge, GET & format!("{USERS}?{query}"), Some(&admin)).0, 400, "{query}");
    }
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.user_list", Some(&admin));
    assert_eq!((&trail["total"], &trail["data"][4]["details"]["provider_filter"]), (&json!(8), &json!(here.id)));
}

#[tokio::test]
async fn data_goes_after_its_time_once_and_the_person_stays_shut_out() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let idp = provider(&db, "corp").await;
    let mut people = Vec::new();
    for subject in ["a", "b", "c"] {
        let id = person(&db, &idp.id, subject).await;
        assert_eq!(send!(edge, DELETE & format!("{USERS}/{id}"), Some(&admin)).0, 204);
        db.clock.set(db.ambient.now() + Duration::HOUR);
        people.push(id);
    }
    let active = person(&db, &idp.id, "d").await;
    key_of!(edge, admin, "as-key", people[0]);
    let retention = |cap| Retention { window: Duration::days(30), batch_cap: cap };
    let context = RequestContext::system("it");
    let run = async |cap| {
        let mut tx = db.begin().await;
        let done = purge_due(tx.stores(), &db.ambient, &context, retention(cap)).await.expect("a run");
        tx.save_unaudited("each person's own event").await.expect("a commit");
        done
    };
    db.clock.set(START + Duration::days(30) - Duration::SECOND);
    assert_eq!(run(200).await, 0, "not before their time");
    db.clock.set(START + Duration::days(31));
    assert_eq!(run(2).await, 2, "oldest first");
    let states = async || {
        let mut unit = db.read().await;
        let mut out = Vec::new();
        for id in &people {
            out.push(unit.user(id).await.expect("read").expect("a row").state().as_str());
        }
        out
    };
    assert_eq!(states().await, ["purged", "purged", "deactivated"]);
    assert_eq!((run(0).await, run(0).await), (1, 0), "and each once");
    assert_eq!(db.read().await.user(&active).await.expect("read").expect("a row").state(), UserState::Active);

    let (_, user) = send!(edge, GET & format!("{USERS}/{}", people[0]), Some(&admin));
    assert_eq!(
        json!([user["email"], user["display_name"], user["oidc_subject"], user["idp_groups"]]),
        json!(["purged@redacted.local", "[purged]", "", []])
    );
    // Nothing that names the person is left in any table but the trail, which holds ids.
    let session = db.session().await;
    for (sql, what) in [
        (
            "SELECT count(*) FROM iam.sessions WHERE actor_id = $1 AND (ip_address <> '' OR user_agent <> '' \
            OR id_token_encrypted IS NOT NULL OR idp_sid IS NOT NULL)",
            "traces of sessions",
        ),
        ("SELECT count(*) FROM iam.grants WHERE actor_id = $1", "grants"),
        ("SELECT count(*) FROM iam.principals WHERE id = $1 AND display <> '[purged]'", "a name"),
        ("SELECT count(*) FROM audit.events WHERE resource_id = $1 AND details::text LIKE '%ada@%'", "an address"),
    ] {
        assert_eq!(session.query_one(sql, &[&people[0]]).await.expect("a count").get::<_, i64>(0), 0, "{what}");
    }
    assert!(signed_in(&db, told(&idp.id, "a")).await.is_err(), "still recognised");
    let (status, refused) = send!(edge, POST & format!("{USERS}/{}/reactivate", people[0]), Some(&admin));
    assert_eq!((status, text(&refused["code"])), (409, "purged".to_owned()));
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=user.purge_pii", Some(&admin));
    assert_eq!((&trail["total"], &trail["data"][0]["actor"]), (&json!(3), &json!("system")));
    let details = &trail["data"][2]["details"];
    assert_eq!((&details["retained_id"], &details["hashed_oidc_subject_set"]), (&json!(people[0]), &json!(true)));
}

#[tokio::test]
async fn two_replicas_purge_each_person_once() {
    let db = with_catalogue().await;
    let idp = provider(&db, "corp").await;
    for n in 0..6 {
        let id = person(&db, &idp.id, &format!("p{n}")).await;
        let mut tx = db.begin().await;
        deactivate_user(tx.stores(), &db.ambient, &Caller::system("it"), &id).await.expect("shut out");
        tx.save().await.expect("a commit");
    }
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (replica, ambient) = (db.replica(), db.ambient.clone());
            tokio::spawn(async move {
                let mut tx = replica.begin().await.expect("a transaction");
                let retention = Retention { window: Duration::ZERO, batch_cap: 0 };
                let context = RequestContext::system("it");
                let done = purge_due(tx.stores(), &ambient, &context, retention).await.expect("a run");
                tx.save_unaudited("each person's own event").await.expect("a commit");
                done
            })
        })
        .collect();
    let mut total = 0;
    for run in runs {
        total += run.await.expect("no panic");
    }
    assert_eq!(total, 6);
    let sql = "SELECT count(*), count(DISTINCT resource_id) FROM audit.events WHERE action = 'user.purge_pii'";
    let row = db.session().await.query_one(sql, &[]).await.expect("a count");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (6, 6));
}

#[tokio::test]
async fn a_purge_by_hand_needs_a_shut_door_and_is_done_once() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let idp = provider(&db, "corp").await;
    let id = person(&db, &idp.id, "s1").await;
    let purge = format!("{USERS}/{id}/purge");
    let (status, refused) = send!(edge, POST & purge, Some(&admin));
    assert_eq!((status, text(&refused["code"])), (409, "not_deactivated".to_owned()));
    assert_eq!(send!(edge, DELETE & format!("{USERS}/{id}"), Some(&admin)).0, 204);
    // A transaction that is lost leaves data and trail as they were.
    let mut tx = db.begin().await;
    purge_user(tx.stores(), &db.ambient, &Caller::system("it"), &id).await.expect("purged");
    drop(tx);
    let user = db.read().await.user(&id).await.expect("read").expect("a row");
    assert_eq!((user.state(), user.email.as_str()), (UserState::Deactivated, "ada@corp.example"));
    for _ in 0..2 {
        assert_eq!(send!(edge, POST & purge, Some(&admin)).0, 204);
    }
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=user.purge_pii", Some(&admin));
    assert_eq!((&trail["total"], &trail["data"][0]["details"]["already_purged"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn an_export_holds_what_is_kept_about_a_person_and_nothing_of_others() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let idp = provider(&db, "corp").await;
    let (id, other) = (person(&db, &idp.id, "s1").await, person(&db, &idp.id, "s2").await);
    key_of!(edge, admin, "adas-key", id);
    key_of!(edge, admin, "others-key", other);
    for user in [&id, &other] {
        let path = format!("/api/v1/auth/actors/User/{user}/roles");
        assert_eq!(send!(edge, POST & path, Some(&admin), Some(json!({"role_id": "viewer"}))).0, 201);
    }
    let path = format!("{USERS}/{id}/export");
    let (status, out) = send!(edge, GET & path, Some(&admin));
    assert_eq!(status, 200, "{out}");
    assert_eq!((&out["user"]["id"], &out["user"]["oidc_subject"]), (&json!(id), &json!("s1")));
    let of = |list: &str, member: &str| -> Vec<String> {
        out[list].as_array().expect("a list").iter().map(|one| text(&one[member])).collect()
    };
    assert_eq!(of("grants", "role_id"), ["r-viewer"]);
    assert_eq!(of("api_keys", "name"), ["adas-key"]);
    assert_eq!(of("sessions", "ip_address"), ["192.0.2.9", "192.0.2.9"]);
    assert_eq!(of("audit_events", "action"), ["actor_role.grant"]);
    assert_eq!(out["audit_events_truncated"], json!(false));
    assert!(!out.to_string().contains(&other), "{out}");
    // The person may have it, and others not without the permissions.
    let mut tx = db.begin().await;
    let own = Caller { permissions: std::sync::Arc::default(), roles: Vec::new(), ..oneself(&id) };
    let found = export_user(tx.stores(), &own, &id).await.expect("their own");
    assert_eq!((found.user.id.as_str(), found.sessions.len()), (id.as_str(), 2));
    export_user(tx.stores(), &own, &other).await.expect_err("another's");
    tx.discard().await.expect("a rollback");
    let body = json!({"name": "ops", "roles": ["operator"]});
    let (_, made) = send!(edge, POST "/api/v1/auth/api-keys", Some(&admin), Some(body));
    let operator = text(&made["key_value"]);
    assert_eq!(send!(edge, GET & path, Some(&operator)).0, 403);
    assert_eq!(send!(edge, GET & format!("{USERS}/{id}"), Some(&operator)).0, 200, "who reads people reads one");
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=user.export_pii", Some(&admin));
    assert_eq!((&trail["total"], &trail["data"][0]["details"]["own"]), (&json!(1), &json!(false)));
    assert_eq!(send!(edge, GET & format!("{USERS}/u-none/export"), Some(&admin)).0, 404);
}
