//! Every update tells what each changed field was before and after.

use crate::edge::{TOKEN, edge, request, send};
use crate::support::TestDatabase;
use actix_web::http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn updates_carry_each_changed_field_before_and_after_and_nothing_else() {
    let db = TestDatabase::new().await;
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
    let edge = edge!(&db);
    let body = json!({"token": TOKEN, "actor_name": "admin"});
    let (_, made) = send!(edge, POST "/api/v1/auth/bootstrap", None, Some(body));
    let key = made["key_value"].as_str();
    let create = async |path: &str, body: Value| {
        let request = request(Method::POST, path, key, Some(body));
        let response = actix_web::test::call_service(&edge, request.to_request()).await;
        let status = response.status().as_u16();
        let text = actix_web::test::read_body(response).await;
        assert_eq!(status, 201, "{path}: {}", String::from_utf8_lossy(&text));
    };
    create("/api/v1/teams", json!({"id": "t1", "name": "one", "description": "same"})).await;
    create("/api/v1/owners", json!({"id": "o1", "name": "one", "email": "one@example.com", "team_id": "t1"})).await;
    create("/api/v1/profiles", json!({"id": "p1", "name": "one", "max_ttl_seconds": 86400})).await;
    create("/api/v1/renewal-policies", json!({"id": "r1", "name": "one"})).await;
    for (path, id, action) in [
        ("teams", "t1", "update_team"),
        ("owners", "o1", "update_owner"),
        ("profiles", "p1", "update_profile"),
        ("renewal-policies", "r1", "update_renewal_policy"),
    ] {
        let (status, answer) = send!(edge, PUT & format!("/api/v1/{path}/{id}"), key, Some(json!({"name": "two"})));
        assert_eq!(status, 200, "{path}: {answer}");
        let (_, trail) = send!(edge, GET & format!("/api/v1/audit?action={action}&resource_id={id}"), key);
        let event = &trail["data"][0];
        assert_eq!(event["details"]["changes"], json!({"name": ["one", "two"]}), "{path}: {trail}");
        assert_eq!((&event["actor"], &event["actor_type"]), (&json!("admin"), &json!("APIKey")));
        assert_eq!(event["event_category"], "config", "{path}");
    }
    // What tells of a person is known to have changed, and to nobody what it was.
    let (status, _) = send!(edge, PUT "/api/v1/owners/o1", key, Some(json!({"email": "two@example.com"})));
    assert_eq!(status, 200);
    let (_, trail) = send!(edge, GET "/api/v1/audit?action=update_owner&resource_id=o1", key);
    assert_eq!(trail["data"][0]["details"]["redacted_keys"], json!(["changes.email"]), "{trail}");
    assert!(!trail.to_string().contains("two@example.com"));
}
