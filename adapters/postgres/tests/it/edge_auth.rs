//! Signing in, keys and the audit trail as clients see them.

use crate::edge::{TOKEN, edge, send};
use crate::support::{START, TestDatabase};
use certctl_apikey::tell_of_ended_keys;
use certctl_kernel::RequestContext;
use serde_json::{Value, json};

async fn with_catalogue() -> TestDatabase {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    db
}

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

#[tokio::test]
async fn the_first_administrator_signs_in_and_closes_the_door() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    assert_eq!(send!(edge, GET "/api/v1/auth/bootstrap", None), (200, json!({"available": true})));
    let (status, refused) =
        send!(edge, POST "/api/v1/auth/bootstrap", None, Some(json!({"token": "wrong", "key_name": "admin"})));
    assert_eq!((status, text(&refused["message"])), (401, "invalid bootstrap token".to_owned()));
    let (status, refused) =
        send!(edge, POST "/api/v1/auth/bootstrap", None, Some(json!({"token": TOKEN, "actor_name": "A"})));
    assert_eq!((status, text(&refused["errors"][0]["field"])), (400, "actor_name".to_owned()));

    let admin = admin!(edge);
    assert_eq!(send!(edge, GET "/api/v1/auth/bootstrap", None), (200, json!({"available": false})));
    let (status, closed) =
        send!(edge, POST "/api/v1/auth/bootstrap", None, Some(json!({"token": "wrong", "actor_name": "second"})));
    assert_eq!((status, text(&closed["code"])), (410, "bootstrap_closed".to_owned()));

    let (status, me) = send!(edge, GET "/api/v1/auth/me", Some(&admin));
    assert_eq!(status, 200);
    assert_eq!(
        json!([me["actor_id"], me["actor_type"], me["tenant_id"], me["admin"], me["roles"]]),
        json!(["admin", "APIKey", "t-default", true, ["r-admin"]])
    );
    assert!(me["effective_permissions"].as_array().expect("a list").len() > 80);
    assert_eq!(me["effective_permissions"][0]["scope_type"], "global");
    let (status, check) = send!(edge, GET "/api/v1/auth/check", Some(&admin));
    assert_eq!((status, &check["status"], &check["user"]), (200, &json!("authenticated"), &json!("admin")));
    let (_, keys) = send!(edge, GET "/api/v1/auth/keys", Some(&admin));
    assert_eq!(
        keys,
        json!({"keys": [{"actor_id": "admin", "actor_type": "APIKey", "tenant_id": "t-default",
                         "role_ids": ["r-admin"]}]})
    );

    let (_, trail) = send!(edge, GET "/api/v1/audit?category=auth&actor=bootstrap-token", Some(&admin));
    let events: Vec<_> = trail["data"].as_array().expect("events").iter().map(|e| text(&e["action"])).collect();
    assert_eq!(events, ["bootstrap.consume_failed", "bootstrap.consume", "bootstrap.consume_failed"]);
    assert_eq!(trail["data"][2]["details"], json!({"reason": "wrong_token"}));
}

#[tokio::test]
async fn guessing_the_bootstrap_token_is_slowed_down() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    for _ in 0..5 {
        let (status, _) =
            send!(edge, POST "/api/v1/auth/bootstrap", None, Some(json!({"token": "x", "actor_name": "admin"})));
        assert_eq!(status, 401);
    }
    let (status, body) =
        send!(edge, POST "/api/v1/auth/bootstrap", None, Some(json!({"token": TOKEN, "actor_name": "admin"})));
    assert_eq!((status, text(&body["code"])), (429, "rate_limited".to_owned()));
}

#[tokio::test]
async fn a_key_is_made_used_rotated_and_deleted() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let input = json!({"name": "ci-deploy", "roles": ["viewer"], "expires_at": "2027-01-01T00:00:00Z"});
    let (status, made) = send!(edge, POST "/api/v1/auth/api-keys", Some(&admin), Some(input.clone()));
    assert_eq!(status, 201, "{made}");
    let (id, key) = (text(&made["id"]), text(&made["key_value"]));
    assert!(key.starts_with(&text(&made["prefix"])));
    assert_eq!(
        json!([made["name"], made["roles"], made["created_by"], made["expires_at"], made["disabled"]]),
        json!(["ci-deploy", ["r-viewer"], "admin", "2027-01-01T00:00:00Z", false])
    );
    let (status, clash) = send!(edge, POST "/api/v1/auth/api-keys", Some(&admin), Some(input));
    assert_eq!((status, text(&clash["code"])), (409, "conflict".to_owned()));

    assert_eq!(send!(edge, GET "/api/v1/auth/me", Some(&key)).0, 200);
    let (status, denied) = send!(edge, GET "/api/v1/auth/api-keys", Some(&key));
    assert_eq!((status, text(&denied["permission"])), (403, "auth.key.list".to_owned()));

    let (status, listed) = send!(edge, GET "/api/v1/auth/api-keys?per_page=1", Some(&admin));
    assert_eq!((status, &listed["total"]), (200, &json!(2)));
    assert!(!listed.to_string().contains("key_value"));

    let path = format!("/api/v1/auth/api-keys/{id}/rotate");
    let (status, new) = send!(edge, POST & path, Some(&admin), Some(json!({"overlap_seconds": 0})));
    assert_eq!((status, &new["rotated_from"]), (201, &json!(id)));
    assert_eq!(send!(edge, GET "/api/v1/auth/me", Some(&key)).0, 401);
    let new_key = text(&new["key_value"]);
    assert_eq!(send!(edge, GET "/api/v1/auth/me", Some(&new_key)).0, 200);

    let path = format!("/api/v1/auth/api-keys/{}", text(&new["id"]));
    assert_eq!(send!(edge, DELETE & path, Some(&admin)), (204, Value::Null));
    assert_eq!(send!(edge, GET "/api/v1/auth/me", Some(&new_key)).0, 401);
    assert_eq!(send!(edge, DELETE & path, Some(&admin)).0, 404);
}

#[tokio::test]
async fn broken_wishes_name_the_member_and_make_no_key() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    for (input, field) in [
        (json!({"roles": ["viewer"]}), "name"),
        (json!({"name": "../etc", "roles": ["viewer"]}), "name"),
        (json!({"name": "fine", "roles": []}), "roles"),
        (json!({"name": "fine", "roles": ["nobody"]}), "roles"),
        (json!({"name": "fine", "roles": ["viewer"], "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"name": "fine", "roles": ["viewer"], "expires_at": "soon"}), "expires_at"),
        (json!({"name": "fine", "roles": ["viewer"], "admin": true}), "admin"),
    ] {
        let (status, refused) = send!(edge, POST "/api/v1/auth/api-keys", Some(&admin), Some(input.clone()));
        assert_eq!((status, text(&refused["errors"][0]["field"]).as_str()), (400, field), "{input} {refused}");
    }
    let (_, listed) = send!(edge, GET "/api/v1/auth/api-keys", Some(&admin));
    assert_eq!(listed["total"], 1);
}

#[tokio::test]
async fn the_trail_is_read_with_checked_filters() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    for (query, field) in [
        ("category=nonsense", "category"),
        ("since=yesterday", "since"),
        ("since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "until"),
        ("actor_type=Robot", "actor_type"),
        ("colour=red", "colour"),
    ] {
        let (status, refused) = send!(edge, GET & format!("/api/v1/audit?{query}"), Some(&admin));
        assert_eq!((status, text(&refused["errors"][0]["field"]).as_str()), (400, field), "{refused}");
    }
    let (status, empty) = send!(edge, GET "/api/v1/audit?category=security", Some(&admin));
    assert_eq!((status, empty), (200, json!({"data": [], "total": 0, "page": 1, "per_page": 50})));
    let (_, pki) = send!(edge, GET "/api/v1/audit?category=pki", Some(&admin));
    assert_eq!(pki["total"], 0);
    let (_, all) = send!(edge, GET "/api/v1/audit?limit=1&since=2026-01-01", Some(&admin));
    assert_eq!((&all["total"], &all["per_page"]), (&json!(1), &json!(1)));
    let event = &all["data"][0];
    assert_eq!(
        json!([
            event["actor"],
            event["actor_type"],
            event["action"],
            event["resource_type"],
            event["event_category"],
            event["timestamp"]
        ]),
        json!(["bootstrap-token", "System", "bootstrap.consume", "api_key", "auth", "2026-03-01T12:00:00Z"])
    );
    let (status, one) = send!(edge, GET & format!("/api/v1/audit/{}", text(&event["id"])), Some(&admin));
    assert_eq!((status, &one), (200, event));
    let by_resource = format!("/api/v1/audit/{}", text(&event["resource_id"]));
    assert_eq!(send!(edge, GET & by_resource, Some(&admin)).0, 404);
}

#[tokio::test]
async fn without_a_credential_only_the_public_routes_answer() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    for path in ["auth/check", "auth/me", "auth/permissions", "auth/keys", "auth/api-keys", "audit", "audit/audit-1"] {
        assert_eq!(send!(edge, GET & format!("/api/v1/{path}"), None).0, 401, "{path}");
    }
    let info = json!({"auth_type": "api-key", "required": true, "oidc_providers": []});
    assert_eq!(send!(edge, GET "/api/v1/auth/info", None), (200, info));
    let (status, refused) = send!(edge, GET "/api/v1/auth/me", Some("cctl_000000000000_guess"));
    assert_eq!((status, text(&refused["message"])), (401, "Invalid API key".to_owned()));
}

#[tokio::test]
async fn a_key_is_switched_off_and_on_and_given_another_end_until_it_ended() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let input = json!({"name": "deploy", "roles": ["viewer"]});
    let (_, made) = send!(edge, POST "/api/v1/auth/api-keys", Some(&admin), Some(input));
    let (path, key) = (format!("/api/v1/auth/api-keys/{}", text(&made["id"])), text(&made["key_value"]));
    let works = async |key: &str| send!(edge, GET "/api/v1/auth/me", Some(key)).0 == 200;
    assert!(works(&key).await);

    for (input, field) in [
        (json!({}), "expires_at"),
        (json!({"expires_at": "2026-03-01T12:00:00Z"}), "expires_at"),
        (json!({"expires_at": "soon"}), "expires_at"),
        (json!({"disabled": "yes"}), "disabled"),
        (json!({"disabled": true, "name": "other"}), "name"),
    ] {
        let (status, refused) = send!(edge, PATCH & path, Some(&admin), Some(input.clone()));
        assert_eq!((status, text(&refused["errors"][0]["field"]).as_str()), (400, field), "{input} {refused}");
    }
    let (status, off) = send!(edge, PATCH & path, Some(&admin), Some(json!({"disabled": true})));
    assert_eq!((status, &off["disabled"]), (200, &json!(true)), "{off}");
    assert!(!works(&key).await, "a key that is off is not accepted");
    let change = json!({"disabled": false, "expires_at": "2026-03-01T13:00:00Z"});
    let (status, on) = send!(edge, PATCH & path, Some(&admin), Some(change));
    assert_eq!((status, &on["disabled"], &on["expires_at"]), (200, &json!(false), &json!("2026-03-01T13:00:00Z")));
    assert!(works(&key).await);
    let (status, _) = send!(edge, PATCH & path, Some(&key), Some(json!({"expires_at": null})));
    assert_eq!(status, 403, "a viewer does not lengthen its own life");
    let (status, endless) = send!(edge, PATCH & path, Some(&admin), Some(json!({"expires_at": null})));
    assert_eq!((status, &endless["expires_at"]), (200, &json!(null)));
    send!(edge, PATCH & path, Some(&admin), Some(json!({"expires_at": "2026-03-01T13:00:00Z"})));

    // By its date: refused from then on, told of once, and not brought back.
    db.clock.set(START + time::Duration::hours(1));
    assert!(!works(&key).await);
    let context = RequestContext::system("it");
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut unit = db.begin().await;
        told.push(tell_of_ended_keys(unit.stores(), &db.ambient, &context).await.expect("swept"));
        unit.save_unaudited("the second run finds nothing").await.expect("saved");
    }
    assert_eq!(told, [1, 0]);
    let (status, refused) = send!(edge, PATCH & path, Some(&admin), Some(json!({"expires_at": null})));
    assert_eq!((status, text(&refused["code"])), (409, "key_ended".to_owned()));
    let (_, trail) = send!(edge, GET & format!("/api/v1/audit?resource_id={}", text(&made["id"])), Some(&admin));
    let actions: Vec<_> =
        trail["data"].as_array().expect("events").iter().map(|event| text(&event["action"])).collect();
    assert_eq!(
        actions,
        [
            "api_key.expired",
            "api_key.updated",
            "api_key.updated",
            "api_key.updated",
            "api_key.updated",
            "api_key.created"
        ]
    );
    assert_eq!(trail["data"][3]["details"]["changes"]["disabled"], json!([true, false]));
}

#[tokio::test]
async fn a_deleted_key_never_comes_back_and_the_last_administrator_is_not_switched_off() {
    let db = with_catalogue().await;
    let edge = edge!(&db);
    let admin = admin!(edge);
    let (_, keys) = send!(edge, GET "/api/v1/auth/api-keys", Some(&admin));
    let own = format!("/api/v1/auth/api-keys/{}", text(&keys["data"][0]["id"]));
    for change in [json!({"disabled": true}), json!({"expires_at": "2026-04-01T00:00:00Z"})] {
        let (status, refused) = send!(edge, PATCH & own, Some(&admin), Some(change));
        assert_eq!((status, text(&refused["code"])), (409, "last_admin".to_owned()), "{refused}");
    }
    let input = json!({"name": "deploy", "roles": ["viewer"]});
    let (_, made) = send!(edge, POST "/api/v1/auth/api-keys", Some(&admin), Some(input));
    let path = format!("/api/v1/auth/api-keys/{}", text(&made["id"]));
    send!(edge, PATCH & path, Some(&admin), Some(json!({"disabled": true})));
    assert_eq!(send!(edge, DELETE & path, Some(&admin)).0, 204, "one that is off can be deleted");
    let (status, refused) = send!(edge, PATCH & path, Some(&admin), Some(json!({"disabled": false})));
    assert_eq!((status, text(&refused["code"])), (409, "key_ended".to_owned()));
    assert_eq!(
        send!(edge, PATCH "/api/v1/auth/api-keys/ak-none", Some(&admin), Some(json!({"disabled": true}))).0,
        404
    );
}
