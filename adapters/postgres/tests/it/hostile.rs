//! An identity provider that does what a decent one does not: it answers by a script, over TLS on this machine, and
//! signs with keys that it makes.

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use certctl_oidc::Algorithm;
use certctl_oidc::claims::at_hash;
use certctl_ports::Clock as _;
use certctl_ports::fakes::FixedClock;
use data_encoding::BASE64URL_NOPAD;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use josekit::jwk::alg::ed::EdCurve;
use josekit::jws::{ES256, ES384, EdDSA, HS256, JwsHeader, JwsSigner, RS256, RS512};
use ring::digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Our client at the provider.
pub const CLIENT: &str = "certctl";
/// Its secret; with a character that HTTP Basic must escape (RFC 6749 section 2.3.1).
pub const CLIENT_SECRET: &str = "hostile-client-secret/%+1";
/// The code that the provider gives.
pub const CODE: &str = "code-of-the-hostile-provider";
/// The access token beside the ID token.
pub const ACCESS_TOKEN: &str = "access-token-0001";

/// Keys of every kind, made once.
pub struct KeyRing {
    pub rsa: Jwk,
    pub p256: Jwk,
    pub p384: Jwk,
    pub ed: Jwk,
    /// One that the provider never publishes.
    pub stranger: Jwk,
}

pub static KEYS: LazyLock<KeyRing> = LazyLock::new(|| KeyRing {
    rsa: Jwk::generate_rsa_key(2048).expect("a key"),
    p256: Jwk::generate_ec_key(EcCurve::P256).expect("a key"),
    p384: Jwk::generate_ec_key(EcCurve::P384).expect("a key"),
    ed: Jwk::generate_ed_key(EdCurve::Ed25519).expect("a key"),
    stranger: Jwk::generate_ec_key(EcCurve::P256).expect("a key"),
});

/// The public part of a key under a name.
pub fn published(key: &Jwk, kid: &str) -> Value {
    let mut members: Map<String, Value> = key.to_public_key().expect("a public part").into();
    members.insert("kid".to_owned(), json!(kid));
    members.insert("use".to_owned(), json!("sig"));
    Value::Object(members)
}

/// Lays `changes` over `base`; `"absent"` takes a member away.
pub fn changed(mut base: Value, changes: &Value) -> Value {
    let members = base.as_object_mut().expect("members");
    for (name, value) in changes.as_object().expect("members") {
        if *value == json!("absent") {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    base
}

/// A token over these claims, with this header laid over the signer's own.
pub fn signed(algorithm: &str, key: &Jwk, header: &Value, claims: &Value) -> String {
    let signer: Box<dyn JwsSigner> = match algorithm {
        "RS256" => Box::new(RS256.signer_from_jwk(key).expect("a signer")),
        "RS512" => Box::new(RS512.signer_from_jwk(key).expect("a signer")),
        "ES256" => Box::new(ES256.signer_from_jwk(key).expect("a signer")),
        "ES384" => Box::new(ES384.signer_from_jwk(key).expect("a signer")),
        "EdDSA" => Box::new(EdDSA.signer_from_jwk(key).expect("a signer")),
        other => panic!("{other} is not for this"),
    };
    let header = JwsHeader::from_map(header.as_object().expect("members").clone()).expect("a header");
    josekit::jws::serialize_compact(claims.to_string().as_bytes(), &header, signer.as_ref()).expect("signs")
}

/// A MAC keyed with a text that everybody knows.
pub fn maced(secret: &[u8], claims: &Value) -> String {
    let signer = HS256.signer_from_bytes(secret).expect("a signer");
    josekit::jws::serialize_compact(claims.to_string().as_bytes(), &JwsHeader::new(), &signer).expect("signs")
}

/// A token whose parts are written by hand.
pub fn raw_token(header: &str, claims: &str, signature: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// What the key set's address answers.
#[derive(Clone)]
pub enum KeySet {
    /// These keys.
    Keys(Vec<Value>),
    /// This text, with this status.
    Text(u16, String),
    /// Nothing, for longer than anybody waits.
    Silence,
}

/// Makes a token from decent claims.
pub type Forger = Arc<dyn Fn(&Value) -> String + Send + Sync>;

/// What the provider does.
#[derive(Clone)]
pub struct Script {
    /// Laid over the discovery document.
    pub discovery: Value,
    /// In place of the discovery document: status, `Location`, body.
    pub discovery_answer: Option<(u16, String, String)>,
    pub keys: KeySet,
    /// How the ID token is signed, with which key.
    pub algorithm: &'static str,
    pub key: Jwk,
    /// Laid over the header, which else names the key `k1`.
    pub header: Value,
    /// Laid over the claims.
    pub claims: Value,
    /// In place of the ID token.
    pub token: Option<Forger>,
    /// In place of the token answer.
    pub token_answer: Option<(u16, String)>,
    /// The client is known by its secret in the body only.
    pub post_only: bool,
    pub userinfo: (u16, Value),
    /// What Microsoft Graph answers.
    pub graph: (u16, Value),
    /// From the authorization request.
    pub nonce: String,
    pub challenge: String,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            discovery: json!({}),
            discovery_answer: None,
            keys: KeySet::Keys(vec![published(&KEYS.p256, "k1")]),
            algorithm: "ES256",
            key: KEYS.p256.clone(),
            header: json!({}),
            claims: json!({}),
            token: None,
            token_answer: None,
            post_only: false,
            userinfo: (404, json!({})),
            graph: (404, json!({})),
            nonce: String::new(),
            challenge: String::new(),
        }
    }
}

struct Inside {
    script: Mutex<Script>,
    hits: Mutex<BTreeMap<String, usize>>,
    /// What came to the token endpoint, for tests of what is sent.
    sent: Mutex<Vec<String>>,
    clock: Arc<FixedClock>,
    issuer: Mutex<String>,
}

/// The provider; it stops with this.
pub struct Hostile {
    inside: Arc<Inside>,
    handle: actix_web::dev::ServerHandle,
    /// `https://localhost:<port>`
    pub issuer: String,
    /// The certificate that its TLS is checked against.
    pub ca: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A certificate for this machine and its key, made by an independent tool.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=hostile", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |path| std::fs::read_to_string(path).expect("written");
    (read(cert), read(key))
});

impl Hostile {
    /// Starts one; its clock is the server's.
    pub fn start(clock: &Arc<FixedClock>) -> Self {
        let inside = Arc::new(Inside {
            script: Mutex::default(),
            hits: Mutex::default(),
            sent: Mutex::default(),
            clock: Arc::clone(clock),
            issuer: Mutex::default(),
        });
        let (cert, key) = (&PAIR.0, &PAIR.1);
        let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a pair");
        let for_server = Arc::clone(&inside);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let state = web::Data::from(for_server);
                let server =
                    HttpServer::new(move || App::new().app_data(state.clone()).default_service(web::to(answer)))
                        .workers(1)
                        .disable_signals()
                        .shutdown_timeout(0)
                        .bind_rustls_0_23(("127.0.0.1", 0), tls)
                        .expect("a port");
                let port = server.addrs()[0].port();
                let running = server.run();
                tell.send((port, running.handle())).expect("somebody waits");
                running.await.expect("it ran");
            });
        });
        let (port, handle) = told.recv().expect("it starts");
        let issuer = format!("https://localhost:{port}");
        lock(&inside.issuer).clone_from(&issuer);
        Self { inside, handle, issuer, ca: PAIR.0.clone() }
    }

    /// Changes what it does from now on.
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut lock(&self.inside.script));
    }

    /// Back to decency.
    pub fn reset(&self) {
        *lock(&self.inside.script) = Script::default();
    }

    /// How often an address was asked for.
    pub fn hits(&self, path: &str) -> usize {
        lock(&self.inside.hits).get(path).copied().unwrap_or_default()
    }

    /// Bodies that came to the token endpoint.
    pub fn sent(&self) -> Vec<String> {
        lock(&self.inside.sent).clone()
    }

    /// Claims of a decent ID token.
    pub fn claims(&self) -> Value {
        self.inside.claims()
    }

    /// Claims of a decent logout token.
    pub fn logout_claims(&self, jti: &str, changes: &Value) -> Value {
        let now = self.inside.clock.now().unix_timestamp();
        let base = json!({
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": jti,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        changed(base, changes)
    }

    /// A decent logout token over these claims.
    pub fn logout_token(&self, jti: &str, changes: &Value) -> String {
        let header = json!({"kid": "k1", "typ": "logout+jwt"});
        signed("ES256", &KEYS.p256, &header, &self.logout_claims(jti, changes))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        // Sends the command; the thread of the server carries it out.
        drop(self.handle.stop(false));
    }
}

impl Inside {
    fn claims(&self) -> Value {
        let now = self.clock.now().unix_timestamp();
        let script = lock(&self.script);
        let algorithm = Algorithm::parse(script.algorithm).unwrap_or(Algorithm::Es256);
        let base = json!({
            "iss": *lock(&self.issuer), "aud": CLIENT, "sub": "subject-1", "iat": now, "exp": now + 300,
            "nonce": script.nonce, "email": "ada@corp.example", "email_verified": true, "name": "Ada",
            "groups": ["eng"], "sid": "idp-session-1", "at_hash": at_hash(algorithm, ACCESS_TOKEN),
        });
        changed(base, &script.claims)
    }

    fn discovery(&self) -> Value {
        let issuer = lock(&self.issuer).clone();
        let base = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "end_session_endpoint": format!("{issuer}/end"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "RS512", "ES256", "ES384", "EdDSA"],
        });
        changed(base, &lock(&self.script).discovery)
    }

    fn token(&self, authorization: Option<&str>, body: &str) -> HttpResponse {
        lock(&self.sent).push(body.to_owned());
        let script = lock(&self.script).clone();
        if let Some((status, text)) = script.token_answer {
            return reply(status, text);
        }
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let by_body = form.get("client_secret").is_some_and(|secret| secret == CLIENT_SECRET);
        let escaped: String = url::form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
        let basic = format!("Basic {}", data_encoding::BASE64.encode(format!("{CLIENT}:{escaped}").as_bytes()));
        if !by_body && (script.post_only || authorization != Some(basic.as_str())) {
            return reply(401, json!({"error": "invalid_client"}).to_string());
        }
        let verifier = form.get("code_verifier").cloned().unwrap_or_default();
        let challenge = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref());
        if form.get("code").map(String::as_str) != Some(CODE) || challenge != script.challenge {
            return reply(400, json!({"error": "invalid_grant", "error_description": body}).to_string());
        }
        let claims = self.claims();
        let header = changed(json!({"kid": "k1"}), &script.header);
        let id_token =
            script.token.map_or_else(|| signed(script.algorithm, &script.key, &header, &claims), |make| make(&claims));
        let answer = json!({
            "access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300, "id_token": id_token,
        });
        reply(200, answer.to_string())
    }
}

fn reply(status: u16, text: String) -> HttpResponse {
    HttpResponse::build(StatusCode::from_u16(status).expect("a status")).content_type("application/json").body(text)
}

async fn answer(request: HttpRequest, inside: web::Data<Inside>, body: String) -> HttpResponse {
    let path = request.path().to_owned();
    *lock(&inside.hits).entry(path.clone()).or_default() += 1;
    let script = lock(&inside.script).clone();
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    match path.as_str() {
        "/.well-known/openid-configuration" => match script.discovery_answer {
            Some((status, location, text)) => HttpResponse::build(StatusCode::from_u16(status).expect("a status"))
                .insert_header(("location", location))
                .content_type("application/json")
                .body(text),
            None => reply(200, inside.discovery().to_string()),
        },
        "/elsewhere" => reply(200, inside.discovery().to_string()),
        "/keys" => match script.keys {
            KeySet::Keys(keys) => reply(200, json!({ "keys": keys }).to_string()),
            KeySet::Text(status, text) => reply(status, text),
            KeySet::Silence => {
                tokio::time::sleep(Duration::from_mins(1)).await;
                reply(200, "{}".to_owned())
            }
        },
        "/token" => inside.token(header("authorization"), &body),
        "/userinfo" if header("authorization") == Some(&format!("Bearer {ACCESS_TOKEN}")) => {
            reply(script.userinfo.0, script.userinfo.1.to_string())
        }
        "/v1.0/me/getMemberGroups" if header("authorization") == Some(&format!("Bearer {ACCESS_TOKEN}")) => {
            reply(script.graph.0, script.graph.1.to_string())
        }
        _ => reply(404, "{}".to_owned()),
    }
}
