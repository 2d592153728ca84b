//! The emergency way in as clients meet it: each row of its threat list by its id.

use crate::ca::sealer;
use crate::edge::{self, TOKEN, send};
use crate::soft_key::SoftKey;
use crate::support::{START, TestDatabase};
use actix_web::http::Method;
use actix_web::test::TestRequest;
use async_trait::async_trait;
use certctl_breakglass::password::SALT;
use certctl_breakglass::{
    Cost, CreateAccount, HashError, LockoutSettings, Passwords, WebAuthn, close_window, create_account, open_window,
};
use certctl_http::edge::Sessions;
use certctl_http::{AppConfig, Breakglass};
use certctl_kernel::{RequestContext, Secret};
use certctl_rbac::Caller;
use certctl_session::{SameSite, SessionKeys, SessionSettings, ensure_signing_key};
use certctl_system::PasswordPool;
use certctl_webauthn::RelyingParty;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use time::Duration;

const WEAK: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
const PASSWORD: &str = "correct horse battery";
const ORIGIN: &str = "https://pki.example.com";
const SESSION: &str = "__Host-certctl_session";

/// The real hasher, with a count of what was asked of it.
struct Counting {
    pool: PasswordPool,
    verified: AtomicUsize,
    /// Of those, at the pool's own cost or what the stored string says.
    against_stored: AtomicUsize,
}

impl Counting {
    fn new(cost: Cost) -> Arc<Self> {
        let pool = PasswordPool::new(2, cost);
        Arc::new(Self { pool, verified: AtomicUsize::new(0), against_stored: AtomicUsize::new(0) })
    }

    fn taken(&self) -> (usize, usize) {
        (self.verified.swap(0, Ordering::SeqCst), self.against_stored.swap(0, Ordering::SeqCst))
    }
}

#[async_trait]
impl Passwords for Counting {
    async fn hash(&self, password: &Secret<String>, salt: [u8; SALT]) -> Result<Secret<String>, HashError> {
        self.pool.hash(password, salt).await
    }

    async fn verify(
        &self,
        password: &Secret<String>,
        stored: Option<&Secret<String>>,
        salt: [u8; SALT],
    ) -> Result<bool, HashError> {
        self.verified.fetch_add(1, Ordering::SeqCst);
        self.against_stored.fetch_add(usize::from(stored.is_some()), Ordering::SeqCst);
        self.pool.verify(password, stored, salt).await
    }
}

async fn config(db: &TestDatabase, passwords: Option<Arc<Counting>>) -> AppConfig {
    let sealer = sealer();
    let context = RequestContext::system("it");
    let mut tx = db.begin().await;
    tx.sync_catalogue().await.expect("a catalogue");
    ensure_signing_key(tx.stores(), &db.ambient, sealer.as_ref(), &context).await.expect("a key");
    tx.save_unaudited("a fixture").await.expect("a commit");
    let settings = SessionSettings {
        idle: Duration::hours(1),
        absolute: Duration::hours(8),
        bind_ip: false,
        bind_user_agent: false,
        max_per_user: 0,
        same_site: SameSite::Lax,
    };
    let sessions = Sessions::new(Arc::new(SessionKeys::new(Duration::hours(24))), settings, sealer);
    sessions.reload(&db.postgres).await.expect("the keys open");
    let party: Arc<dyn WebAuthn> = Arc::new(RelyingParty::new(ORIGIN).expect("a party"));
    edge::config_with(db, |state| {
        let state = state.with_sessions(sessions);
        match passwords {
            Some(passwords) => state.with_breakglass(Breakglass {
                passwords,
                lockout: LockoutSettings::default(),
                webauthn: Some(party),
            }),
            None => state,
        }
    })
}

macro_rules! glass {
    ($db:expr, $passwords:expr) => {
        actix_web::test::init_service(certctl_http::application!(&config($db, $passwords).await)).await
    };
}

/// An answer with its headers; those that differ from answer to answer by design are left out.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Answer {
    fn cookies(&self) -> Vec<&str> {
        self.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect()
    }

    /// The `Cookie` header that a browser would send next.
    fn jar(&self) -> String {
        let pairs: Vec<&str> = self.cookies().iter().filter_map(|cookie| cookie.split(';').next()).collect();
        pairs.join("; ")
    }
}

macro_rules! ask {
    ($edge:expr, $request:expr) => {{
        let response = actix_web::test::call_service(&$edge, $request.to_request()).await;
        let status = response.status().as_u16();
        let mut headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .filter(|(name, _)| *name != "x-request-id")
            .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
            .collect();
        headers.sort();
        let text = actix_web::test::read_body(response).await;
        let mut body: Value = if text.is_empty() { Value::Null } else { serde_json::from_slice(&text).expect("JSON") };
        if let Some(object) = body.as_object_mut() {
            object.remove("request_id");
        }
        Answer { status, headers, body }
    }};
}

/// From the `n`th address.
fn from(n: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, (n >> 8) as u8, (n & 0xff) as u8], 4711))
}

fn login(n: u16, actor: &str, password: &str) -> TestRequest {
    TestRequest::with_uri("/auth/breakglass/login")
        .method(Method::POST)
        .peer_addr(from(n))
        .set_json(json!({"actor_id": actor, "password": password}))
}

/// An emergency account with this role.
async fn account(db: &TestDatabase, id: &str, roles: &[&str], cost: Cost) {
    let hash = certctl_breakglass::password::hash(&Secret::new(PASSWORD.to_owned()), &[7; SALT], cost).expect("a hash");
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let mut tx = db.begin().await;
    let command = CreateAccount { id: id.to_owned(), name: String::new(), hash, roles };
    create_account(tx.stores(), &db.ambient, &Caller::system("it"), command).await.expect("an account");
    tx.save().await.expect("a commit");
}

async fn open(db: &TestDatabase) {
    let mut tx = db.begin().await;
    let context = RequestContext::system("it");
    let length = Duration::hours(8);
    open_window(tx.stores(), &db.ambient, &context, length, length, "test").await.expect("open");
    tx.save().await.expect("a commit");
}

async fn close(db: &TestDatabase) {
    let mut tx = db.begin().await;
    close_window(tx.stores(), &db.ambient, &RequestContext::system("it")).await.expect("closed");
    tx.save().await.expect("a commit");
}

macro_rules! admin {
    ($edge:expr) => {{
        let body = json!({"token": TOKEN, "actor_name": "admin"});
        let (status, made) = send!($edge, POST "/api/v1/auth/bootstrap", None, Some(body));
        assert_eq!(status, 201, "{made}");
        made["key_value"].as_str().expect("a key").to_owned()
    }};
}

/// The account `drill` on a server that is switched on and open.
macro_rules! ready {
    ($db:ident, $edge:ident, $passwords:ident) => {
        let $db = TestDatabase::new().await;
        let $passwords = Counting::new(WEAK);
        let $edge = glass!(&$db, Some($passwords.clone()));
        account(&$db, "drill", &["admin"], WEAK).await;
        open(&$db).await;
    };
}

async fn sql(db: &TestDatabase, statement: &str) -> String {
    let rows = db.session().await.simple_query(statement).await.expect(statement);
    let texts = rows.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

async fn categories(db: &TestDatabase) -> String {
    let statement = "SELECT coalesce(string_agg(details->>'failure_category', ' ' ORDER BY details->>'failure_category'), '') \
                     FROM audit.events WHERE action = 'auth.breakglass_login_failed'";
    sql(db, statement).await
}

const ROUTES: [(Method, &str); 10] = [
    (Method::POST, "/auth/breakglass/login"),
    (Method::POST, "/auth/breakglass/webauthn"),
    (Method::GET, "/api/v1/auth/breakglass/credentials"),
    (Method::POST, "/api/v1/auth/breakglass/credentials"),
    (Method::POST, "/api/v1/auth/breakglass/credentials/drill/unlock"),
    (Method::DELETE, "/api/v1/auth/breakglass/credentials/drill"),
    (Method::DELETE, "/api/v1/auth/breakglass/credentials/drill/security-keys/wk-1"),
    (Method::POST, "/api/v1/auth/breakglass/webauthn/registrations"),
    (Method::GET, "/api/v1/auth/breakglass/webauthn/keys"),
    (Method::POST, "/api/v1/auth/breakglass/webauthn/keys"),
];

#[tokio::test]
async fn bg_01_switched_off_nothing_is_there_for_anybody() {
    let db = TestDatabase::new().await;
    let edge = glass!(&db, None);
    let admin = admin!(edge);
    account(&db, "drill", &["admin"], WEAK).await;
    open(&db).await;
    for key in [None, Some(admin.as_str()), Some("nobodys-key")] {
        let nowhere = ask!(edge, edge::request(Method::GET, "/auth/nowhere", key, None));
        assert_eq!((nowhere.status, &nowhere.body["code"]), (404, &json!("not_found")));
        for (method, path) in ROUTES {
            // Neither the method nor the body is looked at.
            for method in [method, Method::GET, Method::PUT, Method::OPTIONS] {
                let request = edge::request(method.clone(), path, key, None).set_payload("{ no JSON");
                assert_eq!(ask!(edge, request), nowhere, "{method} {path} {key:?}");
            }
        }
    }
}

#[tokio::test]
async fn bg_01_switched_on_but_closed_nobody_can_sign_in_and_credentials_can_be_looked_after() {
    let db = TestDatabase::new().await;
    let passwords = Counting::new(WEAK);
    let edge = glass!(&db, Some(passwords.clone()));
    let admin = admin!(edge);
    account(&db, "drill", &["admin"], WEAK).await;
    let nowhere = ask!(edge, edge::request(Method::POST, "/auth/nowhere", None, None));
    let shut = async |why: &str| {
        assert_eq!(ask!(edge, login(1, "drill", PASSWORD)), nowhere, "{why}");
        let answer = TestRequest::with_uri("/auth/breakglass/webauthn").method(Method::POST);
        assert_eq!(ask!(edge, answer), nowhere, "{why}");
    };
    shut("never opened").await;
    open(&db).await;
    assert_eq!(ask!(edge, login(1, "drill", PASSWORD)).status, 204);
    close(&db).await;
    shut("closed by hand").await;
    open(&db).await;
    db.clock.set(START + Duration::hours(8));
    shut("its time ran out").await;
    assert_eq!(passwords.taken().0, 1, "no password was looked at while it was closed");
    let (status, list) = send!(edge, GET "/api/v1/auth/breakglass/credentials", Some(&admin));
    assert_eq!((status, &list["credentials"][0]["actor_id"]), (200, &json!("drill")));
    assert_eq!(send!(edge, GET "/api/v1/auth/breakglass/credentials", None).0, 401);
}

/// Requests that fail, each in its own way.
fn failures() -> Vec<(&'static str, TestRequest)> {
    let raw = |n: u16, kind: &'static str, body: &'static str| {
        let request = TestRequest::with_uri("/auth/breakglass/login").method(Method::POST).peer_addr(from(n));
        request.insert_header(("Content-Type", kind)).set_payload(body)
    };
    vec![
        ("wrong_password", login(1, "drill", "wrong horse battery")),
        ("no_credential_or_lookup_error", login(2, "nobody", PASSWORD)),
        ("locked", login(3, "locked", PASSWORD)),
        ("malformed", raw(4, "application/json", "{ no JSON")),
        ("malformed", raw(5, "application/json", "{}")),
        ("malformed", login(6, "", "")),
        ("malformed", login(7, "   ", PASSWORD)),
        ("wrong_password", login(8, "drill", "")),
        ("malformed", raw(9, "application/json", "{\"actor_id\": 7, \"password\": true}")),
        ("malformed", raw(10, "text/plain", "actor_id=drill")),
        ("malformed", raw(11, "application/json", "")),
        ("malformed", login(12, "dr\u{0}ill", PASSWORD)),
        ("deactivated", login(13, "gone", PASSWORD)),
        ("no_role", login(14, "bare", PASSWORD)),
    ]
}

/// Accounts that can't sign in, beside `drill`.
async fn hopeless_accounts(db: &TestDatabase, cost: Cost) {
    for id in ["locked", "gone", "bare"] {
        account(db, id, &["admin"], cost).await;
    }
    db.session()
        .await
        .batch_execute(
            "UPDATE iam.breakglass_credentials SET failure_count = 5, last_failure_at = '2026-03-01 11:59Z', \
               locked_until = '2026-03-01 12:14Z' WHERE actor_id = 'locked'; \
             UPDATE iam.users SET deactivated_at = now() WHERE id = 'gone'; \
             DELETE FROM iam.grants WHERE actor_id = 'bare'",
        )
        .await
        .expect("a fixture");
}

#[tokio::test]
async fn bg_02_bg_10_every_failure_gets_the_same_answer_and_its_own_event() {
    ready!(db, edge, passwords);
    hopeless_accounts(&db, WEAK).await;
    let mut first: Option<Answer> = None;
    let mut expected = Vec::new();
    for (category, request) in failures() {
        let answer = ask!(edge, request);
        assert_eq!((answer.status, &answer.body["message"]), (401, &json!("invalid credentials")), "{category}");
        match &first {
            Some(first) => assert_eq!(&answer, first, "{category}"),
            None => first = Some(answer),
        }
        expected.push(category);
    }
    expected.sort_unstable();
    assert_eq!(categories(&db).await, expected.join(" "));
    assert_eq!(sql(&db, "SELECT count(*) FROM iam.sessions").await, "0");
    assert_eq!(passwords.taken().0, expected.len());
}

#[tokio::test]
async fn bg_03_every_failure_costs_one_argon2id_at_full_cost() {
    let db = TestDatabase::new().await;
    let passwords = Counting::new(Cost::FULL);
    let edge = glass!(&db, Some(passwords.clone()));
    account(&db, "drill", &["admin"], Cost::FULL).await;
    open(&db).await;
    hopeless_accounts(&db, Cost::FULL).await;
    let stored = sql(&db, "SELECT password_hash FROM iam.breakglass_credentials").await;
    assert!(stored.lines().all(|hash| hash.starts_with("$argon2id$v=19$m=65536,t=3,p=4$")), "{stored}");
    for (category, request) in failures() {
        assert_eq!(ask!(edge, request).status, 401);
        // Against the stored string, whose cost is full, or at the pool's own, which is full as well.
        let against_stored = usize::from(matches!(category, "wrong_password" | "deactivated" | "no_role"));
        assert_eq!(passwords.taken(), (1, against_stored), "{category}");
    }
}

#[tokio::test]
async fn bg_04_bg_05_a_lock_holds_against_the_right_password_and_ends() {
    ready!(db, edge, _passwords);
    for n in 0..5 {
        assert_eq!(ask!(edge, login(n, "drill", "wrong horse battery")).status, 401);
    }
    assert_eq!(ask!(edge, login(50, "drill", PASSWORD)).status, 401, "locked");
    let state = "SELECT failure_count || ' ' || coalesce(locked_until::text, '-') FROM iam.breakglass_credentials";
    assert_eq!(sql(&db, state).await, "5 2026-03-01 12:15:00+00", "the refused attempt moved nothing");
    db.clock.set(START + Duration::minutes(15));
    assert_eq!(ask!(edge, login(51, "drill", PASSWORD)).status, 204);
    assert_eq!(sql(&db, state).await, "0 -");
}

#[tokio::test]
async fn a_lock_that_ended_locks_again_at_the_next_failure_for_longer() {
    ready!(db, edge, _passwords);
    for n in 0..5 {
        ask!(edge, login(n, "drill", "wrong horse battery"));
    }
    db.clock.set(START + Duration::minutes(15));
    ask!(edge, login(60, "drill", "wrong horse battery"));
    let state = "SELECT failure_count || ' ' || locked_until FROM iam.breakglass_credentials";
    assert_eq!(sql(&db, state).await, "6 2026-03-01 12:45:00+00");
    let admin = admin!(edge);
    assert_eq!(send!(edge, POST "/api/v1/auth/breakglass/credentials/drill/unlock", Some(&admin)).0, 204);
    assert_eq!(ask!(edge, login(61, "drill", PASSWORD)).status, 204);
    assert_eq!(send!(edge, POST "/api/v1/auth/breakglass/credentials/nobody/unlock", Some(&admin)).0, 404);
}

#[tokio::test]
async fn bg_06_parallel_attempts_do_not_slip_past_the_threshold() {
    ready!(db, edge, passwords);
    let statuses = futures_util::future::join_all((0..20).map(|n| {
        let (edge, request) = (&edge, login(n, "drill", "wrong horse battery").to_request());
        async move { actix_web::test::call_service(edge, request).await.status().as_u16() }
    }))
    .await;
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 10, "ten a minute at one account");
    let state = "SELECT failure_count || ' ' || (locked_until IS NOT NULL) FROM iam.breakglass_credentials";
    assert_eq!(sql(&db, state).await, "5 true");
    assert_eq!(passwords.taken(), (10, 5), "no more than the threshold met the stored password");
}

#[tokio::test]
async fn bg_07_an_address_has_five_attempts_a_minute_whatever_it_says_of_itself() {
    ready!(db, edge, _passwords);
    for n in 0..5 {
        let actor = format!("nobody-{n}");
        assert_eq!(ask!(edge, login(1, &actor, PASSWORD)).status, 401);
    }
    let sixth = ask!(edge, login(1, "drill", PASSWORD));
    assert_eq!((sixth.status, &sixth.body["message"]), (429, &json!("too many requests")));
    let spoofed = login(1, "drill", PASSWORD).insert_header(("X-Forwarded-For", "203.0.113.77"));
    assert_eq!(ask!(edge, spoofed).status, 429);
    let malformed = TestRequest::with_uri("/auth/breakglass/login").method(Method::POST).peer_addr(from(1));
    assert_eq!(ask!(edge, malformed).status, 429, "malformed requests count and are counted");
    assert_eq!(ask!(edge, login(2, "drill", PASSWORD)).status, 204, "another address");
    db.clock.set(START + Duration::seconds(12));
    assert_eq!(ask!(edge, login(1, "drill", PASSWORD)).status, 204, "one comes back every twelve seconds");
}

#[tokio::test]
async fn bg_08_a_password_has_12_to_256_octets() {
    ready!(db, edge, _passwords);
    let admin = admin!(edge);
    for (length, expected) in [(0, 400), (11, 400), (12, 201), (256, 201), (257, 400)] {
        let body = json!({"actor_id": "drill", "password": "x".repeat(length)});
        let (status, answer) = send!(edge, POST "/api/v1/auth/breakglass/credentials", Some(&admin), Some(body));
        assert_eq!(status, expected, "{length}: {answer}");
        if status == 400 {
            let rule = "password fails strength requirements (min 12 bytes, max 256 bytes)";
            assert_eq!(answer["errors"][0]["message"], rule);
        } else {
            assert_eq!((&answer["actor_id"], &answer["created_at"]), (&json!("drill"), &json!("2026-03-01T12:00:00Z")));
        }
    }
    let n = from(3);
    assert_eq!(ask!(edge, login(3, "drill", &"x".repeat(256)).peer_addr(n)).status, 204, "the last one holds");
}

#[tokio::test]
async fn bg_09_setting_or_removing_a_password_ends_the_sessions() {
    ready!(db, edge, _passwords);
    let admin = admin!(edge);
    let signed_in = ask!(edge, login(1, "drill", PASSWORD));
    let cookies = signed_in.cookies();
    assert!(cookies.iter().any(|cookie| cookie.starts_with(SESSION) && cookie.contains("HttpOnly")), "{cookies:?}");
    let me = |answer: &Answer| TestRequest::with_uri("/api/v1/auth/me").insert_header(("Cookie", answer.jar()));
    let who = ask!(edge, me(&signed_in));
    assert_eq!((who.status, &who.body["actor_id"], &who.body["actor_type"]), (200, &json!("drill"), &json!("User")));

    let body = json!({"actor_id": "drill", "password": "another horse battery"});
    assert_eq!(send!(edge, POST "/api/v1/auth/breakglass/credentials", Some(&admin), Some(body)).0, 201);
    assert_eq!(ask!(edge, me(&signed_in)).status, 401);
    assert_eq!(ask!(edge, login(2, "drill", PASSWORD)).status, 401, "the old password");
    let again = ask!(edge, login(3, "drill", "another horse battery"));
    assert_eq!(again.status, 204);
    assert_eq!(send!(edge, DELETE "/api/v1/auth/breakglass/credentials/drill", Some(&admin)).0, 204);
    assert_eq!(ask!(edge, me(&again)).status, 401);
    assert_eq!(send!(edge, DELETE "/api/v1/auth/breakglass/credentials/drill", Some(&admin)).0, 404);
    assert_eq!(ask!(edge, login(4, "drill", "another horse battery")).status, 401);
}

#[tokio::test]
async fn bg_11_bg_17_neither_a_password_nor_a_hash_stands_anywhere() {
    ready!(db, edge, _passwords);
    let admin = admin!(edge);
    let body = json!({"actor_id": "drill", "password": "another horse battery"});
    let set = edge::request(Method::POST, "/api/v1/auth/breakglass/credentials", Some(&admin), Some(body));
    let mut answers = vec![ask!(edge, set.insert_header(("Idempotency-Key", "once")))];
    let wrong = json!({"actor_id": "drill", "password": 123_456_789_012_345_u64});
    let set = edge::request(Method::POST, "/api/v1/auth/breakglass/credentials", Some(&admin), Some(wrong));
    answers.push(ask!(edge, set));
    answers.push(ask!(edge, login(1, "drill", "another horse battery")));
    answers.push(ask!(edge, login(2, "drill", PASSWORD)));
    // A password in the wrong field.
    answers.push(ask!(edge, login(3, "another horse battery", "drill")));
    answers.push(ask!(edge, edge::request(Method::GET, "/api/v1/auth/breakglass/credentials", Some(&admin), None)));
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [201, 400, 204, 401, 401, 200]);

    // Every row of every table, as a thief of the database has them.
    let tables = sql(
        &db,
        "SELECT format('SELECT coalesce(string_agg(t::text, chr(10)), %L) FROM %s t', '', c.oid::regclass) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')",
    )
    .await;
    let mut dump = String::new();
    for table in tables.lines() {
        dump.push_str(&sql(&db, table).await);
    }
    let cheap = |text: &str| {
        data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
    };
    let bodies = [
        "another horse battery".to_owned(),
        json!({"actor_id": "drill", "password": "another horse battery"}).to_string(),
    ];
    let told = format!("{answers:?}");
    for secret in ["another horse", "123456789012345"] {
        assert!(!dump.contains(secret) && !told.contains(secret), "{secret}");
    }
    for body in bodies {
        assert!(!dump.contains(&cheap(&body)), "a plain hash of {body}");
    }
    assert!(!told.contains("argon2"));
    assert_eq!(dump.matches("$argon2id$v=19$").count(), 1, "one credential, one Argon2id string");
}

#[tokio::test]
async fn bg_12_a_stored_string_that_is_none_lets_nobody_in_and_harms_nobody() {
    ready!(db, edge, passwords);
    let session = db.session().await;
    session
        .batch_execute(
            "ALTER TABLE iam.breakglass_credentials DROP CONSTRAINT breakglass_credentials_password_hash_check",
        )
        .await
        .expect("a thief's database");
    let sound = sql(&db, "SELECT password_hash FROM iam.breakglass_credentials").await;
    let strings = [
        String::new(),
        "$argon2id$v=19$m=8,t=1,p=1$".to_owned(),
        sound.replace("argon2id", "argon2i"),
        sound.replace("v=19", "v=16"),
        sound[..sound.len() - 9].to_owned(),
        sound.replace("m=8,t=1,p=1", "m=4294967295,t=4294967295,p=16777215"),
        sound.replace("m=8", "m=67108864"),
    ];
    for (n, stored) in strings.into_iter().enumerate() {
        session
            .execute(
                "UPDATE iam.breakglass_credentials SET password_hash = $1, failure_count = 0, locked_until = NULL",
                &[&stored],
            )
            .await
            .expect("a string");
        assert_eq!(ask!(edge, login(u16::try_from(n).expect("few"), "drill", PASSWORD)).status, 401, "{stored}");
        assert_eq!(passwords.taken().0, 1, "{stored}");
    }
}

#[tokio::test]
async fn bg_13_only_people_have_credentials() {
    ready!(db, edge, _passwords);
    let admin = admin!(edge);
    for (actor, expected) in [("nobody", 404), ("actor-demo-anon", 409), ("admin", 404), ("  ", 400)] {
        let body = json!({"actor_id": actor, "password": PASSWORD});
        let (status, answer) = send!(edge, POST "/api/v1/auth/breakglass/credentials", Some(&admin), Some(body));
        assert_eq!(status, expected, "{actor}: {answer}");
    }
    assert_eq!(sql(&db, "SELECT count(*) FROM iam.breakglass_credentials").await, "1");
}

#[tokio::test]
async fn nobody_sets_the_password_of_somebody_who_may_more() {
    ready!(db, edge, _passwords);
    let admin = admin!(edge);
    let role = json!({"name": "keeper", "description": ""});
    let (status, made) = send!(edge, POST "/api/v1/auth/roles", Some(&admin), Some(role));
    assert_eq!(status, 201, "{made}");
    let added = json!({"permission": "auth.breakglass.admin"});
    let path = format!("/api/v1/auth/roles/{}/permissions", made["id"].as_str().expect("an id"));
    assert!(send!(edge, POST & path, Some(&admin), Some(added)).0 < 300);
    let key = json!({"name": "keeper", "roles": [made["id"]]});
    let (status, key) = send!(edge, POST "/api/v1/auth/api-keys", Some(&admin), Some(key));
    assert_eq!(status, 201, "{key}");
    let keeper = key["key_value"].as_str().expect("a key");
    let body = json!({"actor_id": "drill", "password": PASSWORD});
    let (status, refused) = send!(edge, POST "/api/v1/auth/breakglass/credentials", Some(keeper), Some(body));
    assert_eq!((status, &refused["code"]), (403, &json!("insufficient_permission")));
    assert_eq!(send!(edge, GET "/api/v1/auth/breakglass/credentials", Some(keeper)).0, 200);
}

#[tokio::test]
async fn bg_14_an_actor_id_is_trimmed_and_a_vast_one_is_nobodys() {
    ready!(db, edge, _passwords);
    assert_eq!(ask!(edge, login(1, "  drill\t", PASSWORD)).status, 204);
    let stored =
        "SELECT actor_id || ' ' || resource_id FROM audit.events WHERE action = 'auth.breakglass_login_succeeded'";
    assert_eq!(sql(&db, stored).await, "drill drill");
    assert_eq!(ask!(edge, login(2, &"x".repeat(1_000_000), PASSWORD)).status, 401);
    assert_eq!(ask!(edge, login(3, "drill\u{7}\r\nX: y", PASSWORD)).status, 401);
    let refused = "SELECT string_agg(resource_id || ':' || (details->>'actor_id'), ' ') FROM audit.events \
                   WHERE action = 'auth.breakglass_login_failed'";
    assert_eq!(sql(&db, refused).await, "unknown: unknown:");
    assert_eq!(ask!(edge, login(4, &"x".repeat(2_000_000), PASSWORD)).status, 413);
}

#[tokio::test]
async fn bg_16_a_flood_from_everywhere_is_cut_off_before_it_reaches_the_passwords() {
    ready!(db, edge, passwords);
    let statuses = futures_util::future::join_all((0..200).map(|n| {
        let (edge, request) = (&edge, login(n, &format!("nobody-{n}"), PASSWORD).to_request());
        async move { actix_web::test::call_service(edge, request).await.status().as_u16() }
    }))
    .await;
    let of = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((of(401), of(429)), (60, 140), "sixty a minute all together");
    assert_eq!(passwords.taken().0, 60);
}

#[tokio::test]
async fn a_page_of_another_site_signs_nobody_in() {
    ready!(db, edge, passwords);
    let crossed = login(1, "drill", PASSWORD).insert_header(("Sec-Fetch-Site", "cross-site"));
    assert_eq!(ask!(edge, crossed.insert_header(("Origin", "https://evil.example"))).status, 403);
    assert_eq!(passwords.taken().0, 0);
    assert_eq!(sql(&db, "SELECT count(*) FROM iam.sessions").await, "0");
}

/// Signs `drill` in and registers a key.
macro_rules! with_key {
    ($db:ident, $edge:ident, $key:ident) => {
        ready!($db, $edge, _passwords);
        let mut $key = SoftKey::new(ORIGIN, "pki.example.com", 1);
        let signed_in = ask!($edge, login(1, "drill", PASSWORD));
        let registered = register!($edge, signed_in, $key, "Blue key");
        assert_eq!(registered.status, 201, "{registered:?}");
    };
}

fn post(path: &str, jar: &str, body: Value) -> TestRequest {
    let token =
        jar.split("; ").find_map(|pair| pair.strip_prefix("__Host-certctl_csrf=")).unwrap_or_default().to_owned();
    TestRequest::with_uri(path)
        .method(Method::POST)
        .insert_header(("Cookie", jar.to_owned()))
        .insert_header(("X-CSRF-Token", token))
        .set_json(body)
}

macro_rules! register {
    ($edge:expr, $signed_in:expr, $key:expr, $name:expr) => {{
        let jar = $signed_in.jar();
        let begun = ask!($edge, post("/api/v1/auth/breakglass/webauthn/registrations", &jar, json!({})));
        assert_eq!(begun.status, 201, "{begun:?}");
        let credential = $key.register(&begun.body["options"]);
        let body = json!({"challenge_id": begun.body["challenge_id"], "name": $name, "credential": credential});
        ask!($edge, post("/api/v1/auth/breakglass/webauthn/keys", &jar, body))
    }};
}

fn answer(n: u16, challenge: &Value, credential: &Value) -> TestRequest {
    TestRequest::with_uri("/auth/breakglass/webauthn")
        .method(Method::POST)
        .peer_addr(from(n))
        .set_json(json!({"challenge_id": challenge["challenge_id"], "credential": credential}))
}

#[tokio::test]
async fn bg_18_a_phished_password_is_worth_nothing_once_a_key_is_registered() {
    with_key!(db, edge, key);
    let phished = ask!(edge, login(20, "drill", PASSWORD));
    assert_eq!((phished.status, &phished.body["code"]), (401, &json!("second_factor_required")));
    assert_eq!(phished.cookies(), Vec::<&str>::new());
    assert_eq!(sql(&db, "SELECT count(*) FROM iam.sessions").await, "1", "the one that registered the key");
    assert_eq!(categories(&db).await, "second_factor_required", "the trail tells of it");
    let source = "SELECT source_ip FROM audit.events WHERE action = 'auth.breakglass_login_failed'";
    assert_eq!(sql(&db, source).await, "198.51.0.20");

    // Nobody else's key, no altered answer, and no answer twice.
    let other = SoftKey::new(ORIGIN, "pki.example.com", 2).sign(&phished.body["options"]);
    assert_eq!(ask!(edge, answer(21, &phished.body, &other)).status, 401);
    let good = key.sign(&phished.body["options"]);
    assert_eq!(ask!(edge, answer(22, &phished.body, &good)).status, 401, "the challenge was used up");

    let challenge = ask!(edge, login(23, "drill", PASSWORD)).body;
    let elsewhere = key.at("https://pki.example.net").sign(&challenge["options"]);
    assert_eq!(ask!(edge, answer(24, &challenge, &elsewhere)).status, 401, "signed for another site");

    let challenge = ask!(edge, login(25, "drill", PASSWORD)).body;
    let signed = key.sign(&challenge["options"]);
    let done = ask!(edge, answer(26, &challenge, &signed));
    assert_eq!(done.status, 204, "{done:?}");
    let who = ask!(edge, TestRequest::with_uri("/api/v1/auth/me").insert_header(("Cookie", done.jar())));
    assert_eq!(who.body["actor_id"], "drill");
    assert_eq!(ask!(edge, answer(27, &challenge, &signed)).status, 401, "not twice");
    assert_eq!(
        sql(&db, "SELECT details->>'second_factor' FROM audit.events WHERE action = 'auth.breakglass_login_succeeded' ORDER BY 1").await,
        "false\ntrue"
    );
    assert_eq!(sql(&db, "SELECT failure_count FROM iam.breakglass_credentials").await, "0");
}

#[tokio::test]
async fn a_challenge_runs_out_and_a_counter_that_does_not_move_is_refused() {
    with_key!(db, edge, key);
    let challenge = ask!(edge, login(20, "drill", PASSWORD)).body;
    db.clock.set(START + Duration::minutes(5));
    let late = key.sign(&challenge["options"]);
    assert_eq!(ask!(edge, answer(21, &challenge, &late)).status, 401);

    let challenge = ask!(edge, login(22, "drill", PASSWORD)).body;
    let mut copy = key.clone();
    let signed = key.sign(&challenge["options"]);
    assert_eq!(ask!(edge, answer(23, &challenge, &signed)).status, 204);
    let challenge = ask!(edge, login(24, "drill", PASSWORD)).body;
    let cloned = copy.sign(&challenge["options"]);
    assert_eq!(
        ask!(edge, answer(25, &challenge, &cloned)).status,
        401,
        "a copy of the key counts from where it was made"
    );
}

#[tokio::test]
async fn keys_are_the_owners_to_add_and_the_administrators_to_remove() {
    with_key!(db, edge, key);
    let admin = admin!(edge);
    let signed_in = {
        let challenge = ask!(edge, login(30, "drill", PASSWORD)).body;
        let signed = key.sign(&challenge["options"]);
        ask!(edge, answer(31, &challenge, &signed))
    };
    let again = register!(edge, signed_in, key, "The same");
    assert_eq!((again.status, &again.body["errors"][0]["field"]), (400, &json!("credential")), "one key is one key");
    let mut second = SoftKey::new(ORIGIN, "pki.example.com", 2);
    assert_eq!(register!(edge, signed_in, second, "").status, 400);
    assert_eq!(register!(edge, signed_in, second, "Red key").status, 201);

    let own = TestRequest::with_uri("/api/v1/auth/breakglass/webauthn/keys").insert_header(("Cookie", signed_in.jar()));
    let own = ask!(edge, own);
    let names: Vec<_> = own.body["keys"].as_array().expect("keys").iter().map(|key| key["name"].clone()).collect();
    assert_eq!(names, ["Blue key", "Red key"]);
    assert!(own.body["keys"][0]["last_used_at"].is_string() && own.body["keys"][1]["last_used_at"].is_null());
    assert_eq!(
        send!(edge, POST "/api/v1/auth/breakglass/webauthn/registrations", Some(&admin), Some(json!({}))).0,
        404,
        "an API key has no use for security keys"
    );

    let id = own.body["keys"][0]["id"].as_str().expect("an id");
    let path = format!("/api/v1/auth/breakglass/credentials/drill/security-keys/{id}");
    assert_eq!(send!(edge, DELETE & path, Some(&admin)).0, 204);
    assert_eq!(send!(edge, DELETE & path, Some(&admin)).0, 404);
    let me = TestRequest::with_uri("/api/v1/auth/me").insert_header(("Cookie", signed_in.jar()));
    assert_eq!(ask!(edge, me).status, 401, "its sessions ended");
    let (_, list) = send!(edge, GET "/api/v1/auth/breakglass/credentials", Some(&admin));
    assert_eq!(list["credentials"][0]["security_keys"], 1);
    let challenge = ask!(edge, login(40, "drill", PASSWORD)).body;
    assert_eq!(challenge["options"]["publicKey"]["allowCredentials"].as_array().map(Vec::len), Some(1));
    let removed = key.sign(&challenge["options"]);
    assert_eq!(ask!(edge, answer(41, &challenge, &removed)).status, 401, "the removed key answers for nobody");
}
