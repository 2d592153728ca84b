//! Keys on a SoftHSM token keep the contract of signing keys.

use certctl_ports::{KeyAlgorithm, KeyGenerator as _, SigningKey, contract};
use certctl_signers::{RingKeys, Tokens};
use certctl_x509::signature;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn module() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let found = places.map(PathBuf::from).into_iter().find(|place| place.exists());
    found.expect("the tests need softhsm2; scripts/test installs it")
}

fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .env("SOFTHSM2_CONF", folder.join("softhsm2.conf"))
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a token with three keys in `folder` by the token's own tools.
fn furnish(folder: &Path) {
    std::fs::create_dir(folder.join("tokens")).expect("a folder");
    let config = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        folder.join("tokens").display()
    );
    std::fs::write(folder.join("softhsm2.conf"), config).expect("a file");
    run(
        "softhsm2-util",
        &["--init-token", "--free", "--label", "certctl", "--so-pin", "9876", "--pin", "1234"],
        folder,
    );
    for (label, id, kind) in [
        ("p256", "01", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..]),
        ("p384", "02", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("rsa", "03", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
        ("p521", "04", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
        ("twice", "05", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("twice", "06", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ] {
        run("openssl", &[&["genpkey"], kind, &["-out", "key.pem"]].concat(), folder);
        let import = ["--import", "key.pem", "--token", "certctl", "--label", label, "--id", id, "--pin", "1234"];
        run("softhsm2-util", &import, folder);
    }
    std::fs::write(folder.join("pin"), "1234\n").expect("a file");
    std::fs::set_permissions(folder.join("pin"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// In a process of its own: the module reads its configuration from the environment, once.
#[test]
fn keys_on_a_token_keep_the_contract_and_other_references_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    furnish(folder.path());
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--exact", "inside", "--nocapture"])
        .env("SOFTHSM2_CONF", folder.path().join("softhsm2.conf"))
        .env("CERTCTL_TOKEN_TEST", folder.path())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("judged"), "{text}");
}

/// What [`keys_on_a_token_keep_the_contract_and_other_references_are_refused`] runs; alone it has no token.
#[test]
fn inside() {
    let Some(folder) = std::env::var_os("CERTCTL_TOKEN_TEST").map(PathBuf::from) else { return };
    let keys = RingKeys::with_tokens(Arc::new(Tokens::new(module(), Some(folder.join("pin")))));
    for (reference, algorithm) in [
        ("pkcs11:token=certctl;object=p256", KeyAlgorithm::EcdsaP256),
        ("pkcs11:token=certctl;object=p384;type=private", KeyAlgorithm::EcdsaP384),
        ("pkcs11:id=%03", KeyAlgorithm::Rsa(3072)),
        ("pkcs11:object=twice;id=%06", KeyAlgorithm::EcdsaP256),
    ] {
        let key: Arc<dyn SigningKey> =
            Arc::from(keys.load_token(reference).unwrap_or_else(|e| panic!("{reference}: {e}")));
        assert_eq!(key.key_algorithm(), algorithm);
        contract::signing_key(key.as_ref(), signature::verify);
        // Several threads at once share the one session.
        let threads: Vec<_> = (0..4u8)
            .map(|n| {
                let key = Arc::clone(&key);
                std::thread::spawn(move || {
                    for _ in 0..20 {
                        let signed = key.sign(&[n]).expect("signs");
                        assert!(signature::verify(key.public_key_spki(), &[n], &signed));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no thread fails");
        }
    }
    for (reference, why) in [
        ("pkcs11:token=other;object=p256", "no token"),
        ("pkcs11:token=certctl;object=none", "no key pair"),
        ("pkcs11:token=certctl;object=twice", "several keys"),
        ("pkcs11:token=certctl;object=p521", "P-256 or P-384"),
        ("/etc/passwd", "pkcs11:"),
    ] {
        let error = keys.load_token(reference).err().unwrap_or_else(|| panic!("{reference} is refused"));
        assert!(error.to_string().contains(why), "{reference}: {error}");
    }
    std::fs::set_permissions(folder.join("pin"), std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let exposed = keys.load_token("pkcs11:token=certctl;object=p256").err().expect("refused");
    assert!(exposed.to_string().contains("PIN file"), "{exposed}");
    assert!(RingKeys::new().load_token("pkcs11:object=p256").is_err(), "without a module there are no tokens");
    println!("judged");
}
