//! An agent's life over HTTP: enrolment, target, request, leaf, deployment, verification, retirement.

use crate::edge::{TOKEN, send};
use crate::support::TestDatabase;
use actix_web::test::TestRequest;
use certctl_http::{AppConfig, AppState, Backends, Bootstrap};
use certctl_kernel::Secret;
use certctl_port_issuer::IssuerRegistry;
use certctl_revocation::StatusSettings;
use certctl_signers::RingKeys;
use serde_json::{Value, json};
use std::sync::Arc;

const ENROLMENT: &str = "an-enrolment-token-of-at-least-32-bytes";

async fn prepared() -> TestDatabase {
    let db = TestDatabase::new().await;
    let mut unit = db.begin().await;
    unit.sync_catalogue().await.expect("a catalogue");
    unit.save_unaudited("the catalogue is the code's").await.expect("saved");
    db
}

fn config(db: &TestDatabase) -> AppConfig {
    let state: Arc<AppState> = crate::edge::config(db).state.into_inner();
    let state = Arc::try_unwrap(state).unwrap_or_else(|_| panic!("nobody else has the state yet"));
    let sealer = crate::ca::sealer();
    let issuers: Arc<dyn IssuerRegistry> = Arc::new(crate::ca::registry(&db.ambient, &sealer));
    let state = state.with(Backends {
        sealer,
        keys: Arc::new(RingKeys::new()),
        issuers,
        targets: Arc::new(certctl_targets::Catalogue),
        status: StatusSettings::default(),
        enrolment: certctl_agents::EnrolmentToken::new(Some(Secret::new(ENROLMENT.to_owned()))),
    });
    AppConfig::new(state, Bootstrap::new(Some(Secret::new(TOKEN.to_owned()))))
}

macro_rules! service {
    ($config:expr) => {
        actix_web::test::init_service(certctl_http::application!($config)).await
    };
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}

macro_rules! admin {
    ($edge:expr) => {{
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (status, made) = send!($edge, POST "/api/v1/auth/bootstrap", None, Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["key_value"])
    }};
}

/// An enrolled agent: its id and key.
macro_rules! enrolled {
    ($edge:expr, $key:expr, $name:expr) => {{
        let body = json!({"name": $name, "hostname": format!("{}.test", $name)});
        let (status, made) = send!($edge, POST "/api/v1/agents", Some($key), Some(body));
        assert_eq!(status, 201, "{made}");
        (text(&made["id"]), text(&made["api_key"]))
    }};
}

macro_rules! nginx {
    ($edge:expr, $admin:expr, $agent:expr) => {{
        let config = json!({
            "cert_path": "/etc/nginx/tls/web.pem", "key_path": "/etc/nginx/tls/web.key",
            "reload_command": "nginx -s reload", "validate_command": "nginx -t",
        });
        let body = json!({"name": "nginx", "type": "NGINX", "agent_id": $agent, "config": config});
        let (status, made) = send!($edge, POST "/api/v1/targets", Some($admin), Some(body));
        assert_eq!(status, 201, "{made}");
        text(&made["id"])
    }};
}

#[actix_web::test]
async fn a_host_enrols_with_the_token_alone_and_a_wrong_one_is_told_and_recorded() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = admin!(edge);
    let (by_token, key) = enrolled!(edge, ENROLMENT, "web");
    let (status, me) = send!(edge, GET "/api/v1/auth/me", Some(&key));
    assert_eq!((status, &me["actor_id"], &me["actor_type"]), (200, &json!(by_token), &json!("Agent")), "{me}");

    let body = json!({"name": "mallory", "hostname": "h"});
    for header in ["Bearer wrong", ""] {
        let mut attempt = TestRequest::post().uri("/api/v1/agents").set_json(&body);
        if !header.is_empty() {
            attempt = attempt.insert_header(("Authorization", header));
        }
        let response = actix_web::test::call_service(&edge, attempt.to_request()).await;
        assert_eq!(response.status(), 401);
        let answer: Value = actix_web::test::read_body_json(response).await;
        assert_eq!(answer["message"], "invalid_or_missing_bootstrap_token");
    }
    let by_header = TestRequest::post()
        .uri("/api/v1/agents")
        .insert_header(("X-Agent-Bootstrap-Token", ENROLMENT))
        .set_json(json!({"name": "db", "hostname": "h"}));
    assert_eq!(actix_web::test::call_service(&edge, by_header.to_request()).await.status(), 201);
    let path = "/api/v1/audit?action=agent_registration_refused";
    let (_, refusals) = send!(edge, GET path, Some(&admin));
    assert_eq!(refusals["total"], 2);
    let (status, agents) = send!(edge, GET "/api/v1/agents", Some(&admin));
    assert_eq!((status, &agents["total"]), (200, &json!(2)));
    assert_eq!(agents["data"][0]["last_heartbeat_at"], Value::Null, "omitted until the first heartbeat");
}

#[actix_web::test]
async fn a_certificate_goes_from_order_to_served_and_every_step_is_tied_to_its_agent() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = admin!(edge);
    let (agent, key) = enrolled!(edge, &admin, "web");
    let (_, foreign) = enrolled!(edge, &admin, "other");
    let target = nginx!(edge, &admin, agent);
    let certificate = crate::certificates::declared(&db, "web").await;
    let certificate_path = format!("/api/v1/certificates/{}", certificate.id);
    let (renew, work) = (format!("{certificate_path}/renew"), format!("/api/v1/agents/{agent}/work"));

    let (status, refused) = send!(edge, POST & renew, Some(&admin), Some(json!({})));
    assert_eq!((status, &refused["code"]), (409, &json!("no_target")), "{refused}");
    let attach = json!({"target_ids": [target]});
    let (status, attached) = send!(edge, PUT & certificate_path, Some(&admin), Some(attach));
    assert_eq!((status, &attached["target_ids"]), (200, &json!([target])), "{attached}");

    let (status, ordered) = send!(edge, POST & renew, Some(&admin), Some(json!({})));
    assert_eq!((status, &ordered["status"]), (202, &json!("renewal_triggered")), "{ordered}");
    let request_id = text(&ordered["job_id"]);
    let (status, again) = send!(edge, POST & renew, Some(&admin), Some(json!({})));
    assert_eq!((status, &again["existing_id"]), (409, &json!(request_id)), "{again}");

    let (status, _) = send!(edge, GET & work, Some(&foreign));
    assert_eq!(status, 403, "no agent polls for another");
    let (_, polled) = send!(edge, GET & work, Some(&key));
    let item = &polled["jobs"][0];
    assert_eq!(
        (&polled["count"], &item["id"], &item["status"]),
        (&json!(1), &json!(request_id), &json!("AwaitingCSR"))
    );
    assert_eq!((&item["common_name"], &item["sans"]), (&json!("web.example.com"), &json!(certificate.sans)));
    let (_, polled) = send!(edge, GET & work, Some(&key));
    assert_eq!(polled, json!({"jobs": [], "count": 0}), "leased to it already");

    let csr = format!("/api/v1/agents/{agent}/csr");
    let pickup = format!("/api/v1/agents/{agent}/certificates/{}", certificate.id);
    let answer = json!({"csr_pem": crate::status::request(&certificate.sans), "certificate_id": certificate.id});
    let (status, _) = send!(edge, POST & csr, Some(&foreign), Some(answer.clone()));
    assert_eq!(status, 403);
    let (status, _) = send!(edge, GET & pickup, Some(&key));
    assert_eq!(status, 404, "nothing is issued yet");
    let (status, signed) = send!(edge, POST & csr, Some(&key), Some(answer.clone()));
    assert_eq!((status, signed), (202, json!({"status": "csr_signed"})));
    let (status, refused) = send!(edge, POST & csr, Some(&key), Some(answer));
    assert_eq!((status, &refused["code"]), (409, &json!("no_job_awaiting_csr")), "no job, no signature");

    let (_, polled) = send!(edge, GET & work, Some(&key));
    let item = polled["jobs"][0].clone();
    let job = text(&item["id"]);
    assert_eq!((&item["type"], &item["status"]), (&json!("Deployment"), &json!("Running")), "{item}");
    assert_eq!(item["target_config"]["key_path"], "/etc/nginx/tls/web.key", "paths are not secrets");
    let (status, leaf) = send!(edge, GET & pickup, Some(&key));
    assert_eq!(status, 200);
    assert!(text(&leaf["certificate_pem"]).starts_with("-----BEGIN CERTIFICATE-----"));

    let report = format!("/api/v1/agents/{agent}/jobs/{job}/status");
    let told = json!({"status": "Completed", "attempt": 1, "result": {
        "outcome": "changed", "new_fingerprint": item["fingerprint_sha256"],
        "steps": [{"step": "reload", "ok": true, "ms": 3, "detail": "nginx -s reload"}],
    }});
    let (status, refused) = send!(edge, POST & report, Some(&key), Some(json!({"status": "Done"})));
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("status")));
    for _ in 0..2 {
        let (status, updated) = send!(edge, POST & report, Some(&key), Some(told.clone()));
        assert_eq!((status, updated), (200, json!({"status": "updated"})), "the same end may be told twice");
    }
    let verify = format!("/api/v1/jobs/{job}/verify");
    let seen = json!({
        "target_id": target, "expected_fingerprint": item["fingerprint_sha256"],
        "actual_fingerprint": item["fingerprint_sha256"], "verified": false,
    });
    let (status, verified) = send!(edge, POST & verify, Some(&key), Some(seen));
    assert_eq!((status, &verified["verified"]), (200, &json!(true)), "the fingerprints decide: {verified}");

    let (status, page) = send!(edge, GET & format!("{certificate_path}/deployments"), Some(&admin));
    let row = &page["data"][0];
    assert_eq!((status, &page["total"], &row["id"]), (200, &json!(1), &json!(target)), "{page}");
    assert_eq!((&row["state"], &row["drift"]), (&json!("verified"), &json!(false)));
    assert_eq!((&row["last_job"]["id"], &row["last_outcome"]), (&json!(job), &json!("changed")));
    assert_eq!(row["deployed_fingerprint"], item["fingerprint_sha256"]);
    let (status, done) = send!(edge, GET & format!("/api/v1/jobs/{job}"), Some(&admin));
    assert_eq!((status, &done["status"], &done["verification_status"]), (200, &json!("Completed"), &json!("success")));
    let (_, now) = send!(edge, GET & certificate_path, Some(&admin));
    assert_eq!(now["status"], "Active");
    assert!(now["last_deployment_at"].is_string() && now["next_renewal_at"].is_string(), "{now}");

    let deploy = format!("{certificate_path}/deploy");
    let (status, redeployed) = send!(edge, POST & deploy, Some(&admin), Some(json!({"target_id": target})));
    assert_eq!((status, redeployed["job_ids"].as_array().map(Vec::len)), (202, Some(1)), "{redeployed}");
    let (status, _) = send!(edge, POST & deploy, Some(&admin), Some(json!({"target_id": "target-none"})));
    assert_eq!(status, 400);
}

#[actix_web::test]
async fn a_request_outside_its_names_is_refused_ends_the_job_and_frees_the_certificate() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = admin!(edge);
    let (agent, key) = enrolled!(edge, &admin, "web");
    let target = nginx!(edge, &admin, agent);
    let certificate = crate::certificates::declared(&db, "web").await;
    let path = format!("/api/v1/certificates/{}", certificate.id);
    send!(edge, PUT & path, Some(&admin), Some(json!({"target_ids": [target]})));
    let (_, ordered) = send!(edge, POST & format!("{path}/renew?force=true"), Some(&admin), Some(json!({})));
    let csr = format!("/api/v1/agents/{agent}/csr");
    let (status, refused) = send!(edge, POST & csr, Some(&key), Some(json!({"csr_pem": "nonsense"})));
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("csr_pem")), "{refused}");
    let (_, waiting) = send!(edge, GET & format!("/api/v1/jobs/{}", text(&ordered["job_id"])), Some(&admin));
    assert_eq!(waiting["status"], "AwaitingCSR", "what can't be read ends nothing");
    let outside = crate::status::request(&["elsewhere.example.com".to_owned()]);
    let (status, refused) = send!(edge, POST & csr, Some(&key), Some(json!({"csr_pem": outside})));
    assert_eq!(status, 422, "{refused}");
    let (_, ended) = send!(edge, GET & format!("/api/v1/jobs/{}", text(&ordered["job_id"])), Some(&admin));
    assert_eq!((&ended["status"], &ended["attempts"]), (&json!("Failed"), &json!(1)), "{ended}");
    assert!(text(&ended["last_error"]).contains("elsewhere.example.com"), "{ended}");
    let (_, now) = send!(edge, GET & path, Some(&admin));
    assert_eq!(now["status"], "Failed", "never issued");
    let events = format!("/api/v1/audit?resource_id={}", certificate.id);
    let (_, events) = send!(edge, GET & events, Some(&admin));
    let actions: Vec<_> = events["data"].as_array().expect("rows").iter().map(|row| text(&row["action"])).collect();
    assert!(actions.contains(&"certificate_issuance_refused".to_owned()), "{actions:?}");
}

#[actix_web::test]
async fn a_retired_agent_is_gone_everywhere() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = admin!(edge);
    let (agent, key) = enrolled!(edge, &admin, "web");
    nginx!(edge, &admin, agent);
    let path = format!("/api/v1/agents/{agent}");
    let (status, blocked) = send!(edge, DELETE & path, Some(&admin));
    assert_eq!((status, &blocked["error"]), (409, &json!("blocked_by_dependencies")), "{blocked}");
    assert_eq!(blocked["counts"], json!({"active_targets": 1, "active_certificates": 0, "pending_jobs": 0}));
    let (status, _) = send!(edge, DELETE & format!("{path}?force=true"), Some(&admin));
    assert_eq!(status, 400, "force needs a reason");
    let (status, retired) = send!(edge, DELETE & format!("{path}?force=true&reason=gone"), Some(&admin));
    assert_eq!((status, &retired["cascade"], &retired["already_retired"]), (200, &json!(true), &json!(false)));
    let (status, nothing) = send!(edge, DELETE & path, Some(&admin));
    assert_eq!((status, nothing), (204, Value::Null));
    let (status, _) = send!(edge, DELETE "/api/v1/agents/server-scanner", Some(&admin));
    assert_eq!(status, 403);

    let (status, _) = send!(edge, POST & format!("{path}/heartbeat"), Some(&admin), Some(json!({})));
    assert_eq!(status, 410);
    let (status, _) = send!(edge, GET & format!("{path}/work"), Some(&admin));
    assert_eq!(status, 410);
    let (status, _) = send!(edge, GET & format!("{path}/work"), Some(&key));
    assert_eq!(status, 401, "its key ended with it");
    let (_, listed) = send!(edge, GET "/api/v1/agents", Some(&admin));
    assert_eq!(listed["total"], 0);
    let (_, listed) = send!(edge, GET "/api/v1/agents/retired", Some(&admin));
    assert_eq!((&listed["total"], &listed["data"][0]["retired_reason"]), (&json!(1), &json!("gone")));
    let (_, targets) = send!(edge, GET "/api/v1/targets?retired=true", Some(&admin));
    assert_eq!((&targets["total"], &targets["data"][0]["retired_reason"]), (&json!(1), &json!("gone")));
}

#[actix_web::test]
async fn an_agent_acts_for_no_other() {
    let db = prepared().await;
    let config = config(&db);
    let edge = service!(&config);
    let admin = admin!(edge);
    let (one, key) = enrolled!(edge, &admin, "one");
    let (other, _) = enrolled!(edge, &admin, "other");
    nginx!(edge, &admin, other);
    let base = format!("/api/v1/agents/{other}");
    let csr = crate::status::request(&["web.example.com".to_owned()]);
    let outcomes = [
        send!(edge, POST & format!("{base}/heartbeat"), Some(&key), Some(json!({}))),
        send!(edge, GET & format!("{base}/work"), Some(&key)),
        send!(edge, POST & format!("{base}/csr"), Some(&key), Some(json!({"csr_pem": csr}))),
        send!(edge, POST & format!("{base}/jobs/job-x/status"), Some(&key), Some(json!({"status": "Completed"}))),
        send!(edge, GET & format!("{base}/certificates/mc-x"), Some(&key)),
    ];
    for (status, refused) in outcomes {
        assert_eq!(status, 403, "{refused}");
    }
    assert_eq!(send!(edge, POST & format!("/api/v1/agents/{one}/heartbeat"), Some(&key), Some(json!({}))).0, 200);
}
