//! The edge's defences seen from outside: limits, origins, headers, bodies.

use super::{Server, TOKEN, json};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Child, Command};

const CONSOLE: &str = "https://console.example.com";
/// curl comes from the loopback address and speaks for others as a proxy would.
pub(super) const PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.0/8,::1");

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.header(name).parse().unwrap_or_else(|_| panic!("{name} is no number in {:?}", self.headers))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

fn parse(output: &[u8]) -> Answer {
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").expect("headers end");
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let place = headers.entry(name.to_ascii_lowercase()).or_default();
        if !place.is_empty() {
            place.push_str(", ");
        }
        place.push_str(value.trim());
    }
    Answer { status, headers, body: output[end + 4..].to_vec() }
}

/// One request over the real listener: `fetch(&server, "/health", &["-H", "Origin: …"])`.
fn fetch(server: &Server, path: &str, arguments: &[&str]) -> Answer {
    let url = format!("https://localhost:{}{path}", server.port);
    let mut all = vec!["-i", "--http1.1", "-H", "Expect:", &url];
    all.extend(arguments);
    let output = server.curl(&all);
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    parse(&output.stdout)
}

/// The same from another address and with a key.
fn fetch_as(server: &Server, address: &str, key: &str, path: &str) -> Answer {
    let (from, credential) = (format!("X-Forwarded-For: {address}"), format!("Authorization: Bearer {key}"));
    fetch(server, path, &["-H", &from, "-H", &credential])
}

fn bootstrap_attempt(server: &Server, address: &str, token: &str) -> Answer {
    let body = json!({"token": token, "actor_name": "admin"}).to_string();
    let from = format!("X-Forwarded-For: {address}");
    fetch(server, "/api/v1/auth/bootstrap", &["-H", &from, "-H", "Content-Type: application/json", "-d", &body])
}

fn new_key(server: &Server, admin: &str, name: &str) -> String {
    let body = json!({"name": name, "roles": ["r-viewer"]});
    let (status, made) = server.call("POST", "/api/v1/auth/api-keys", Some(admin), Some(&body));
    assert_eq!(status, 201, "{made}");
    made["key_value"].as_str().expect("a key").to_owned()
}

#[test]
fn ten_wrong_keys_a_minute_close_the_door_for_that_address_only() {
    let server = Server::start_with(&[PROXY]);
    let admin = server.bootstrap();
    let unused = new_key(&server, &admin, "unused");
    let attacker = "198.51.100.7";
    for attempt in 0..10 {
        let answer = fetch_as(&server, attacker, &format!("cctl_000000000000_guess{attempt}"), "/api/v1/auth/me");
        assert_eq!(answer.status, 401, "attempt {attempt}");
    }
    let refused = fetch_as(&server, attacker, "cctl_000000000000_one_more", "/api/v1/auth/me");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("rate_limited")));
    assert!((1..=6).contains(&refused.number("retry-after")), "{:?}", refused.headers);
    assert_eq!((refused.number("ratelimit-limit"), refused.number("ratelimit-remaining")), (10, 0));
    assert!((55..=60).contains(&refused.number("ratelimit-reset")), "{:?}", refused.headers);
    // Not even a right guess is told apart from here, and no other address of the API tells more.
    assert_eq!(fetch_as(&server, attacker, &unused, "/api/v1/auth/me").status, 429);
    assert_eq!(fetch_as(&server, attacker, "cctl_000000000000_again", "/api/v1/nothing").status, 429);
    // Whoever is already known here goes on working, and so does everybody elsewhere.
    assert_eq!(fetch_as(&server, attacker, &admin, "/api/v1/auth/me").status, 200);
    assert_eq!(fetch_as(&server, "198.51.100.8", &unused, "/api/v1/auth/me").status, 200);
    let (_, trail) = server.call("GET", "/api/v1/audit?action=auth.rate_limited", Some(&admin), None);
    assert_eq!(trail["total"], 1, "three refusals, one event: {trail}");
    assert_eq!(
        json!([trail["data"][0]["resource_id"], trail["data"][0]["details"]["source"]]),
        json!(["sign_in", attacker])
    );
    let (_, failures) = server.call("GET", "/api/v1/audit?action=auth.authentication_failed", Some(&admin), None);
    assert_eq!(failures["total"], 10, "the trail does not grow with the guesses: {failures}");
}

/// Asks without end with one key from one address, until killed.
fn flood(server: &Server, key: &str) -> Child {
    Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "--cacert"])
        .arg(server.dir.path().join("data/tls/ca.crt"))
        .args(["-H", &format!("Authorization: Bearer {key}"), "-H", "X-Forwarded-For: 192.0.2.1"])
        .arg(format!("https://localhost:{}/api/v1/auth/me#[1-1000000]", server.port))
        .spawn()
        .expect("curl runs")
}

#[test]
fn many_hosts_enrol_from_one_address_and_guesses_at_the_token_are_counted() {
    let server = Server::start_with(&[PROXY]);
    let admin = server.bootstrap();
    let enrol = |address: &str, token: &str, n: usize| {
        let body = json!({"name": format!("host-{n}"), "hostname": format!("host-{n}")}).to_string();
        let (from, bearer) = (format!("X-Forwarded-For: {address}"), format!("Authorization: Bearer {token}"));
        let headers = ["-H", &from, "-H", &bearer, "-H", "Content-Type: application/json", "-d", &body];
        fetch(&server, "/api/v1/agents", &headers).status
    };
    let token = "fedcba9876543210fedcba9876543210";
    let statuses: Vec<u16> = (0..14).map(|n| enrol("198.51.100.1", token, n)).collect();
    assert_eq!(statuses, [201; 14], "the token is no failed sign-in");
    let (_, failures) = server.call("GET", "/api/v1/audit?action=auth.authentication_failed", Some(&admin), None);
    assert_eq!(failures["total"], 0, "{failures}");
    let statuses: Vec<u16> = (0..12).map(|n| enrol("198.51.100.2", "a-guess", 100 + n)).collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    assert_eq!(enrol("198.51.100.2", token, 200), 429, "not even the right one is looked at then");
    assert_eq!(enrol("198.51.100.1", token, 201), 201);
}

#[test]
fn a_principal_has_one_budget_wherever_it_calls_from_and_others_keep_theirs() {
    let server = Server::start_with(&[
        PROXY,
        ("RATE_LIMIT_RPS", "10000"),
        ("RATE_LIMIT_BURST", "10000"),
        ("RATE_LIMIT_PER_USER_RPS", "1"),
        ("RATE_LIMIT_PER_USER_BURST", "40"),
    ]);
    let admin = server.bootstrap();
    let (busy, idle) = (new_key(&server, &admin, "busy"), new_key(&server, &admin, "idle"));
    let first = fetch_as(&server, "192.0.2.1", &busy, "/api/v1/auth/me");
    assert_eq!((first.status, first.number("ratelimit-limit")), (200, 40), "{:?}", first.headers);
    // A flood from one address takes every unit as it comes back. Another address asks fewer times than the burst, so
    // that a budget of its own would never run out.
    let mut flood = flood(&server, &busy);
    let refused = (0..30).map(|_| fetch_as(&server, "192.0.2.2", &busy, "/api/v1/auth/me"));
    let refused = refused.into_iter().find(|answer| answer.status == 429);
    flood.kill().and_then(|()| flood.wait()).expect("the flood ends");
    let refused = refused.expect("another address is no way out");
    assert_eq!(refused.number("retry-after"), 1, "{:?}", refused.headers);
    assert_eq!(fetch_as(&server, "192.0.2.2", &idle, "/api/v1/auth/me").status, 200);
}

#[test]
fn an_address_has_one_budget_before_anybody_signs_in_and_forged_hops_do_not_help() {
    let server = Server::start_with(&[("RATE_LIMIT_RPS", "1"), ("RATE_LIMIT_BURST", "5")]);
    let statuses: Vec<u16> = (0..12)
        .map(|n| {
            let forged = format!("X-Forwarded-For: 203.0.113.{n}");
            fetch(&server, "/api/v1/version", &["-H", &forged]).status
        })
        .collect();
    assert!(statuses[..5].iter().all(|status| *status == 200) && statuses.contains(&429), "{statuses:?}");
    let refused = (0..10).map(|_| fetch(&server, "/api/v1/auth/me", &[])).find(|answer| answer.status == 429);
    assert_eq!(refused.expect("a refusal").number("retry-after"), 1);
    assert_eq!(fetch(&server, "/health", &[]).status, 200, "probes are not counted");
}

#[test]
fn the_right_most_hop_that_is_no_proxy_is_the_client() {
    let server = Server::start_with(&[PROXY, ("RATE_LIMIT_RPS", "1"), ("RATE_LIMIT_BURST", "3")]);
    let from = |hops: &str| fetch(&server, "/api/v1/version", &["-H", &format!("X-Forwarded-For: {hops}")]).status;
    let mut seen: Vec<u16> = (0..8).map(|n| from(&format!("10.9.9.{n}, 198.51.100.1, 127.0.0.5"))).collect();
    assert!(seen.contains(&429), "the first hop is the client's own word: {seen:?}");
    seen = (0..3).map(|n| from(&format!("198.51.100.1, 198.51.100.{}", 10 + n))).collect();
    assert_eq!(seen, [200, 200, 200]);
}

#[test]
fn ocsp_over_its_limit_says_try_later_in_its_own_words() {
    let server = Server::start_with(&[("OCSP_RATE_LIMIT_PER_IP_MIN", "2")]);
    let ask = || {
        let request = ["-H", "Content-Type: application/ocsp-request", "--data-binary", "junk"];
        fetch(&server, "/.well-known/pki/ocsp/iss-local", &request)
    };
    assert_eq!((ask().status, ask().status), (200, 200));
    let limited = ask();
    // OCSPResponse { responseStatus tryLater(3) }, RFC 6960 section 4.2.1.
    assert_eq!((limited.status, limited.body.as_slice()), (200, &[0x30, 3, 0x0a, 1, 3][..]));
    assert_eq!(limited.header("content-type"), "application/ocsp-response");
    assert!((1..=30).contains(&limited.number("retry-after")), "{:?}", limited.headers);
}

#[test]
fn limits_in_postgresql_hold_across_replicas_and_each_fails_as_it_declares() {
    let shared = ("RATE_LIMIT_BACKEND", "postgres");
    // A busy machine must not make this a test of the budget; that one is beside the adapter.
    let budget = ("RATE_LIMIT_BUDGET", "10s");
    let first = Server::start_with(&[PROXY, shared, budget]);
    let second = first.replica();

    let attempts: Vec<u16> = (0..5)
        .map(|n| bootstrap_attempt(if n % 2 == 0 { &first } else { &second }, "198.51.100.7", "wrong").status)
        .collect();
    assert_eq!(attempts, [401; 5]);
    for server in [&first, &second] {
        let refused = bootstrap_attempt(server, "198.51.100.7", TOKEN);
        assert_eq!(refused.status, 429, "five a minute over both");
        assert!((1..=12).contains(&refused.number("retry-after")), "{:?}", refused.headers);
    }
    let counted = first.sql("SELECT count(*) FROM platform.rate_limits WHERE limiter = 'bootstrap'");
    assert_eq!(counted, "1");

    first.sql("ALTER TABLE platform.rate_limits RENAME TO elsewhere");
    let refused = bootstrap_attempt(&second, "198.51.100.8", TOKEN);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("rate_limit_unavailable")));
    assert_eq!(fetch(&first, "/api/v1/version", &[]).status, 200, "the general limit passes without its count");
    let wrong = fetch_as(&first, "198.51.100.9", "cctl_000000000000_guess", "/api/v1/auth/me");
    assert_eq!(wrong.status, 503, "a guess that can't be counted is not looked at");
    first.sql("ALTER TABLE platform.elsewhere RENAME TO rate_limits");
    assert_eq!(bootstrap_attempt(&second, "198.51.100.8", TOKEN).status, 201);
}

#[test]
fn pages_of_listed_origins_may_call_with_credentials_and_others_may_not() {
    let server = Server::start_with(&[("CORS_ORIGINS", CONSOLE)]);
    let preflight = |origin: &str, path: &str| {
        let origin = format!("Origin: {origin}");
        fetch(
            &server,
            path,
            &[
                "-X",
                "OPTIONS",
                "-H",
                &origin,
                "-H",
                "Access-Control-Request-Method: PUT",
                "-H",
                "Access-Control-Request-Headers: if-match",
            ],
        )
    };
    let leave = preflight(CONSOLE, "/api/v1/teams");
    assert_eq!((leave.status, leave.header("access-control-allow-origin")), (204, CONSOLE));
    assert_eq!(leave.header("access-control-allow-credentials"), "true");
    for name in ["X-CSRF-Token", "If-None-Match", "If-Match", "Idempotency-Key", "Authorization"] {
        assert!(leave.header("access-control-allow-headers").contains(name), "{name}");
    }
    let stranger = preflight("https://evil.example", "/api/v1/teams");
    assert_eq!((stranger.status, stranger.json()["code"].as_str()), (403, Some("origin_not_allowed")));
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
    assert!(!stranger.header("content-security-policy").is_empty(), "refusals carry the headers too");
    let probe = preflight("https://evil.example", "/health");
    assert_eq!((probe.status, probe.header("access-control-allow-origin")), (204, "*"));
    assert!(!probe.headers.contains_key("access-control-allow-credentials"));

    let called = fetch(&server, "/api/v1/auth/me", &["-H", &format!("Origin: {CONSOLE}")]);
    assert_eq!((called.status, called.header("access-control-allow-origin")), (401, CONSOLE));
    assert_eq!(called.header("access-control-expose-headers"), "ETag, X-Request-ID, Retry-After, X-CSRF-Token");
    assert!(called.header("vary").contains("Origin"));
    let called = fetch(&server, "/api/v1/auth/me", &["-H", "Origin: https://evil.example"]);
    assert!(!called.headers.contains_key("access-control-allow-origin"));
    for probe in ["/health", "/ready", "/api/v1/version", "/api/v1/auth/info"] {
        assert_eq!(fetch(&server, probe, &[]).header("access-control-allow-origin"), "*", "{probe}");
    }
    assert_eq!(fetch(&server, "/health", &["-X", "OPTIONS"]).status, 405, "no preflight, no blanket 204");
}

#[test]
fn every_answer_carries_the_security_headers() {
    let pki = super::free_port();
    let listen = format!("127.0.0.1:{pki}");
    let server = Server::start_with(&[("PKI_HTTP_LISTEN", &listen), ("MAX_BODY_SIZE", "2000")]);
    let admin = server.bootstrap();
    let credential = format!("Authorization: Bearer {admin}");
    let long = "x".repeat(3000);
    let answers = [
        (200, fetch(&server, "/health", &[])),
        (200, fetch(&server, "/api/v1/docs", &[])),
        (200, fetch(&server, "/api/v1/teams", &["-H", &credential])),
        (401, fetch(&server, "/api/v1/teams", &[])),
        (404, fetch(&server, "/nowhere", &[])),
        (404, fetch(&server, "/api/v1/nothing", &["-H", &credential])),
        (405, fetch(&server, "/health", &["-X", "DELETE"])),
        (
            413,
            fetch(&server, "/api/v1/teams", &["-H", &credential, "-H", "Content-Type: application/json", "-d", &long]),
        ),
    ];
    for (status, answer) in &answers {
        assert_eq!(answer.status, *status, "{}", answer.json());
        let policy = answer.header("content-security-policy");
        for rule in [
            "default-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "object-src 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(rule), "{status}: {rule} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{status}");
        }
        assert!(answer.header("permissions-policy").contains("camera=()"), "{status}");
        assert_eq!(answer.header("x-request-id").len(), 36, "{status}: a UUID");
    }
    // The page's one style is named by its hash, so that browsers show it and nothing injected beside it.
    let page = String::from_utf8_lossy(&answers[1].1.body).into_owned();
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
    std::fs::write(server.dir.path().join("style"), style).expect("written");
    let digest = format!("openssl dgst -sha256 -binary {}/style | openssl base64 -A", server.dir.path().display());
    let digest = Command::new("sh").args(["-c", &digest]).output().expect("openssl runs");
    let hash = String::from_utf8_lossy(&digest.stdout).into_owned();
    assert!(answers[1].1.header("content-security-policy").contains(&format!("'sha256-{hash}'")), "{hash}");

    // A browser must not heed HSTS that came in the clear (RFC 6797 section 7.2), so it is not sent.
    let plain = Command::new("curl").args(["-sSi", &format!("http://{listen}/nowhere")]).output().expect("curl runs");
    let plain = parse(&plain.stdout);
    assert_eq!((plain.status, plain.header("x-frame-options")), (404, "DENY"));
    assert!(!plain.headers.contains_key("strict-transport-security"));
}

#[test]
fn hsts_is_what_the_operator_says() {
    let server = Server::start_with(&[("SERVER_HSTS_MAX_AGE", "1h"), ("SERVER_HSTS_SUBDOMAINS", "false")]);
    assert_eq!(fetch(&server, "/health", &[]).header("strict-transport-security"), "max-age=3600");
}

#[test]
fn only_a_trusted_proxy_names_the_request() {
    let mut server = Server::start_with(&[PROXY]);
    let named = |server: &Server, id: &str| {
        fetch(server, "/health", &["-H", &format!("X-Request-ID: {id}")]).header("x-request-id").to_owned()
    };
    assert_eq!(named(&server, "edge-proxy_0001.a"), "edge-proxy_0001.a");
    for bad in ["short", "has spaces in it", &"a".repeat(65)] {
        assert_ne!(named(&server, bad), bad);
    }
    assert_ne!(named(&server, "first-12345"), named(&server, "second-12345"));
    server.settings.clear();
    server.signal("-TERM");
    server.child.wait().expect("it ends");
    server.restart();
    assert_ne!(named(&server, "edge-proxy_0001.a"), "edge-proxy_0001.a");
}

#[test]
fn a_body_over_the_limit_is_413_however_it_comes() {
    let server = Server::start_with(&[("MAX_BODY_SIZE", "20000")]);
    let admin = server.bootstrap();
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(30_000));
    let credential = format!("Authorization: Bearer {admin}");
    let json_type = "Content-Type: application/json";
    for more in [&[][..], &["-H", "Transfer-Encoding: chunked"]] {
        let mut arguments = vec!["-H", &credential, "-H", json_type, "-d", &long];
        arguments.extend(more);
        let answer = fetch(&server, "/api/v1/teams", &arguments);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")), "{more:?}");
        // The bootstrap takes less than others.
        let medium = format!(r#"{{"token":"{}","actor_name":"admin"}}"#, "x".repeat(5_000));
        let mut arguments = vec!["-H", json_type, "-d", &medium];
        arguments.extend(more);
        assert_eq!(fetch(&server, "/api/v1/auth/bootstrap", &arguments).status, 413, "{more:?}");
    }
    let (_, teams) = server.call("GET", "/api/v1/teams", Some(&admin), None);
    assert_eq!(teams["total"], 0, "{teams}");
}
