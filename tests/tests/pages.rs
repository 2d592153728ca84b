//! The sign-in pages without script, as curl sees them.

use super::Server;
use super::breakglass_host::told;

const PASSWORD: &str = "correct horse battery";
const OWN: [&str; 2] = ["-H", "Sec-Fetch-Site: same-origin"];

/// Status, head in lower case, and text of an answer.
struct Answer {
    status: u16,
    head: String,
    text: String,
}

fn ask(server: &Server, path: &str, arguments: &[&str]) -> Answer {
    let url = format!("https://localhost:{}{path}", server.port);
    let output = server.curl(&[&["-i", "--http1.1", &url][..], arguments].concat());
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, text) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_lowercase(), text: text.to_owned() }
}

impl Answer {
    fn location(&self) -> &str {
        self.head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default()
    }

    fn cookies(&self) -> usize {
        self.head.matches("set-cookie: __host-certctl_").count()
    }
}

#[test]
fn an_api_key_is_taken_by_a_form_of_the_own_page_and_of_no_other() {
    let server = Server::start();
    let key = server.bootstrap();
    let field = format!("api_key={key}");
    let send = |more: &[&str], to: &str| {
        let to = format!("return_to={to}");
        ask(&server, "/auth/session-form", &[&["--data-urlencode", &to, "--data-urlencode", &field][..], more].concat())
    };
    let done = send(&OWN, "/api/v1/docs?a=b");
    assert_eq!((done.status, done.location(), done.cookies()), (303, "/api/v1/docs?a=b", 2), "{}", done.head);
    for evil in ["https://evil.example/", "//evil.example", "/\\evil.example", "/login?x"] {
        assert_eq!(send(&OWN, evil).location(), "/", "{evil}");
    }
    let origin = format!("Origin: https://localhost:{}", server.port);
    assert_eq!(send(&["-H", &origin], "/").status, 303, "a browser from before Fetch Metadata");
    for foreign in [
        &[][..],
        &["-H", "Sec-Fetch-Site: cross-site"],
        &["-H", "Sec-Fetch-Site: same-site"],
        &["-H", "Origin: https://evil.example"],
        &["-H", "Origin: null"],
    ] {
        let refused = send(foreign, "/");
        assert_eq!((refused.status, refused.cookies()), (403, 0), "{foreign:?}");
        assert!(refused.text.contains("was not sent by this page"), "{}", refused.text);
    }
    let wrong = ask(&server, "/auth/session-form", &["-d", "api_key=%22%3E%3Cscript%3E", "-H", OWN[1]]);
    assert_eq!((wrong.status, wrong.cookies()), (401, 0));
    assert!(wrong.text.contains("role=\"alert\"") && !wrong.text.contains("<script>"), "{}", wrong.text);
    let kind = ["-H", "Content-Type: text/plain", "-d", "x", "-H", OWN[1]];
    assert_eq!(ask(&server, "/auth/session-form", &kind).status, 415);
    let long = format!("api_key={}", "x".repeat(9000));
    assert_eq!(ask(&server, "/auth/session-form", &["-d", &long, "-H", OWN[1]]).status, 413);
}

#[test]
fn pages_carry_the_strictest_policies_and_send_whoever_is_not_signed_in_on() {
    let server = Server::start();
    let page = ask(&server, "/login", &[]);
    assert_eq!(page.status, 200);
    for line in [
        "content-type: text/html; charset=utf-8",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "x-frame-options: deny",
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ] {
        assert!(page.head.contains(line), "{line} is not in {}", page.head);
    }
    assert!(!page.head.contains("unsafe-inline"));
    for (path, kind) in [("/login/page.css", "text/css"), ("/login/page.js", "text/javascript")] {
        let file = ask(&server, path, &[]);
        assert_eq!((file.status, file.head.contains(kind)), (200, true), "{path}");
    }
    assert_eq!(ask(&server, "/", &[]).location(), "/login");
    let stale = ["-b", "__Host-certctl_session=v1.ses-x.sk-x.AAAA"];
    assert_eq!(ask(&server, "/", &stale).location(), "/login?session_expired=invalid_token");
}

#[test]
fn an_emergency_account_signs_in_by_a_form_while_the_window_is_open() {
    let server = Server::start_with(&[("BREAKGLASS_ENABLED", "true"), ("BREAKGLASS_BOOT_ACTIVATION", "0")]);
    told(&server, &["create", "drill-1", "--role", "admin"], PASSWORD);
    let send = |password: &str, more: &[&str]| {
        let password = format!("password={password}");
        let fields = ["--data-urlencode", "actor_id=drill-1", "--data-urlencode", &password];
        ask(&server, "/auth/breakglass/login-form", &[&fields[..], more].concat())
    };
    let shut = send(PASSWORD, &OWN);
    assert_eq!((shut.status, shut.cookies()), (404, 0));
    assert!(!ask(&server, "/login?breakglass", &[]).text.contains("emergency"));
    told(&server, &["enable", "--for", "1h"], "");
    assert!(ask(&server, "/login?breakglass", &[]).text.contains("id=\"breakglass\""));
    assert!(!ask(&server, "/login", &[]).text.contains("emergency"));
    assert_eq!(send(PASSWORD, &["-H", "Sec-Fetch-Site: cross-site"]).status, 403);
    let wrong = send("wrong horse battery", &OWN);
    assert_eq!((wrong.status, wrong.cookies()), (401, 0));
    assert!(wrong.text.contains("account or the password is wrong"), "{}", wrong.text);
    let done = send(PASSWORD, &OWN);
    assert_eq!((done.status, done.location(), done.cookies()), (303, "/", 2), "{}", done.head);
    let log = "SELECT string_agg(action, ' ' ORDER BY at) FROM audit.events WHERE action LIKE 'auth.breakglass_login%'";
    assert_eq!(server.sql(log), "auth.breakglass_login_failed auth.breakglass_login_succeeded");

    told(&server, &["disable"], "");
    assert_eq!(send(PASSWORD, &OWN).status, 404, "closed at once");
}
