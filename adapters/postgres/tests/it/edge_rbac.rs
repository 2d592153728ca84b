//! Roles and grants as clients see them.

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

/// Key of the first administrator.
macro_rules! admin {
    ($edge:expr) => {{
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (status, made) = send!($edge, POST "/api/v1/auth/bootstrap", None, Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

/// Key of another caller.
macro_rules! key {
    ($edge:expr, $admin:expr, $name:expr, $roles:expr) => {{
        let body = json!({"name": $name, "roles": $roles});
        let (status, made) = send!($edge, POST "/api/v1/auth/api-keys", Some(&$admin), Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

/// A request that is made only if the object is still the one with this validator.
macro_rules! send_if {
    ($edge:expr, $method:ident $path:expr, $key:expr, $etag:expr, $body:expr) => {{
        let request = crate::edge::request(actix_web::http::Method::$method, $path, $key, $body)
            .insert_header(("If-Match", $etag));
        let response = actix_web::test::call_service(&$edge, request.to_request()).await;
        let etag = response.headers().get("etag").map(|etag| etag.to_str().expect("text").to_owned());
        (response.status().as_u16(), etag)
    }};
}

#[tokio::test]
async fn a_role_is_made_changed_granted_and_removed() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let (status, roles) = send!(edge, GET "/api/v1/auth/roles", Some(&admin));
    let names: Vec<_> = roles["roles"].as_array().expect("a list").iter().map(|role| text(&role["name"])).collect();
    assert_eq!(
        (status, names),
        (
            200,
            ["admin", "agent", "approver", "auditor", "cli", "mcp", "operator", "viewer"].map(str::to_owned).to_vec()
        )
    );
    let input = json!({"name": "Revokers", "description": "on call"});
    let (status, made) = send!(edge, POST "/api/v1/auth/roles", Some(&admin), Some(input));
    assert_eq!((status, &made["system"], &made["tenant_id"]), (201, &json!(false), &json!("t-default")), "{made}");
    let id = text(&made["id"]);
    assert!(id.starts_with("r-"));
    let again = json!({"name": "revokers"});
    let (status, clash) = send!(edge, POST "/api/v1/auth/roles", Some(&admin), Some(again));
    assert_eq!((status, &clash["existing_id"]), (409, &json!(id)), "{clash}");

    let role = format!("/api/v1/auth/roles/{id}");
    let permissions = format!("{role}/permissions");
    let add = json!({"permission": "cert.revoke"});
    assert_eq!(send!(edge, POST & permissions, Some(&admin), Some(add.clone())).0, 204);
    assert_eq!(send!(edge, POST & permissions, Some(&admin), Some(add)).0, 204, "twice is once");
    let (status, found) = send!(edge, GET & role, Some(&admin));
    assert_eq!(status, 200);
    assert_eq!(
        found["permissions"],
        json!([{"role_id": id, "permission_id": "p-cert-revoke", "permission": "cert.revoke", "scope_type": "global"}])
    );

    let (status, etag) =
        send_if!(edge, PUT & role, Some(&admin), "*", Some(json!({"name": "revokers", "description": null})));
    assert_eq!(status, 200);
    let etag = etag.expect("a validator");
    let (status, _) = send_if!(edge, PUT & role, Some(&admin), "\"0-1\"", Some(json!({"name": "late"})));
    assert_eq!(status, 412, "it changed since it was read");
    let (status, newer) =
        send_if!(edge, POST & permissions, Some(&admin), etag.clone(), Some(json!({"permission": "cert.read"})));
    assert_eq!(status, 204);
    let (status, _) = send_if!(edge, DELETE & role, Some(&admin), etag, None::<Value>);
    assert_eq!(status, 412, "its permissions are part of it");
    assert!(newer.is_some());

    key!(edge, admin, "ci-deploy", ["viewer"]);
    let grants = "/api/v1/auth/keys/ci-deploy/roles";
    assert_eq!(send!(edge, POST grants, Some(&admin), Some(json!({"role_id": id}))).0, 204);
    let (status, blocked) = send!(edge, DELETE & role, Some(&admin));
    assert_eq!((status, text(&blocked["code"])), (409, "dependency_blocked".to_owned()));
    assert_eq!(send!(edge, DELETE & format!("{grants}/{id}"), Some(&admin)).0, 204);
    assert_eq!(send!(edge, DELETE & format!("{permissions}/cert.read"), Some(&admin)).0, 204);
    assert_eq!(send!(edge, DELETE & role, Some(&admin)).0, 204);
    assert_eq!(send!(edge, DELETE & role, Some(&admin)).0, 404);
    assert_eq!(send!(edge, GET & role, Some(&admin)).0, 404);

    let (_, trail) = send!(edge, GET "/api/v1/audit?resource_type=role", Some(&admin));
    let told: Vec<_> = trail["data"].as_array().expect("events").iter().rev().map(|e| text(&e["action"])).collect();
    assert_eq!(
        told,
        [
            "role.create",
            "role.permission.add",
            "role.permission.add",
            "role.update",
            "role.permission.add",
            "role.permission.remove",
            "role.delete"
        ]
    );
    let update = trail["data"].as_array().expect("events").iter().find(|e| e["action"] == "role.update");
    assert_eq!(
        update.expect("told")["details"]["changes"],
        json!({"name": ["Revokers", "revokers"], "description": ["on call", ""]})
    );
}

#[tokio::test]
async fn roles_of_the_product_stay_as_they_are_and_can_be_cloned() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    for (method, path, body) in [
        ("PUT", "/api/v1/auth/roles/r-viewer", Some(json!({"name": "mine"}))),
        ("DELETE", "/api/v1/auth/roles/r-viewer", None),
        ("POST", "/api/v1/auth/roles/r-viewer/permissions", Some(json!({"permission": "cert.revoke"}))),
        ("DELETE", "/api/v1/auth/roles/r-admin/permissions/cert.read", None),
    ] {
        let method = actix_web::http::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = crate::edge::request(method, path, Some(&admin), body);
        let response = actix_web::test::call_service(&edge, request.to_request()).await;
        assert_eq!(response.status(), 409, "{path}");
        let body: Value = actix_web::test::read_body_json(response).await;
        assert_eq!(body["code"], "system_role");
    }
    let clone = json!({"name": "readers", "clone_of": "viewer"});
    let (status, made) = send!(edge, POST "/api/v1/auth/roles", Some(&admin), Some(clone));
    assert_eq!(status, 201, "{made}");
    let path = format!("/api/v1/auth/roles/{}", text(&made["id"]));
    let (_, found) = send!(edge, GET & path, Some(&admin));
    assert_eq!(found["permissions"].as_array().map(Vec::len), Some(19));
    let nothing = json!({"name": "nobody", "clone_of": "r-none"});
    assert_eq!(send!(edge, POST "/api/v1/auth/roles", Some(&admin), Some(nothing)).0, 404);
}

#[tokio::test]
async fn broken_wishes_name_the_member_and_change_nothing() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    key!(edge, admin, "ci-deploy", ["viewer"]);
    let (_, made) = send!(edge, POST "/api/v1/auth/roles", Some(&admin), Some(json!({"name": "own"})));
    let permissions = format!("/api/v1/auth/roles/{}/permissions", text(&made["id"]));
    let grants = "/api/v1/auth/keys/ci-deploy/roles";
    for (path, body, field) in [
        ("/api/v1/auth/roles", json!({"name": " "}), "name"),
        ("/api/v1/auth/roles", json!({"description": "x"}), "name"),
        (permissions.as_str(), json!({"permission": "cert.fly"}), "permission"),
        (permissions.as_str(), json!({"permission": "cert.read", "scope_type": "team", "scope_id": "t"}), "scope_type"),
        (permissions.as_str(), json!({"permission": "cert.read", "scope_type": "profile"}), "scope_id"),
        (permissions.as_str(), json!({"permission": "cert.read", "scope_id": "p"}), "scope_type"),
        (grants, json!({"role_id": ""}), "role_id"),
        (grants, json!({"role_id": "viewer", "scope_type": "global", "scope_id": "p"}), "scope_id"),
        (grants, json!({"role_id": "viewer", "scope_type": "galaxy", "scope_id": "p"}), "scope_type"),
        (grants, json!({"role_id": "viewer", "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        ("/api/v1/auth/actors/Robot/r2/roles", json!({"role_id": "viewer"}), "type"),
    ] {
        let (status, refused) = send!(edge, POST path, Some(&admin), Some(body.clone()));
        assert_eq!((status, text(&refused["errors"][0]["field"]).as_str()), (400, field), "{path} {body} {refused}");
    }
    for (path, body) in [
        (permissions.as_str(), json!({"permission": "cert.read", "scope_type": "profile", "scope_id": "none"})),
        ("/api/v1/auth/roles/r-none/permissions", json!({"permission": "cert.read"})),
        (grants, json!({"role_id": "r-none"})),
        (grants, json!({"role_id": "viewer", "scope_type": "issuer", "scope_id": "none"})),
        ("/api/v1/auth/keys/nobody/roles", json!({"role_id": "viewer"})),
        ("/api/v1/auth/actors/User/u-1/roles", json!({"role_id": "viewer"})),
    ] {
        let (status, refused) = send!(edge, POST path, Some(&admin), Some(body.clone()));
        assert_eq!(status, 404, "{path} {body} {refused}");
    }
    for (path, status) in [
        ("/api/v1/auth/keys/ci-deploy/roles/r-none", 404),
        ("/api/v1/auth/keys/ci-deploy/roles/operator", 204),
        ("/api/v1/auth/keys/ci-deploy/roles/operator?scope_type=global", 404),
        ("/api/v1/auth/keys/ci-deploy/roles/viewer?scope_id=x", 400),
        ("/api/v1/auth/keys/ci-deploy/roles/viewer?scope_type=profile", 400),
        ("/api/v1/auth/keys/actor-demo-anon/roles/viewer", 409),
    ] {
        assert_eq!(send!(edge, DELETE path, Some(&admin)).0, status, "{path}");
    }
    let (status, refused) =
        send!(edge, POST "/api/v1/auth/keys/actor-demo-anon/roles", Some(&admin), Some(json!({"role_id": "viewer"})));
    assert_eq!((status, text(&refused["code"])), (409, "reserved_actor".to_owned()));
    let (_, me) = send!(edge, GET "/api/v1/auth/actors/APIKey/ci-deploy/roles", Some(&admin));
    assert_eq!(me["grants"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn people_and_agents_hold_roles_as_keys_do() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    db.session()
        .await
        .execute("INSERT INTO iam.principals (kind, id) VALUES ('User', 'u-1')", &[])
        .await
        .expect("a person");
    let path = "/api/v1/auth/actors/User/u-1/roles";
    let (status, granted) = send!(edge, POST path, Some(&admin), Some(json!({"role_id": "viewer"})));
    assert_eq!((status, &granted["source"], &granted["granted_by"]), (201, &json!("manual"), &json!("admin")));
    let body =
        json!({"roles": [{"role_id": "auditor"}, {"role_id": "approver", "expires_at": "2027-01-01T00:00:00Z"}]});
    let (status, held) = send!(edge, PUT path, Some(&admin), Some(body));
    let roles: Vec<_> = held["grants"].as_array().expect("a list").iter().map(|g| text(&g["role_id"])).collect();
    assert_eq!((status, roles), (200, vec!["r-approver".to_owned(), "r-auditor".to_owned()]));
    assert_eq!(held["grants"][0]["expires_at"], "2027-01-01T00:00:00Z");
    assert_eq!(send!(edge, DELETE & format!("{path}/auditor"), Some(&admin)).0, 204);
    let (_, listed) = send!(edge, GET "/api/v1/auth/keys", Some(&admin));
    let user = json!({"actor_id": "u-1", "actor_type": "User", "tenant_id": "t-default", "role_ids": ["r-approver"]});
    assert!(listed["keys"].as_array().expect("a list").contains(&user), "{listed}");
}

#[tokio::test]
async fn callers_see_their_own_grants_and_why_and_no_others() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let reader = key!(edge, admin, "reader", ["viewer"]);
    assert_eq!(send!(edge, GET "/api/v1/auth/actors/APIKey/reader/roles", Some(&reader)).0, 200);
    assert_eq!(send!(edge, GET "/api/v1/auth/actors/APIKey/admin/roles", Some(&reader)).0, 403);
    let (status, why) = send!(edge, GET "/api/v1/auth/explain?permission=cert.read", Some(&reader));
    assert_eq!((status, &why["allowed"]), (200, &json!(true)), "{why}");
    assert_eq!(why["decided_by"]["grant"]["role_id"], "r-viewer");
    let (status, why) = send!(edge, GET "/api/v1/auth/explain?permission=cert.revoke", Some(&reader));
    assert_eq!((status, &why["allowed"], why.get("decided_by")), (200, &json!(false), None), "{why}");
    let other = "/api/v1/auth/explain?permission=cert.read&actor_type=APIKey&actor_id=admin";
    assert_eq!(send!(edge, GET other, Some(&reader)).0, 403);
    assert_eq!(send!(edge, GET other, Some(&admin)).0, 200);
    for (query, field) in [
        ("", "permission"),
        ("permission=cert.fly", "permission"),
        ("permission=cert.read&scope_type=team", "scope_type"),
        ("permission=cert.read&actor_id=x", "actor_type"),
        ("permission=cert.read&actor_type=Robot&actor_id=x", "actor_type"),
        ("permission=cert.read&colour=red", "colour"),
    ] {
        let (status, refused) = send!(edge, GET & format!("/api/v1/auth/explain?{query}"), Some(&admin));
        assert_eq!((status, text(&refused["errors"][0]["field"]).as_str()), (400, field), "{refused}");
    }
}

#[tokio::test]
async fn what_the_demo_left_behind_is_cleared_and_told() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    db.session()
        .await
        .batch_execute(
            "INSERT INTO iam.principals (kind, id) VALUES ('Anonymous', 'actor-demo-anon'); \
             INSERT INTO iam.grants (id, actor_type, actor_id, role_id, source, granted_by) \
             VALUES ('ar-demo-anon-admin', 'Anonymous', 'actor-demo-anon', 'r-admin', 'manual', 'system')",
        )
        .await
        .expect("a residue");
    let path = "/api/v1/auth/demo-residual/cleanup";
    assert_eq!(send!(edge, POST path, Some(&admin)), (200, json!({"removed": 1})));
    assert_eq!(send!(edge, POST path, Some(&admin)), (200, json!({"removed": 0})));
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.demo_residual_grants_cleaned", Some(&admin));
    assert_eq!(trail["total"], 2);
    assert_eq!(send!(edge, GET "/api/v1/auth/runtime-config", Some(&admin)).0, 200);
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=auth.runtime_config_read", Some(&admin));
    assert_eq!(trail["total"], 1);
}
