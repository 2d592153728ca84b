//! Headless Chromium on the real pages of the real server, driven through WebDriver (W3C WebDriver Level 2); a virtual
//! authenticator (W3C Web Authentication Level 3, section 11) stands for the security key.

use super::breakglass_host::told;
use super::{Server, Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The key under which WebDriver names elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const PASSWORD: &str = "correct horse battery";

struct Browser {
    driver: Child,
    base: String,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; the driver then goes without leaving it behind.
        self.send("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// SHA-256 of the server's public key: Chromium then takes its certificate as valid, and so as fit for security keys.
fn public_key_hash(server: &Server) -> String {
    let script = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary \
                  | openssl base64 -A";
    let certificate = server.dir.path().join("data/tls/server.crt");
    let output = Command::new("sh").args(["-c", script]).arg(certificate).output().expect("openssl runs");
    String::from_utf8(output.stdout).expect("text")
}

impl Browser {
    fn start(server: &Server) -> Self {
        let profile = tempfile::Builder::new().prefix("cc").tempdir().expect("a temporary folder");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs");
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = loop {
            let line = lines.next().expect("chromedriver says its port").expect("text");
            if let Some(rest) = line.split("successfully on port ").nth(1) {
                break rest.trim_end_matches('.').to_owned();
            }
        };
        let arguments = json!([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            format!("--user-data-dir={}", profile.path().join("profile").display()),
            format!("--ignore-certificate-errors-spki-list={}", public_key_hash(server)),
        ]);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments},
        }}});
        let mut browser = Self { driver, base: format!("http://127.0.0.1:{port}/session"), _profile: profile };
        let made = browser.send("POST", "", &wanted);
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        browser.base = format!("{}/{id}", browser.base);
        browser
    }

    /// A command; gives its value.
    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.base);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "60", "-X", method, &url]);
        let text = body.to_string();
        if !body.is_null() {
            curl.args(["-H", "Content-Type: application/json", "-d", &text]);
        }
        let output = curl.output().expect("curl runs");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        answer["value"].clone()
    }

    fn visit(&self, server: &Server, path: &str) {
        let url = format!("https://localhost:{}{path}", server.port);
        let value = self.send("POST", "/url", &json!({"url": url}));
        assert!(value.is_null(), "{url}: {value}");
    }

    fn script(&self, script: &str) -> Value {
        self.send("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until the condition, as JavaScript, holds.
    fn until(&self, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.script(&format!("return Boolean({condition})")) != json!(true) {
            let page = self.script("return location.href + ' ' + document.body.innerText");
            assert!(Instant::now() < deadline, "not in time: {condition}; at {page}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page of this path is there.
    fn arrives(&self, path: &str) {
        self.until(&format!("location.pathname + location.search === {path:?} && document.readyState === 'complete'"));
    }

    fn element(&self, selector: &str) -> String {
        let found = self.send("POST", "/element", &json!({"using": "css selector", "value": selector}));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}")).to_owned()
    }

    fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.send("POST", &format!("/element/{element}/clear"), &json!({}));
        let done = self.send("POST", &format!("/element/{element}/value"), &json!({"text": text}));
        assert!(done.is_null(), "{selector}: {done}");
    }

    fn click(&self, selector: &str) {
        let element = self.element(selector);
        let done = self.send("POST", &format!("/element/{element}/click"), &json!({}));
        assert!(done.is_null(), "{selector}: {done}");
    }

    fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Plugs a security key in; gives its id.
    fn plug_in(&self) -> String {
        let key = json!({
            "protocol": "ctap2", "transport": "usb", "hasResidentKey": false, "hasUserVerification": true,
            "isUserVerified": true, "isUserConsenting": true,
        });
        let made = self.send("POST", "/webauthn/authenticator", &key);
        made.as_str().unwrap_or_else(|| panic!("no authenticator: {made}")).to_owned()
    }

    fn pull_out(&self, key: &str) {
        self.send("DELETE", &format!("/webauthn/authenticator/{key}"), &Value::Null);
    }

    fn sign_in_as(&self, server: &Server, account: &str) {
        self.visit(server, "/login?breakglass");
        self.fill("#actor_id", account);
        self.fill("#password", PASSWORD);
        self.click("#breakglass button");
    }
}

/// Every field has a label, nothing but our own files runs, and nothing is named twice.
fn sound_page(browser: &Browser) {
    for (rule, script) in [
        (
            "every field has a label",
            "[...document.querySelectorAll('input:not([type=hidden])')].every((i) => i.labels.length === 1)",
        ),
        ("no script within the page", "document.querySelectorAll('script:not([src])').length === 0"),
        ("no style within the page", "document.querySelectorAll('style, [style]').length === 0"),
        ("one first heading", "document.querySelectorAll('h1').length === 1"),
        ("a language", "document.documentElement.lang === 'en'"),
        (
            "ids once",
            "[...document.querySelectorAll('[id]')].every((e) => document.querySelectorAll('#' + e.id).length === 1)",
        ),
        ("the style is applied", "getComputedStyle(document.querySelector('main')).borderTopStyle === 'solid'"),
    ] {
        assert_eq!(browser.script(&format!("return {script}")), json!(true), "{rule}: {}", browser.text());
    }
}

#[test]
fn a_browser_signs_in_with_an_api_key_and_out_again() {
    let server = Server::start();
    let key = server.bootstrap();
    let browser = Browser::start(&server);
    browser.visit(&server, "/");
    browser.arrives("/login");
    sound_page(&browser);
    assert!(!browser.text().contains("emergency"), "nothing tells of emergency accounts");

    browser.fill("#api_key", "nobodys-key-0123456789");
    browser.click("#api-key button");
    browser.until("document.querySelector('#notice[role=alert]')");
    assert!(browser.text().contains("not an API key of this server"), "{}", browser.text());
    sound_page(&browser);

    browser.fill("#api_key", &key);
    browser.click("#api-key button");
    browser.arrives("/");
    assert_eq!(browser.script("return document.querySelector('#actor').innerText"), json!("admin"));
    sound_page(&browser);
    let readable = browser.script("return document.cookie");
    assert!(!readable.to_string().contains("certctl_session"), "scripts don't reach the session: {readable}");
    browser.visit(&server, "/");
    browser.arrives("/");
    browser.visit(&server, "/login?return_to=%2Fapi%2Fv1%2Fdocs");
    browser.arrives("/api/v1/docs");

    browser.visit(&server, "/");
    browser.click("#logout button");
    browser.arrives("/login?signed_out=1");
    assert!(browser.text().contains("You are signed out."), "{}", browser.text());
    browser.visit(&server, "/");
    browser.arrives("/login");
    assert_eq!(server.sql("SELECT string_agg(way || ' ' || revoked_reason, ',') FROM iam.sessions"), "api_key logout");
}

#[test]
fn a_browser_uses_an_emergency_account_and_its_security_key() {
    let server = Server::start_with(&[
        ("BREAKGLASS_ENABLED", "true"),
        ("BREAKGLASS_BOOT_ACTIVATION", "0"),
        ("SERVER_EXTERNAL_URL", "https://localhost:{port}"),
    ]);
    told(&server, &["create", "drill-1", "--role", "admin"], PASSWORD);
    let browser = Browser::start(&server);
    browser.visit(&server, "/login?breakglass");
    assert!(!browser.text().contains("emergency"), "the form is there only while it works");
    told(&server, &["enable", "--for", "1h"], "");
    browser.visit(&server, "/login");
    assert!(!browser.text().contains("emergency"), "and only for those who ask");

    browser.sign_in_as(&server, "nobody");
    browser.until("!document.querySelector('#breakglass [role=alert]').hidden");
    assert!(browser.text().contains("The account or the password is wrong"), "{}", browser.text());
    sound_page(&browser);
    browser.sign_in_as(&server, "drill-1");
    browser.arrives("/");
    assert!(browser.text().contains("You are signed in with an emergency account"), "{}", browser.text());
    sound_page(&browser);

    let key = browser.plug_in();
    browser.fill("#key_name", "Blue key");
    browser.click("#register-key button");
    browser.until("document.querySelector('#key-list')");
    assert!(browser.text().contains("Blue key"), "{}", browser.text());
    browser.click("#logout button");
    browser.arrives("/login?signed_out=1");

    browser.sign_in_as(&server, "drill-1");
    browser.arrives("/");
    assert_eq!(browser.script("return document.querySelector('#actor').innerText"), json!("drill-1"));
    let factors = "SELECT string_agg(details->>'second_factor', ',' ORDER BY at) FROM audit.events \
                   WHERE action = 'auth.breakglass_login_succeeded'";
    assert_eq!(server.sql(factors), "false,true");
    browser.click("#logout button");
    browser.arrives("/login?signed_out=1");

    // The password alone is worth nothing any more: another key is not asked, and none answers.
    browser.pull_out(&key);
    browser.plug_in();
    browser.sign_in_as(&server, "drill-1");
    browser.until("!document.querySelector('#breakglass [role=alert]').hidden");
    assert!(browser.text().contains("security key"), "{}", browser.text());
    browser.visit(&server, "/");
    browser.arrives("/login");
    assert_eq!(server.sql(factors), "false,true");
    assert_eq!(server.sql("SELECT count(*) FROM iam.webauthn_challenges WHERE purpose = 'register'"), "0");
}

#[test]
fn a_browser_reads_why_it_was_sent_to_the_sign_in_page() {
    let server = Server::start();
    let browser = Browser::start(&server);
    for (query, text) in [
        ("error=oidc_failed&reason=unmapped_groups", "None of your groups has a role here."),
        ("error=oidc_failed&reason=never_heard_of", "The sign-in failed."),
        ("error=oidc_failed&reason=%3Cscript%3Edocument.title%3D%27hit%27%3C%2Fscript%3E", "The sign-in failed."),
        ("session_expired=idle_timeout", "because you did nothing for a while"),
        ("session_expired=absolute_timeout", "its longest time"),
        ("session_expired=back_channel_revoked", "Your organisation's sign-in ended your session"),
        ("session_expired=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", "not valid any more"),
        ("return_to=%22%3E%3Cscript%3E", "Sign in to certctl"),
    ] {
        browser.visit(&server, &format!("/login?{query}"));
        assert!(browser.text().contains(text), "{query}: {}", browser.text());
        sound_page(&browser);
        assert_eq!(browser.script("return document.title"), json!("Sign in – certctl"), "{query}");
    }
    // What a page tries in spite of it is refused by the policy.
    browser.visit(&server, "/login");
    browser.script("const s = document.createElement('script'); s.textContent = 'document.title = \"hit\"'; document.body.append(s)");
    assert_eq!(browser.script("return document.title"), json!("Sign in – certctl"));
}
