//! Signing in through a decent provider: npm's `oidc-provider` over TLS, the real server, and curl as the browser.

use super::faults::until;
use super::{Server, Value, free_port, json};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SECRET: &str = "secret-of-the-decent-provider-0123456789";

/// What a server needs for a provider on this machine.
const SETTINGS: &[(&str, &str)] = &[("OIDC_ALLOW_LOOPBACK", "true"), ("RATE_LIMIT_ENABLED", "false")];

/// Where npm's package is; the script installs it at the first call.
fn modules() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/oidc-provider");
    let output = Command::new(script).stderr(Stdio::inherit()).output().expect("scripts/oidc-provider runs");
    assert!(output.status.success(), "oidc-provider could not be installed");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// The provider; it stops with this.
struct Peer {
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The server and what is around it.
struct Scene {
    server: Server,
    key: String,
    modules: PathBuf,
    peer_port: u16,
    provider: String,
}

/// A browser: a jar of cookies.
struct Browser<'a> {
    scene: &'a Scene,
    jar: PathBuf,
    account: &'static str,
}

impl Scene {
    /// `groups` of the provider are worth what `mappings` say.
    fn new(mappings: &[(&str, &str)]) -> (Self, Peer) {
        Self::on(Server::start_with(SETTINGS), mappings)
    }

    /// The same around a server that runs, with [`SETTINGS`].
    fn on(server: Server, mappings: &[(&str, &str)]) -> (Self, Peer) {
        let key = server.bootstrap();
        let folder = server.dir.path();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=peer", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(folder.join("peer.key"))
            .arg("-out")
            .arg(folder.join("peer.crt"))
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("readable");
        let bundle = read(folder.join("peer.crt"));
        let both = format!("{bundle}{}", read(folder.join("data/tls/ca.crt")));
        std::fs::write(folder.join("both.crt"), both).expect("written");
        let mut scene = Self { server, key, modules: modules(), peer_port: free_port(), provider: String::new() };
        let peer = scene.peer();
        let body = json!({
            "name": "Peer", "issuer_url": format!("https://localhost:{}", scene.peer_port), "client_id": "certctl",
            "client_secret": SECRET, "redirect_uri": format!("{}/auth/oidc/callback", scene.origin()),
            "scopes": ["openid", "profile", "email", "groups"], "ca_bundle_pem": bundle, "rp_initiated_logout": true,
        });
        let (status, made) = scene.server.call("POST", "/api/v1/auth/oidc/providers", Some(&scene.key), Some(&body));
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().expect("an id").clone_into(&mut scene.provider);
        for (group, role) in mappings {
            let body = json!({"provider_id": scene.provider, "group_name": group, "role_id": role});
            let path = "/api/v1/auth/oidc/group-mappings";
            let (status, made) = scene.server.call("POST", path, Some(&scene.key), Some(&body));
            assert_eq!(status, 201, "{made}");
        }
        (scene, peer)
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.server.port)
    }

    /// Starts the provider, with keys that it has not used before.
    fn peer(&self) -> Peer {
        let folder = self.server.dir.path();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/oidc-provider.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .env("PEER_MODULES", &self.modules)
            .env("PEER_PORT", self.peer_port.to_string())
            .env("PEER_CLIENT", self.origin())
            .env("PEER_SECRET", SECRET)
            .env("PEER_CERT", folder.join("peer.crt"))
            .env("PEER_KEY", folder.join("peer.key"))
            .env("NODE_EXTRA_CA_CERTS", folder.join("data/tls/ca.crt"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "ready")), "the provider starts");
        // Whatever else it says must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Peer { child }
    }

    fn browser(&self, account: &'static str) -> Browser<'_> {
        Browser { scene: self, jar: self.server.dir.path().join(format!("{account}.jar")), account }
    }

    fn live_sessions(&self) -> String {
        self.server.sql("SELECT count(*) FROM iam.sessions WHERE revoked_at IS NULL")
    }
}

impl Browser<'_> {
    /// What curl prints: the body, and then, on a line of its own, the status and the last address.
    fn curl(&self, arguments: &[&str]) -> (String, String) {
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "60", "-A", "curl-as-browser", "-w", "\n%{http_code} %{url_effective}"])
            .arg("--cacert")
            .arg(self.scene.server.dir.path().join("both.crt"))
            .arg("-b")
            .arg(&self.jar)
            .arg("-c")
            .arg(&self.jar)
            .args(arguments)
            .output()
            .expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, end) = text.rsplit_once('\n').expect("curl tells the status");
        let trouble = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {trouble}{text}");
        (body.to_owned(), end.to_owned())
    }

    /// Follows every redirect from the button on the sign-in page; gives the status and the last address.
    fn sign_in(&self) -> String {
        let line = format!("localhost\tFALSE\t/\tTRUE\t0\taccount\t{}\n", self.account);
        std::fs::write(&self.jar, format!("# Netscape HTTP Cookie File\n{line}")).expect("written");
        let start = format!("{}/auth/oidc/login?provider={}", self.scene.origin(), self.scene.provider);
        self.curl(&["-L", &start]).1
    }

    fn me(&self) -> Value {
        let (body, _) = self.curl(&[&format!("{}/api/v1/auth/me", self.scene.origin())]);
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }
}

#[test]
fn people_sign_in_by_their_groups_leave_at_both_ends_and_survive_new_keys() {
    let (scene, peer) = Scene::new(&[("eng", "r-operator"), ("pki", "r-auditor")]);
    let (ada, bob) = (scene.browser("ada"), scene.browser("bob"));
    let arrived = ada.sign_in();
    assert!(arrived.ends_with(&format!("{}/", scene.origin())), "{arrived}");
    let me = ada.me().to_string();
    assert!(me.contains("r-operator") && me.contains("r-auditor"), "{me}");
    let refused = bob.sign_in();
    assert!(refused.ends_with("/login?error=oidc_failed&reason=unmapped_groups"), "{refused}");
    assert_eq!(scene.live_sessions(), "1");
    let figures = scene.server.curl(&[
        "-H",
        &format!("Authorization: Bearer {}", scene.key),
        &format!("{}/api/v1/metrics/prometheus", scene.origin()),
    ]);
    let figures = String::from_utf8_lossy(&figures.stdout).into_owned();
    for result in ["signed_in", "unmapped_groups"] {
        let line = format!("certctl_auth_login_total{{provider=\"{}\",result=\"{result}\"}} 1", scene.provider);
        assert!(figures.contains(&line), "{line} in {figures}");
    }

    // A second device; then the first leaves here, and goes on to leave there.
    let phone = Browser { jar: scene.server.dir.path().join("phone.jar"), ..scene.browser("ada") };
    phone.sign_in();
    assert_eq!(scene.live_sessions(), "2");
    let (left, _) = ada.curl(&["-X", "POST", &format!("{}/auth/logout", scene.origin())]);
    let left: Value = serde_json::from_str(&left).expect("JSON");
    assert_eq!(scene.live_sessions(), "1", "the other device stays");
    let (question, _) = ada.curl(&[left["end_session_url"].as_str().expect("where to go on")]);
    let xsrf = question.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let answer = format!("xsrf={}&logout=yes", xsrf.expect("the provider asks"));
    let confirm = format!("https://localhost:{}/session/end/confirm", scene.peer_port);
    let (_, end) = ada.curl(&["-L", "-d", &answer, &confirm]);
    assert!(end.contains(&format!("{}/login", scene.origin())), "the provider sends the browser back: {end}");

    // The phone's session came from another session of the provider: it leaves there, and the provider tells.
    assert_eq!(scene.live_sessions(), "1");
    let (question, _) = phone.curl(&[&format!("https://localhost:{}/session/end", scene.peer_port)]);
    let xsrf = question.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let answer = format!("xsrf={}&logout=yes", xsrf.expect("the provider asks"));
    phone.curl(&["-L", "-d", &answer, &confirm]);
    until("the provider's logout arrives", || scene.live_sessions() == "0");
    let outcome = "SELECT details->>'outcome' FROM audit.events WHERE action = 'auth.oidc_back_channel_logout' \
                   AND details->>'outcome' = 'revoked' LIMIT 1";
    assert_eq!(scene.server.sql(outcome), "revoked");
    assert_eq!(phone.me()["error"], "Unauthorized");

    // New keys at the provider, none of which the server knows yet.
    drop(peer);
    let _renewed = scene.peer();
    let arrived = ada.sign_in();
    assert!(arrived.ends_with(&format!("{}/", scene.origin())), "{arrived}");
    assert_eq!(scene.live_sessions(), "1");
}

#[test]
fn a_callback_that_dies_in_the_middle_leaves_nothing_half_made_and_two_replicas_are_one() {
    let (mut scene, _peer) = Scene::new(&[("eng", "r-operator")]);
    let ada = scene.browser("ada");
    let lock = super::faults::Session::start(scene.server.psql(), "iam.grants");
    let hanging = std::thread::scope(|scope| {
        let signing_in = scope.spawn(|| {
            let start = format!("{}/auth/oidc/login?provider={}", scene.origin(), scene.provider);
            Command::new("curl")
                .args([
                    "-sS",
                    "--max-time",
                    "60",
                    "-A",
                    "curl-as-browser",
                    "-L",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code}",
                ])
                .arg("--cacert")
                .arg(scene.server.dir.path().join("both.crt"))
                .arg("-b")
                .arg(&ada.jar)
                .arg("-c")
                .arg(&ada.jar)
                .arg(start)
                .output()
                .expect("curl runs")
        });
        let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'iam.grants'::regclass";
        until("the callback waits in its transaction", || scene.server.sql(waiting) == "t");
        scene.server.signal("-KILL");
        signing_in.join().expect("curl ends")
    });
    assert!(!hanging.status.success(), "the callback was not answered: {hanging:?}");
    scene.server.child.wait().expect("it is dead");
    drop(lock);
    scene.server.restart();
    let left = "SELECT (SELECT count(*) FROM iam.users), (SELECT count(*) FROM iam.sessions), \
                (SELECT count(*) FROM iam.grants WHERE actor_type = 'User')";
    assert_eq!(scene.server.sql(left), "0|0|0", "no person, no session, no role");

    let ada = scene.browser("ada");
    ada.sign_in();
    assert_eq!(scene.server.sql(left), "1|1|1");
    let replica = scene.server.replica();
    let there = format!("https://localhost:{}/api/v1/auth/me", replica.port);
    let insecure = ["-k", there.as_str()];
    assert!(ada.curl(&insecure).1.starts_with("200 "), "the replica knows the session");
    assert!(!scene.server.sql("SELECT idp_sid FROM iam.sessions").is_empty(), "the provider named its session");
    let (question, _) = ada.curl(&[&format!("https://localhost:{}/session/end", scene.peer_port)]);
    let xsrf = question.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let answer = format!("xsrf={}&logout=yes", xsrf.expect("the provider asks"));
    ada.curl(&["-L", "-d", &answer, &format!("https://localhost:{}/session/end/confirm", scene.peer_port)]);
    until("the replica refuses the session", || ada.curl(&insecure).1.starts_with("401 "));
}

/// Every value of these parameters in what curl told of its requests and of the redirects.
fn values_of<'a>(told: &'a str, names: &[&str]) -> Vec<&'a str> {
    let parts = told.split(['?', '&', ' ', '\n', '\r', ';']);
    let pairs = parts.filter_map(|part| part.split_once('='));
    pairs.filter(|(name, value)| names.contains(name) && value.len() > 8).map(|(_, value)| value).collect()
}

#[test]
fn tl_01_02_03_04_06_08_09_nothing_that_grants_anything_stands_in_the_log() {
    let (server, log) = super::breakglass_log::logged(SETTINGS);
    let (mut scene, _peer) = Scene::on(server, &[("eng", "r-operator")]);
    let mut secrets: Vec<String> = [SECRET, super::TOKEN, &scene.key].map(ToOwned::to_owned).to_vec();
    for account in ["ada", "bob"] {
        let browser = scene.browser(account);
        let line = format!("localhost\tFALSE\t/\tTRUE\t0\taccount\t{account}\n");
        std::fs::write(&browser.jar, format!("# Netscape HTTP Cookie File\n{line}")).expect("written");
        let output = Command::new("curl")
            .args(["-sSvL", "--max-time", "60", "-A", "curl-as-browser", "--cacert"])
            .arg(scene.server.dir.path().join("both.crt"))
            .arg("-b")
            .arg(&browser.jar)
            .arg("-c")
            .arg(&browser.jar)
            .arg(format!("{}/auth/oidc/login?provider={}", scene.origin(), scene.provider))
            .output()
            .expect("curl runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let cookies = ["__Host-certctl_oidc_pending", "__Host-certctl_session", "__Host-certctl_csrf"];
        let found = values_of(&told, &[&["code", "state", "nonce"][..], &cookies].concat());
        assert!(found.len() >= 4, "{account}: {told}");
        secrets.extend(found.into_iter().map(ToOwned::to_owned));
    }
    // Using the session, rotating its key, a callback that fails, and a logout that the provider did not order.
    let ada = scene.browser("ada");
    assert!(ada.me().to_string().contains("r-operator"));
    let rotate = "/api/v1/auth/sessions/signing-keys/rotate";
    assert_eq!(scene.server.call("POST", rotate, Some(&scene.key), Some(&json!({}))).0, 200);
    let (code, state) = ("a-code-that-nobody-gave", "a-state-that-nobody-made");
    ada.curl(&[&format!("{}/auth/oidc/callback?code={code}&state={state}", scene.origin())]);
    let forged = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJub2JvZHkifQ.c2lnbmF0dXJl";
    let end = format!("{}/auth/oidc/back-channel-logout", scene.origin());
    assert!(ada.curl(&["-d", &format!("logout_token={forged}"), &end]).1.starts_with("400"));
    secrets.extend([code, state, forged].map(ToOwned::to_owned));
    scene.server.signal("-TERM");
    scene.server.child.wait().expect("it ends");

    let log = std::fs::read_to_string(&log).expect("a log");
    assert!(log.contains("/auth/oidc/callback") && log.contains("/auth/oidc/back-channel-logout"), "it tells of them");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in the log");
        // What a cookie signs is of no use without the signature; ids may be told.
        let mac = secret.rsplit('.').next().filter(|mac| mac.len() >= 43);
        assert!(mac.is_none_or(|mac| !log.contains(mac)), "the signature of {secret} is in the log");
    }
}

#[test]
fn ten_thousand_strangers_who_begin_to_sign_in_leave_nothing_behind() {
    let (scene, _peer) = Scene::new(&[]);
    let resident = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", scene.server.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    };
    let begin = |count: usize| {
        let url = format!("{}/auth/oidc/login?provider={}", scene.origin(), scene.provider);
        let request = format!("url = \"{url}\"\noutput = \"/dev/null\"\nwrite-out = \"%{{http_code}}\\n\"\n");
        let ca = scene.server.dir.path().join("data/tls/ca.crt");
        let each = format!("cacert = \"{}\"\nsilent\nshow-error\n{request}", ca.display());
        let file = scene.server.dir.path().join("starts");
        std::fs::write(&file, vec![each; count].join("next\n")).expect("written");
        let output = Command::new("curl").arg("-K").arg(&file).output().expect("curl runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.lines().all(|status| matches!(status, "302" | "429")), "{text}");
        text.lines().filter(|status| *status == "302").count()
    };
    assert!(begin(500) > 0, "some are let through");
    let before = resident();
    begin(10_000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 * 1024, "the server grew by {grown} KiB");
    let rows = "SELECT (SELECT count(*) FROM iam.used_sign_ins) + (SELECT count(*) FROM iam.sessions)";
    assert_eq!(scene.server.sql(rows), "0");
}
