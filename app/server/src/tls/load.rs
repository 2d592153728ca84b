//! Loading a certificate with its key, with every check that would otherwise fail at the first handshake.

use certctl_x509::certificate;
use ring::digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// The pair can't be used; names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{path}: {reason}")]
    File { path: PathBuf, reason: String },
    #[error("TLS: {0}")]
    Pair(String),
}

fn file(path: &Path, reason: impl Into<String>) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: reason.into() }
}

/// SHA-256 of a certificate, as people compare it.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, der);
    hash.as_ref().iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":")
}

/// Loads and checks the pair: it belongs together, is current, names a host, and the key is private.
pub(crate) fn load(cert_path: &Path, key_path: &Path, now: OffsetDateTime) -> Result<CertifiedKey, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_path)
        .map_err(|error| file(cert_path, format!("can't be read: {error}")))?
        .collect::<Result<_, _>>()
        .map_err(|error| file(cert_path, format!("is not PEM: {error}")))?;
    let leaf = chain.first().ok_or_else(|| file(cert_path, "holds no certificate"))?;
    let facts = certificate::inspect(leaf).map_err(|error| file(cert_path, error.to_string()))?;
    if facts.not_after <= now {
        return Err(file(cert_path, "has expired; renew it"));
    }
    if facts.sans.is_empty() {
        return Err(file(cert_path, "names no host: it needs subject alternative names"));
    }
    let text = private_text(key_path)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| file(key_path, format!("is not an unencrypted PEM key: {error}")))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| file(key_path, "is of a kind that is not supported"))?;
    let pair = CertifiedKey::new(chain, key);
    pair.keys_match().map_err(|_| file(key_path, format!("does not belong to {}", cert_path.display())))?;
    Ok(pair)
}

/// The key's text, if nobody but us may read it. A file of root may be readable by a group of ours, which is how a
/// mounted secret reaches a server that runs as an ordinary user.
fn private_text(path: &Path) -> Result<Zeroizing<String>, TlsError> {
    let unreadable = |error: std::io::Error| file(path, format!("can't be read: {error}"));
    let mut opened = File::open(path).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    let ours = rustix::process::geteuid();
    let forbidden = if metadata.uid() == 0 && !ours.is_root() { 0o037 } else { 0o077 };
    if ![0, ours.as_raw()].contains(&metadata.uid()) {
        return Err(file(path, "belongs to another user, who could exchange it; run chown on it"));
    }
    if metadata.permissions().mode() & forbidden != 0 {
        return Err(file(path, "is readable by others; run chmod 600 on it"));
    }
    let mut text = Zeroizing::new(String::new());
    opened.read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}
