//! The self-signed pair in the data directory: a CA for ten years, a leaf for ninety days that renews itself.

use super::load::{TlsError, load};
use super::reload::PairFiles;
use certctl_ports::{Ambient, KeyAlgorithm, KeyGenerator as _, SigningKey};
use certctl_signers::{RingKeys, load_key_file};
use certctl_x509::{San, Serial, certificate, pem, tls};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Names that every self-signed leaf carries.
const USUAL: &[&str] = &["localhost", "certctl-server", "127.0.0.1", "::1"];

fn broken(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: reason.into() }
}

/// Makes what is missing in `<data>/tls` and renews the leaf at two thirds of its life or when the names changed.
/// Returns the pair and the path of the CA that clients must trust.
pub(crate) fn ensure_pair(
    data_dir: &Path,
    extra_names: &[String],
    ambient: &Ambient,
) -> Result<(PairFiles, PathBuf), TlsError> {
    let folder = data_dir.join("tls");
    if !folder.exists() {
        std::fs::create_dir(&folder).map_err(|error| broken(&folder, error.to_string()))?;
    }
    let (ca_cert, ca_key) = (folder.join("ca.crt"), folder.join("ca.key"));
    let files = PairFiles { cert: folder.join("server.crt"), key: folder.join("server.key") };
    if ca_cert.exists() && !ca_key.exists() {
        return Err(broken(
            &ca_key,
            "is missing: bring it back, or remove ca.crt too; a new CA is then made, which clients must trust anew",
        ));
    }
    if !ca_cert.exists() {
        let (key, key_pem) = fresh_key(&ca_key)?;
        let der = tls::bootstrap_ca("certctl bootstrap CA", serial(ambient), ambient.now(), key.as_ref())
            .map_err(|error| broken(&ca_cert, error.to_string()))?;
        write(&ca_key, &key_pem, 0o600)?;
        write(&ca_cert, &pem::encode("CERTIFICATE", &der), 0o644)?;
    }
    let names = names(extra_names)?;
    let ca_pem = std::fs::read_to_string(&ca_cert).map_err(|error| broken(&ca_cert, error.to_string()))?;
    if !leaf_is_fresh(&files, &names, &ca_pem, ambient) {
        let issuer =
            certctl_x509::ca::load(&ca_pem, ambient.now()).map_err(|error| broken(&ca_cert, error.to_string()))?;
        let ca_signer = load_key_file(&ca_key).map_err(|error| broken(&ca_key, error.to_string()))?;
        let (key, key_pem) = fresh_key(&files.key)?;
        let der = tls::bootstrap_leaf(
            &names,
            key.public_key_spki(),
            serial(ambient),
            ambient.now(),
            &issuer.issuer(),
            ca_signer.as_ref(),
        )
        .map_err(|error| broken(&files.cert, error.to_string()))?;
        write(&files.key, &key_pem, 0o600)?;
        write(&files.cert, &format!("{}{ca_pem}", pem::encode("CERTIFICATE", &der)), 0o644)?;
    }
    Ok((files, ca_cert))
}

fn names(extra: &[String]) -> Result<Vec<San>, TlsError> {
    let mut texts: Vec<String> = USUAL.iter().map(ToString::to_string).collect();
    if let Ok(host) = std::fs::read_to_string("/etc/hostname") {
        texts.push(host.trim().to_ascii_lowercase());
    }
    texts.extend(extra.iter().cloned());
    texts.dedup();
    let mut names: Vec<San> = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        match San::parse(text) {
            Ok(name) if !names.contains(&name) => names.push(name),
            Ok(_) => {}
            Err(error) if extra.contains(text) => {
                return Err(TlsError::Pair(format!("CERTCTL_SERVER_TLS_SANS: {}", error.message)));
            }
            Err(error) => tracing::debug!(text, error = error.message, "the host's own name is not put into the leaf"),
        }
    }
    Ok(names)
}

/// A pair whose halves don't belong together, as a crash between two renames leaves it, is made anew like an old one.
fn leaf_is_fresh(files: &PairFiles, names: &[San], ca_pem: &str, ambient: &Ambient) -> bool {
    let Ok(text) = std::fs::read_to_string(&files.cert) else { return false };
    if !text.ends_with(ca_pem) || load(&files.cert, &files.key, ambient.now()).is_err() {
        return false;
    }
    let Ok(facts) = certificate::inspect_pem(&text) else { return false };
    let renew_at = facts.not_before + (facts.not_after - facts.not_before) * 2 / 3;
    let mut wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut present = facts.sans;
    wanted.sort();
    present.sort();
    ambient.now() < renew_at && wanted == present
}

fn serial(ambient: &Ambient) -> Serial {
    loop {
        if let Some(serial) = Serial::from_random(ambient.octets::<20>()) {
            return serial;
        }
    }
}

fn fresh_key(path: &Path) -> Result<(Box<dyn SigningKey>, String), TlsError> {
    let keys = RingKeys::new();
    let pkcs8 = keys.generate(KeyAlgorithm::EcdsaP256).map_err(|error| broken(path, error.to_string()))?;
    let key = keys.load_der(&pkcs8).map_err(|error| broken(path, error.to_string()))?;
    Ok((key, pem::encode("PRIVATE KEY", &pkcs8)))
}

/// Writes a whole new file and renames it into place.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let temporary = path.with_extension("new");
    let outcome = (|| {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::set_permissions(&temporary, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        std::fs::rename(&temporary, path)
    })();
    outcome.map_err(|error: std::io::Error| broken(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::ReloadingPair;
    use certctl_ports::fakes::{CountingRandom, FixedClock};
    use std::sync::Arc;
    use time::{Duration, OffsetDateTime};

    fn ambient(at: OffsetDateTime) -> Ambient {
        Ambient { clock: Arc::new(FixedClock::new(at)), random: Arc::new(CountingRandom::new(5)) }
    }

    #[test]
    fn the_pair_is_made_once_and_renewed_in_time_or_for_new_names() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let start = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let (files, ca) = ensure_pair(dir.path(), &[], &ambient(start)).expect("made");
        let read = || std::fs::read_to_string(&files.cert).expect("readable");
        let (first, authority) = (read(), std::fs::read_to_string(&ca).expect("readable"));
        ensure_pair(dir.path(), &[], &ambient(start + Duration::days(10))).expect("kept");
        assert_eq!(read(), first);
        ensure_pair(dir.path(), &["certctl.example.com".to_owned()], &ambient(start)).expect("new names");
        assert_ne!(read(), first);
        let named = read();
        ensure_pair(dir.path(), &["certctl.example.com".to_owned()], &ambient(start + Duration::days(61)))
            .expect("renewed");
        assert_ne!(read(), named);
        assert_eq!(std::fs::read_to_string(&ca).expect("readable"), authority, "the CA stays");
    }

    #[test]
    fn halves_that_do_not_belong_together_are_made_anew_and_a_lost_ca_key_is_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let start = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let (files, ca) = ensure_pair(dir.path(), &[], &ambient(start)).expect("made");
        let (cert, key) = (files.cert.clone(), files.key.clone());
        let old_cert = std::fs::read(&cert).expect("readable");
        let old_key = std::fs::read(&key).expect("readable");
        ensure_pair(dir.path(), &["a.example.com".to_owned()], &ambient(start)).expect("new names");

        // As a crash between the two renames leaves them.
        std::fs::write(&cert, &old_cert).expect("written");
        ensure_pair(dir.path(), &[], &ambient(start)).expect("made anew");
        ReloadingPair::open(files.clone(), start).expect("a pair again");
        assert_ne!(std::fs::read(&cert).expect("readable"), old_cert);
        std::fs::write(&key, &old_key).expect("written");
        ensure_pair(dir.path(), &[], &ambient(start)).expect("made anew");
        ReloadingPair::open(files.clone(), start).expect("a pair again");

        // A leaf of another CA is not served.
        let leaf = std::fs::read(&cert).expect("readable");
        std::fs::remove_file(&ca).expect("removed");
        ensure_pair(dir.path(), &[], &ambient(start)).expect("a new CA and leaf");
        assert_ne!(std::fs::read(&cert).expect("readable"), leaf);

        std::fs::remove_file(ca.with_extension("key")).expect("removed");
        let error = ensure_pair(dir.path(), &[], &ambient(start)).expect_err("refused");
        assert!(error.to_string().contains("ca.key"), "{error}");
    }

    #[test]
    fn a_changed_pair_is_taken_over_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let start = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let (files, _) = ensure_pair(dir.path(), &[], &ambient(start)).expect("made");
        let pair = ReloadingPair::open(files.clone(), start).expect("loads");
        let before = pair.fingerprint();
        assert!(pair.reload(false, start).expect("unchanged").is_none());
        ensure_pair(dir.path(), &["other.example.com".to_owned()], &ambient(start)).expect("new names");
        assert!(pair.reload(false, start).expect("reloads").is_some());
        let after = pair.fingerprint();
        assert_ne!(before, after);
        std::fs::write(&files.cert, "garbage").expect("write");
        assert!(pair.reload(true, start).is_err());
        assert_eq!(pair.fingerprint(), after, "the old pair stays in use");
    }
}
