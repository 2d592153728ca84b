//! Exports as clients get them.

use crate::audit_log::{edge_config, record, sealed_log};
use crate::edge::{TOKEN, request, send};
use crate::support::TestDatabase;
use actix_web::http::Method;
use certctl_audit_log::{OfflineError, check_export};
use serde_json::{Value, json};
use std::io::Read as _;

/// Status, headers and body of a GET.
macro_rules! fetch {
    ($edge:expr, $path:expr, $key:expr) => {
        fetch!($edge, $path, $key, "identity")
    };
    ($edge:expr, $path:expr, $key:expr, $coding:expr) => {{
        let request = request(Method::GET, $path, $key, None).insert_header(("Accept-Encoding", $coding));
        let response = actix_web::test::call_service(&$edge, request.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, actix_web::test::read_body(response).await)
    }};
}

macro_rules! server {
    ($db:expr, $log:expr) => {{
        let mut tx = $db.begin().await;
        tx.sync_catalogue().await.expect("a catalogue");
        tx.save_unaudited("the catalogue is the code's").await.expect("a commit");
        let edge = actix_web::test::init_service(certctl_http::application!(&edge_config($db, $log))).await;
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (_, made) = send!(edge, POST "/api/v1/auth/bootstrap", None, Some(body));
        (edge, made["key_value"].as_str().expect("a key").to_owned())
    }};
}

fn header<'a>(headers: &'a actix_web::http::header::HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

const SPAN: &str = "from=2026-02-01&to=2026-04-01";

fn trailer(text: &str) -> Value {
    let last = text.lines().last().expect("a line").trim_start_matches("# ");
    serde_json::from_str::<Value>(last).expect("JSON")["_trailer"].clone()
}

#[tokio::test]
async fn an_export_holds_under_a_checkpoint_and_is_itself_recorded() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let (edge, key) = server!(&db, &log);
    record(&db, 2500).await;
    let (status, headers, body) = fetch!(edge, &format!("/api/v1/audit/export?{SPAN}&proof=true"), Some(&*key));
    assert_eq!((status, header(&headers, "content-type")), (200, "application/x-ndjson"));
    assert_eq!(
        header(&headers, "content-disposition"),
        "attachment; filename=\"certctl-audit-2026-02-01_to_2026-04-01.ndjson\""
    );
    let checked = check_export(&body[..], &log.trusted, &[]).expect("holds");
    assert!(checked.events > 2500 && checked.skipped == 0, "{checked:?}");

    let (_, page) = send!(edge, GET "/api/v1/audit?action=audit.export", Some(&*key));
    let event = &page["data"][0];
    assert_eq!(
        (&event["details"]["rows"], &event["details"]["complete"]),
        (&json!(checked.events), &json!(true)),
        "{page}"
    );
    assert_eq!((&event["actor"], &event["event_category"]), (&json!("admin"), &json!("auth")));

    let (_, _, part) =
        fetch!(edge, &format!("/api/v1/audit/export?{SPAN}&proof=true&category=auth&limit=1"), Some(&*key));
    let part = String::from_utf8(part.to_vec()).expect("text");
    assert_eq!((&trailer(&part)["rows"], &trailer(&part)["error"]), (&json!(1), &json!("limit")));
    let checked = check_export(part.as_bytes(), &log.trusted, &[]).expect("holds");
    assert!(checked.skipped > 2490, "{checked:?}");
    let forged = part.replace("bootstrap.consume", "bootstrap.consumed");
    assert!(
        forged != part
            && matches!(check_export(forged.as_bytes(), &log.trusted, &[]), Err(OfflineError::EventChanged { .. }))
    );
}

#[tokio::test]
async fn an_export_comes_as_csv_zipped_and_within_its_limits() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let (edge, key) = server!(&db, &log);
    record(&db, 60).await;
    let path = format!("/api/v1/audit/export?{SPAN}&format=csv");
    let (_, headers, plain) = fetch!(edge, &path, Some(&*key));
    assert_eq!(header(&headers, "content-type"), "text/csv; charset=utf-8");
    let plain = String::from_utf8(plain.to_vec()).expect("text");
    assert!(plain.starts_with("seq,timestamp,id,actor,"));
    assert!(plain.contains("\"\"number\"\":59"), "members come in the database's order: {plain}");
    assert_eq!(trailer(&plain)["rows"], json!(plain.lines().count() - 2));
    let (_, headers, zipped) = fetch!(edge, &path, Some(&*key), "gzip");
    assert_eq!(header(&headers, "content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut text).expect("gzip");
    // The second export also holds the event of the first.
    assert_eq!(text.lines().count(), plain.lines().count() + 1);

    for (query, field) in [
        ("to=2026-04-01", "from"),
        ("from=2026-04-01", "to"),
        ("from=x&to=2026-04-01", "from"),
        ("from=2026-04-01&to=2026-02-01", "to"),
        ("from=2025-01-01&to=2026-04-01", "to"),
        ("from=2026-02-01&to=2026-04-01&limit=0", "limit"),
        ("from=2026-02-01&to=2026-04-01&limit=100001", "limit"),
        ("from=2026-02-01&to=2026-04-01&limit=many", "limit"),
        ("from=2026-02-01&to=2026-04-01&category=system", "category"),
        ("from=2026-02-01&to=2026-04-01&format=xml", "format"),
        ("from=2026-02-01&to=2026-04-01&format=csv&proof=true", "proof"),
        ("from=2026-02-01&to=2026-04-01&page=1", "page"),
    ] {
        let (status, refused) = send!(edge, GET & format!("/api/v1/audit/export?{query}"), Some(&*key));
        assert_eq!((status, refused["errors"][0]["field"].as_str()), (400, Some(field)), "{query}: {refused}");
    }
    let (status, _, _) = fetch!(edge, "/api/v1/audit/export?from=2025-01-01&to=2026-04-01&limit=all", Some(&*key));
    assert_eq!(status, 200, "limit=all lifts the limit of the span");
}

#[tokio::test]
async fn an_export_that_fails_on_the_way_says_so_in_its_trailer() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let (edge, key) = server!(&db, &log);
    record(&db, 2500).await;
    crate::audit_log::checkpoint(&db, &log).await;
    let superuser = db.session().await;
    superuser
        .batch_execute("SET session_replication_role = replica; DELETE FROM audit.log WHERE seq = 1500")
        .await
        .expect("a hole");
    let (status, _, body) = fetch!(edge, &format!("/api/v1/audit/export?{SPAN}&proof=true"), Some(&*key));
    let text = String::from_utf8(body.to_vec()).expect("text");
    assert_eq!((status, &trailer(&text)["complete"]), (200, &json!(false)));
    assert!(matches!(check_export(text.as_bytes(), &log.trusted, &[]), Err(OfflineError::Incomplete(_))));
    let (_, page) = send!(edge, GET "/api/v1/audit?action=audit.export", Some(&*key));
    assert_eq!(page["data"][0]["details"]["complete"], json!(false), "{page}");
}

#[tokio::test]
async fn the_export_is_for_those_who_may() {
    let db = TestDatabase::new().await;
    let log = sealed_log(&db).await;
    let (edge, key) = server!(&db, &log);
    let body = json!({"name": "reader", "roles": ["r-viewer"]});
    let (_, made) = send!(edge, POST "/api/v1/auth/api-keys", Some(&*key), Some(body));
    let viewer = made["key_value"].as_str().expect("a key");
    let path = format!("/api/v1/audit/export?{SPAN}");
    assert_eq!(send!(edge, GET & path, Some(viewer)).0, 403);
    assert_eq!(send!(edge, POST "/api/v1/audit/verify", Some(viewer), Some(json!({}))).0, 403);
    assert_eq!(send!(edge, GET "/api/v1/audit/verify", Some(viewer)).0, 200);
    assert_eq!(send!(edge, GET & path, None).0, 401);
}
