//! A CA whose key is on a PKCS#11 token (SoftHSM): the server signs with it and never holds it.

use super::{Server, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn module() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let found = places.map(PathBuf::from).into_iter().find(|place| place.exists());
    found.expect("the tests need softhsm2; scripts/test installs it")
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("SOFTHSM2_CONF", folder.join("softhsm2.conf"))
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

/// A CA certificate, its key on a token and nowhere else.
fn furnish(folder: &Path) {
    std::fs::create_dir(folder.join("tokens")).expect("a folder");
    let config = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        folder.join("tokens").display()
    );
    std::fs::write(folder.join("softhsm2.conf"), config).expect("a file");
    run(folder, "softhsm2-util", &["--init-token", "--free", "--label", "ca", "--so-pin", "9876", "--pin", "1234"]);
    run(folder, "openssl", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "key.pem"]);
    let extensions = "basicConstraints=critical,CA:TRUE";
    let usage = "keyUsage=critical,digitalSignature,keyCertSign,cRLSign";
    let request = ["req", "-x509", "-new", "-key", "key.pem", "-subj", "/CN=Token CA", "-days", "3650", "-sha384"];
    run(folder, "openssl", &[&request[..], &["-addext", extensions, "-addext", usage, "-out", "ca.pem"]].concat());
    let import = ["--import", "key.pem", "--token", "ca", "--label", "ca", "--id", "01", "--pin", "1234"];
    run(folder, "softhsm2-util", &import);
    std::fs::remove_file(folder.join("key.pem")).expect("the key is on the token alone");
    std::fs::write(folder.join("pin"), "1234\n").expect("a file");
    std::fs::set_permissions(folder.join("pin"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// In a process of its own: SoftHSM finds its tokens by the environment.
#[test]
fn a_ca_on_a_token_issues_lists_and_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    furnish(folder.path());
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "token_ca::inside", "--nocapture"])
        .env("SOFTHSM2_CONF", folder.path().join("softhsm2.conf"))
        .env("TOKEN_CA_TEST", folder.path())
        .output()
        .expect("runs");
    let text = [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat();
    assert!(output.status.success() && text.contains("the token signed"), "{text}");
}

/// What [`a_ca_on_a_token_issues_lists_and_answers`] runs; alone it has no token.
#[test]
fn inside() {
    let Some(folder) = std::env::var_os("TOKEN_CA_TEST").map(PathBuf::from) else { return };
    let (module, pin) = (module().display().to_string(), folder.join("pin").display().to_string());
    let server = Server::start_with(&[("PKCS11_MODULE", &module), ("PKCS11_PIN_FILE", &pin)]);
    let key = server.bootstrap();
    let create = |path: &str, body: serde_json::Value| {
        let (status, answer) = server.call("POST", path, Some(&key), Some(&body));
        assert_eq!(status, 201, "{path}: {answer}");
        answer
    };
    create("/api/v1/teams", json!({"id": "t1", "name": "t1"}));
    create("/api/v1/owners", json!({"id": "o1", "name": "o1", "email": "o1@example.com", "team_id": "t1"}));
    let config = json!({"ca_cert_path": folder.join("ca.pem"), "ca_key_ref": "pkcs11:token=ca;object=ca"});
    create("/api/v1/issuers", json!({"id": "iss-token", "name": "token", "type": "GenericCA", "config": config}));
    let (status, tested) = server.call("POST", "/api/v1/issuers/iss-token/test", Some(&key), Some(&json!({})));
    assert_eq!(status, 200, "{tested}");
    create(
        "/api/v1/certificates",
        json!({"id": "mc-token", "name": "web", "common_name": "web.example.com", "sans": ["web.example.com"],
            "owner_id": "o1", "team_id": "t1", "issuer_id": "iss-token", "renewal_policy_id": "rp-default"}),
    );
    run(
        &folder,
        "openssl",
        &[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=web.example.com",
            "-addext",
            "subjectAltName=DNS:web.example.com",
            "-keyout",
            "web.key",
            "-out",
            "web.csr",
        ],
    );
    let csr = std::fs::read_to_string(folder.join("web.csr")).expect("a request");
    let version = create("/api/v1/certificates/mc-token/versions", json!({"csr_pem": csr}));
    std::fs::write(folder.join("leaf.pem"), version["pem_chain"].as_str().expect("text")).expect("a file");
    run(&folder, "openssl", &["verify", "-x509_strict", "-CAfile", "ca.pem", "leaf.pem"]);
    let (status, list) = server.call("GET", "/api/v1/issuers/iss-token/intermediates", Some(&key), None);
    assert_eq!((status, &list["data"][0]["key_driver_id"]), (200, &json!("pkcs11")), "{list}");
    let url = |path: &str| format!("https://localhost:{}/.well-known/pki/{path}", server.port);
    for (path, file) in [("crl/iss-token", "crl.der"), ("ocsp/iss-token/SERIAL", "answer.der")] {
        let path = path.replace("SERIAL", version["serial_number"].as_str().expect("text"));
        let (url, file) = (url(&path), folder.join(file).display().to_string());
        let output = server.curl(&["-fsS", "-o", &file, &url]);
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text =
        run(&folder, "openssl", &["crl", "-inform", "DER", "-in", "crl.der", "-CAfile", "ca.pem", "-noout", "-verify"]);
    assert!(text.contains("verify OK"), "{text}");
    let judge =
        ["ocsp", "-no_nonce", "-respin", "answer.der", "-issuer", "ca.pem", "-cert", "leaf.pem", "-CAfile", "ca.pem"];
    let text = run(&folder, "openssl", &judge);
    assert!(text.contains("Response verify OK") && text.contains("leaf.pem: good"), "{text}");
    println!("the token signed");
}
