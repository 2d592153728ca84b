//! Browsers that are signed in, looked at from outside with curl; the names begin with the threat that they belong to.

use super::roles_cli::Cli;
use super::{Server, Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SESSION: &str = "__Host-certctl_session";
const CSRF: &str = "__Host-certctl_csrf";

/// An answer with its headers, names in lower case.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn cookies(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str())
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find_map(|cookie| cookie.split(';').next()?.strip_prefix(&format!("{name}=")))
    }
}

fn ask(server: &Server, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Answer {
    let url = format!("https://localhost:{}{path}", server.port);
    let mut arguments = vec!["-X", method, "-i", "--http1.1", &url];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    let text = body.map(ToString::to_string);
    if let Some(text) = &text {
        arguments.extend(["-H", "Content-Type: application/json", "-d", text]);
    }
    let output = server.curl(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers = lines
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    Answer { status, headers, body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

/// A browser: its cookies, and what it calls itself.
#[derive(Clone)]
struct Browser {
    cookies: BTreeMap<String, String>,
    agent: &'static str,
}

impl Browser {
    fn sign_in(server: &Server, key: &str) -> Self {
        let mut browser = Self { cookies: BTreeMap::new(), agent: "browser/1" };
        let answer = browser.send(server, "POST", "/api/v1/auth/session", &[], Some(&json!({"api_key": key})));
        assert_eq!(answer.status, 204, "{}", answer.body);
        browser
    }

    /// Sends a request with the browser's cookies and keeps those of the answer.
    fn send(&mut self, server: &Server, method: &str, path: &str, headers: &[&str], body: Option<&Value>) -> Answer {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (jar, agent) = (format!("Cookie: {}", jar.join("; ")), format!("User-Agent: {}", self.agent));
        let mut all = vec![agent.as_str()];
        if !self.cookies.is_empty() {
            all.push(&jar);
        }
        all.extend(headers);
        let answer = ask(server, method, path, &all, body);
        for cookie in answer.cookies() {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').expect("a cookie is a pair");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    fn get(&mut self, server: &Server, path: &str) -> Answer {
        self.send(server, "GET", path, &[], None)
    }

    fn token(&self) -> String {
        format!("X-CSRF-Token: {}", self.cookies[CSRF])
    }

    fn make_team(&mut self, server: &Server, name: &str, headers: &[&str]) -> u16 {
        self.send(server, "POST", "/api/v1/teams", headers, Some(&json!({"name": name}))).status
    }

    fn id(&self) -> String {
        self.cookies[SESSION].split('.').nth(1).expect("an id").to_owned()
    }
}

fn viewer_key(server: &Server, admin: &str, name: &str) -> String {
    let body = json!({"name": name, "roles": ["viewer"]});
    let (status, made) = server.call("POST", "/api/v1/auth/api-keys", Some(admin), Some(&body));
    assert_eq!(status, 201, "{made}");
    made["key_value"].as_str().expect("a key").to_owned()
}

#[test]
fn sh_01_02_03_16_cookies_are_out_of_reach_of_scripts_plain_http_and_siblings() {
    let server = Server::start();
    let key = server.bootstrap();
    let planted = format!("Cookie: {SESSION}=v1.ses-planted.sk-planted.AAAA");
    let answer = ask(&server, "POST", "/api/v1/auth/session", &[&planted], Some(&json!({"api_key": key})));
    assert_eq!(answer.status, 204);
    let cookies: Vec<&str> = answer.cookies().collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in &cookies {
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        for attribute in ["; Secure", "; Path=/", "; SameSite=Lax", "; Expires="] {
            assert!(cookie.contains(attribute), "{cookie} lacks {attribute}");
        }
        assert!(!cookie.contains("Domain="), "{cookie}");
        assert_eq!(cookie.contains("HttpOnly"), cookie.starts_with(SESSION), "{cookie}");
    }
    let session = answer.cookie(SESSION).expect("a session");
    assert!(session.starts_with("v1.ses-") && !session.contains("planted"), "a fresh id: {session}");
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe-inline"), "{policy}");
    assert!(answer.header("strict-transport-security").is_some());
}

#[test]
fn sh_04_18_20_21_only_our_own_pages_change_things_with_a_session() {
    let server = Server::start();
    let key = server.bootstrap();
    let mut browser = Browser::sign_in(&server, &key);
    let mut other = Browser::sign_in(&server, &key);
    assert_eq!(browser.get(&server, "/api/v1/auth/me").body["actor_id"], "admin");
    assert_eq!(browser.get(&server, "/api/v1/auth/info").body["required"], false);

    let own = format!("Origin: https://localhost:{}", server.port);
    let (good, foreign) = (browser.token(), other.token());
    let elsewhere = ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"];
    let refused: &[&[&str]] = &[
        &[],
        &["X-CSRF-Token: "],
        &["X-CSRF-Token: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
        &[&foreign],
        &elsewhere,
        &[elsewhere[0], elsewhere[1], &good],
        &["Origin: https://evil.example", "Sec-Fetch-Site: same-origin"],
        &[&own],
    ];
    for headers in refused {
        assert_eq!(browser.make_team(&server, "planted", headers), 403, "{headers:?}");
    }
    // A CSRF cookie of the attacker's own making with the same header: the session decides, not the cookie.
    let mut planted = browser.clone();
    planted.cookies.insert(CSRF.to_owned(), "B".repeat(43));
    let double = planted.token();
    assert_eq!(planted.make_team(&server, "planted", &[&double]), 403);
    assert_eq!(server.sql("SELECT count(*) FROM org.teams WHERE name = 'planted'"), "0");

    assert_eq!(browser.make_team(&server, "by-token", &[&good]), 201);
    assert_eq!(browser.make_team(&server, "by-fetch-metadata", &[&own, "Sec-Fetch-Site: same-origin"]), 201);

    // A session comes before a key; a bad cookie lets a key through; without both the cause is told.
    let viewer = viewer_key(&server, &key, "viewer");
    let bearer = format!("Authorization: Bearer {viewer}");
    assert_eq!(browser.send(&server, "GET", "/api/v1/auth/me", &[&bearer], None).body["actor_id"], "admin");
    let as_key = format!("Authorization: Bearer {}", browser.cookies[SESSION]);
    assert_eq!(ask(&server, "GET", "/api/v1/auth/me", &[&as_key], None).status, 401, "a cookie is no key");
    let mut bad = browser.clone();
    bad.cookies.insert(SESSION.to_owned(), format!("{}x", browser.cookies[SESSION]));
    assert_eq!(bad.send(&server, "GET", "/api/v1/auth/me", &[&bearer], None).body["actor_id"], "viewer");
    let answer = bad.get(&server, "/api/v1/auth/me");
    assert_eq!(answer.status, 401);
    let challenge = "Bearer realm=\"certctl\", error=\"invalid_token\", error_description=\"invalid_token\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
    assert_eq!(bad.make_team(&server, "nobody", &[]), 401, "who is nobody is told that first");

    // Others' sessions are not a viewer's business, its own are.
    let mut watcher = Browser::sign_in(&server, &viewer);
    assert_eq!(watcher.get(&server, "/api/v1/auth/sessions").body["total"], 1);
    assert_eq!(watcher.get(&server, "/api/v1/auth/sessions?actor_id=admin").status, 403);
    assert_eq!(watcher.get(&server, "/api/v1/auth/sessions?actor_id=*").status, 403);
    let (token, victim) = (watcher.token(), format!("/api/v1/auth/sessions/{}", other.id()));
    assert_eq!(watcher.send(&server, "DELETE", &victim, &[&token], None).status, 403);
    assert_eq!(watcher.send(&server, "DELETE", "/api/v1/auth/sessions/ses-none", &[&token], None).status, 404);
    assert_eq!(other.get(&server, "/api/v1/auth/me").status, 200);
    let all = browser.get(&server, "/api/v1/auth/sessions?actor_id=*").body;
    assert_eq!((&all["total"], all["sessions"][0]["actor_id"].as_str()), (&json!(3), Some("viewer")), "{all}");
}

#[test]
fn sh_10_11_17_an_ended_session_and_a_captured_token_are_worth_nothing() {
    let server = Server::start();
    let key = server.bootstrap();
    let viewer = viewer_key(&server, &key, "person");
    let (mut first, mut second) = (Browser::sign_in(&server, &viewer), Browser::sign_in(&server, &viewer));
    let mut admin = Browser::sign_in(&server, &key);

    // A change of rights makes tokens captured before worthless; the browser goes on with what the answer brings.
    let captured = second.token();
    let grant = json!({"role_id": "r-operator"});
    let (status, _) = server.call("POST", "/api/v1/auth/keys/person/roles", Some(&key), Some(&grant));
    assert_eq!(status, 204);
    let (before, mut stolen) = (second.id(), second.clone());
    assert_eq!(second.make_team(&server, "captured", &[&captured]), 403);
    assert_ne!(second.id(), before, "the session has another id");
    assert_eq!(stolen.get(&server, "/api/v1/auth/me").status, 200, "requests on their way are served");
    server.sql(&format!("UPDATE iam.sessions SET replaced_at = now() - interval '31 seconds' WHERE id = '{before}'"));
    until(401, Duration::from_secs(3), || stolen.get(&server, "/api/v1/auth/me").status);
    assert_eq!(second.get(&server, "/api/v1/auth/sessions").body["total"], 2, "the old id is no session of its own");
    let fresh = second.token();
    assert_ne!(captured, fresh, "the refusal brought the new one");
    assert_eq!(second.make_team(&server, "recovered", &[&fresh]), 201);

    // Leaving in one tab ends the session for all of them, and changes the tokens of the person's other sessions.
    let mut tab = first.clone();
    assert_eq!(first.send(&server, "POST", "/auth/logout", &["Sec-Fetch-Site: cross-site"], None).status, 403);
    assert_eq!(tab.get(&server, "/api/v1/auth/me").status, 200);
    let left = first.send(&server, "POST", "/auth/logout", &[], None);
    assert_eq!((left.status, first.cookies.len()), (204, 0));
    let answer = tab.get(&server, "/api/v1/auth/me");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some_and(|text| text.contains("\"logged_out\"")));
    assert_eq!(second.make_team(&server, "captured", &[&fresh]), 403);
    assert_eq!(first.send(&server, "POST", "/auth/logout", &[], None).status, 204, "leaving twice is fine");

    // An administrator ends another's session; ending it again is fine.
    let (token, path) = (admin.token(), format!("/api/v1/auth/sessions/{}", second.id()));
    assert_eq!(admin.send(&server, "DELETE", &path, &[&token], None).status, 204);
    assert_eq!(admin.send(&server, "DELETE", &path, &[&token], None).status, 204);
    assert_eq!(admin.send(&server, "DELETE", "/api/v1/auth/sessions/ses-none", &[&token], None).status, 404);
    assert_eq!(second.get(&server, "/api/v1/auth/me").status, 401);

    // All others but the one that asks.
    let mut third = Browser::sign_in(&server, &key);
    assert_eq!(admin.send(&server, "DELETE", "/api/v1/auth/sessions", &[&token], None).status, 400);
    let answer = admin.send(&server, "DELETE", "/api/v1/auth/sessions?except=current", &[&token], None);
    assert_eq!((answer.status, &answer.body["revoked_count"]), (200, &json!(1)));
    assert_eq!(
        (admin.get(&server, "/api/v1/auth/me").status, third.get(&server, "/api/v1/auth/me").status),
        (200, 401)
    );

    // A session ends with the key it stands for.
    let mut last = Browser::sign_in(&server, &viewer);
    assert_eq!(last.get(&server, "/api/v1/auth/me").status, 200);
    let (_, keys) = server.call("GET", "/api/v1/auth/api-keys", Some(&key), None);
    let id = keys["data"].as_array().expect("keys").iter().find(|row| row["name"] == "person").expect("the key");
    let path = format!("/api/v1/auth/api-keys/{}", id["id"].as_str().expect("an id"));
    assert_eq!(server.call("DELETE", &path, Some(&key), None).0, 204);
    assert_eq!(last.get(&server, "/api/v1/auth/me").status, 401);
    let wrong = ask(&server, "POST", "/api/v1/auth/session", &[], Some(&json!({"api_key": viewer})));
    assert_eq!((wrong.status, wrong.cookies().count()), (401, 0));
}

/// Repeats until the answer is the wanted one.
fn until(wanted: u16, limit: Duration, mut ask: impl FnMut() -> u16) -> Duration {
    let started = Instant::now();
    loop {
        let status = ask();
        if status == wanted {
            return started.elapsed();
        }
        assert!(started.elapsed() < limit, "still {status} and not {wanted}");
    }
}

#[test]
fn sh_08_two_servers_agree_on_sessions_and_on_keys() {
    let one = Server::start();
    let two = one.replica();
    let key = one.bootstrap();
    let mut browser = Browser::sign_in(&one, &key);
    assert_eq!(browser.get(&two, "/api/v1/auth/me").status, 200);

    // A rotated key goes on verifying, on both.
    let (token, path) = (browser.token(), "/api/v1/auth/sessions/signing-keys/rotate");
    let done = browser.send(&one, "POST", path, &[&token], Some(&json!({})));
    assert_eq!((done.status, &done.body["ended_sessions"]), (200, &json!(0)), "{}", done.body);
    let mut newer = Browser::sign_in(&one, &key);
    let key_of = |browser: &Browser| browser.cookies[SESSION].split('.').nth(2).expect("a key id").to_owned();
    assert_eq!(Some(key_of(&newer).as_str()), done.body["new_key_id"].as_str());
    assert_ne!(key_of(&browser), key_of(&newer));
    for server in [&one, &two] {
        assert_eq!(
            (browser.get(server, "/api/v1/auth/me").status, newer.get(server, "/api/v1/auth/me").status),
            (200, 200)
        );
    }

    // An end on one is an end on the other within two seconds.
    let (token, path) = (newer.token(), format!("/api/v1/auth/sessions/{}", browser.id()));
    assert_eq!(newer.send(&two, "DELETE", &path, &[&token], None).status, 204);
    until(401, Duration::from_secs(2), || browser.get(&one, "/api/v1/auth/me").status);

    // A key past its retention verifies nothing, and neither does one that leaked.
    let old = Browser::sign_in(&one, &key);
    let (token, path) = (newer.token(), "/api/v1/auth/sessions/signing-keys/rotate");
    let mut saved = newer.clone();
    let done = newer.send(&one, "POST", path, &[&token], Some(&json!({"compromised": true})));
    assert_eq!((done.status, &done.body["ended_sessions"]), (200, &json!(2)), "{}", done.body);
    for server in [&one, &two] {
        until(401, Duration::from_secs(2), || saved.get(server, "/api/v1/auth/me").status);
        until(401, Duration::from_secs(2), || old.clone().get(server, "/api/v1/auth/me").status);
    }
    let mut fresh = Browser::sign_in(&two, &key);
    one.sql(
        "UPDATE iam.session_signing_keys SET created_at = now() - interval '3 days', \
        retired_at = now() - interval '2 days' WHERE retired_at IS NULL",
    );
    for server in [&one, &two] {
        until(401, Duration::from_secs(2), || fresh.get(server, "/api/v1/auth/me").status);
    }
}

#[test]
fn sh_13_14_15_a_session_is_bound_to_where_it_came_from_and_nobody_forges_that() {
    let server = Server::start_with(&[("SESSION_BIND_IP", "true"), ("SESSION_BIND_USER_AGENT", "true")]);
    let key = server.bootstrap();
    let spoof = ["X-Forwarded-For: 198.51.100.7"];
    let mut browser = Browser { cookies: BTreeMap::new(), agent: "browser/1" };
    let answer = browser.send(&server, "POST", "/api/v1/auth/session", &spoof, Some(&json!({"api_key": key})));
    assert_eq!(answer.status, 204);
    let known = server.sql("SELECT ip_address FROM iam.sessions");
    assert!(known == "127.0.0.1" || known == "::1", "{known}");
    assert_eq!(browser.send(&server, "GET", "/api/v1/auth/me", &spoof, None).status, 200);
    browser.agent = "another/2";
    assert_eq!(browser.get(&server, "/api/v1/auth/me").status, 401);
    browser.agent = "";
    assert_eq!(browser.get(&server, "/api/v1/auth/me").status, 401, "a browser that hides is no match");
    browser.agent = "browser/1";
    assert_eq!(browser.get(&server, "/api/v1/auth/me").status, 200, "the session itself goes on");
    server.sql("UPDATE iam.sessions SET ip_address = '192.0.2.1', csrf_epoch = csrf_epoch + 1");
    until(401, Duration::from_secs(3), || browser.get(&server, "/api/v1/auth/me").status);
    let told = server
        .sql("SELECT string_agg(DISTINCT action, ' ' ORDER BY action) FROM audit.events WHERE action LIKE '%mismatch'");
    assert_eq!(told, "auth.session_ip_mismatch auth.session_ua_mismatch");
    assert_eq!(server.sql("SELECT count(*) FROM iam.sessions WHERE revoked_at IS NOT NULL"), "0");

    // Behind a proxy that is believed, the right-most hop that is none counts, whatever the client put before it.
    let server = Server::start_with(&[("TRUSTED_PROXIES", "127.0.0.0/8,::1")]);
    let key = server.bootstrap();
    let chain = ["X-Forwarded-For: 203.0.113.66, 198.51.100.7"];
    let mut browser = Browser { cookies: BTreeMap::new(), agent: "browser/1" };
    browser.send(&server, "POST", "/api/v1/auth/session", &chain, Some(&json!({"api_key": key})));
    assert_eq!(server.sql("SELECT ip_address FROM iam.sessions"), "198.51.100.7");
}

#[test]
fn sh_09_12_time_ends_sessions_and_a_database_that_is_away_ends_none() {
    let server = Server::start_with(&[("SESSION_MAX_PER_USER", "2")]);
    let key = server.bootstrap();
    let mut browser = Browser::sign_in(&server, &key);
    let cause = |answer: &Answer| answer.header("www-authenticate").unwrap_or_default().to_owned();
    let change = |set: &str| {
        server.sql(&format!("UPDATE iam.sessions SET {set}, csrf_epoch = csrf_epoch + 1"));
    };
    change("created_at = now() - interval '2 hours', last_seen_at = now() - interval '61 minutes'");
    until(401, Duration::from_secs(3), || browser.get(&server, "/api/v1/auth/me").status);
    assert!(cause(&browser.get(&server, "/api/v1/auth/me")).contains("\"idle_timeout\""));
    change("last_seen_at = now(), absolute_expires_at = now() - interval '1 second'");
    assert!(cause(&browser.get(&server, "/api/v1/auth/me")).contains("\"absolute_timeout\""));
    change("absolute_expires_at = now() + interval '1 hour'");
    assert_eq!(browser.get(&server, "/api/v1/auth/me").status, 200);

    // The oldest session makes room.
    let mut second = Browser::sign_in(&server, &key);
    let mut third = Browser::sign_in(&server, &key);
    until(401, Duration::from_secs(2), || browser.get(&server, "/api/v1/auth/me").status);
    assert_eq!(
        (second.get(&server, "/api/v1/auth/me").status, third.get(&server, "/api/v1/auth/me").status),
        (200, 200)
    );

    // Locking the table is a database that does not answer for sessions: a 503 and never a 401.
    let mut lock = server.psql();
    lock.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut held = lock.spawn().expect("psql runs");
    {
        use std::io::{BufRead as _, BufReader, Write as _};
        let stdin = held.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"BEGIN; LOCK TABLE iam.sessions; SELECT 'locked';\n").expect("psql reads");
        let mut line = String::new();
        BufReader::new(held.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("psql answers");
        assert_eq!(line.trim(), "locked");
    }
    // What was found out a moment ago may still be believed; a session nobody looked at lately must be looked up.
    let mut fresh = third.clone();
    let answer = loop {
        let answer = fresh.get(&server, "/api/v1/auth/me");
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.body);
    drop(held.stdin.take());
    held.wait().expect("psql ends");
    until(200, Duration::from_secs(10), || fresh.get(&server, "/api/v1/auth/me").status);
}

#[test]
fn sh_05_no_operation_that_reads_changes_anything() {
    let server = Server::start();
    let key = server.bootstrap();
    let (_, document) = server.call("GET", "/api/v1/openapi.json", None, None);
    let mut browser = Browser::sign_in(&server, &key);
    // The trail shows every change; what reading leaves there is that somebody looked.
    let looked = "('auth.runtime_config_read','auth.user_list','auth.oidc_jwks_status_read','cert_export_pem','audit.export','certificate_retrieved')";
    let count = || server.sql(&format!("SELECT count(*) FROM audit.events WHERE action NOT IN {looked}"));
    let before = count();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        if operations.get("get").is_some() && !path.starts_with("/auth/oidc") {
            let concrete = path.replace("{index:.*}", "000").replace(['{', '}'], "");
            let status = browser.get(&server, &concrete).status;
            assert!(status != 0 && status < 500, "{path}: {status}");
        }
    }
    assert_eq!(count(), before);
}

#[test]
fn sessions_are_listed_and_ended_from_the_command_line() {
    let server = Server::start();
    let cli = Cli { server: &server, key: server.bootstrap() };
    let viewer = viewer_key(&server, &cli.key, "person");
    let (mut own, mut others) = (Browser::sign_in(&server, &cli.key), Browser::sign_in(&server, &viewer));
    assert_eq!(cli.json("sessions list")["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(cli.json("sessions list --actor-id *")["data"].as_array().map(Vec::len), Some(2));
    let id = others.id();
    assert!(cli.ok(&format!("sessions revoke {id} --dry-run")).contains("would end this session"));
    assert_eq!(others.get(&server, "/api/v1/auth/me").status, 200);
    cli.ok(&format!("sessions revoke {id} --yes"));
    assert_eq!(others.get(&server, "/api/v1/auth/me").status, 401);
    assert_eq!(cli.exit("sessions revoke ses-none --yes"), Some(7));
    assert!(cli.ok("sessions rotate-key --yes").contains("signs from now on"));
    assert_eq!(own.get(&server, "/api/v1/auth/me").status, 200);
    assert!(cli.ok("sessions revoke-others --yes").contains("1 sessions ended"));
    assert_eq!(own.get(&server, "/api/v1/auth/me").status, 401);
}

#[test]
fn sh_19_whoever_was_switched_off_is_out_even_if_the_session_was_not_ended() {
    let server = Server::start();
    let viewer = viewer_key(&server, &server.bootstrap(), "person");
    let mut browser = Browser::sign_in(&server, &viewer);
    assert_eq!(browser.get(&server, "/api/v1/auth/me").status, 200);
    server.sql("UPDATE iam.principals SET disabled_at = now() WHERE id = 'person'");
    until(401, Duration::from_secs(2), || browser.get(&server, "/api/v1/auth/me").status);
    let answer = browser.get(&server, "/api/v1/auth/me");
    assert!(answer.header("www-authenticate").is_some_and(|text| text.contains("\"deactivated\"")));
    assert_eq!(server.sql("SELECT count(*) FROM iam.sessions WHERE revoked_at IS NULL"), "1");
}
