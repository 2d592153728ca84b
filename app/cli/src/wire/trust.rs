//! Which servers are believed: a bundle, a pinned authority, or the system's roots; TLS 1.3 only.

use crate::failure::Failure;
use crate::settings::Settings;
use data_encoding::{BASE64, HEXLOWER};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt::Write as _;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, Mutex};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use url::Url;

/// A certificate that a server showed.
pub(crate) struct Authority {
    pub(crate) der: Vec<u8>,
}

impl Authority {
    /// SHA-256 in lower-case hex.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }

    /// The PEM form.
    pub(crate) fn to_pem(&self) -> String {
        to_pem("CERTIFICATE", &self.der)
    }
}

/// Wraps DER in PEM armour.
pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        let _ = writeln!(pem, "{line}");
        rest = tail;
    }
    let _ = writeln!(pem, "-----END {label}-----");
    pem
}

/// SHA-256 of `der` in lower-case hex.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, der).as_ref())
}

/// Reads a SHA-256 fingerprint with or without colons, spaces and a `SHA256:` prefix.
pub(crate) fn normalise_fingerprint(text: &str) -> Result<String, String> {
    let text = text.trim();
    let bare = ["sha256:", "sha256 fingerprint=", "sha-256:", "sha256="]
        .iter()
        .find_map(|prefix| {
            text.get(..prefix.len()).filter(|head| head.eq_ignore_ascii_case(prefix)).map(|_| &text[prefix.len()..])
        })
        .unwrap_or(text);
    let hex: String = bare.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>().to_ascii_lowercase();
    if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(hex)
    } else {
        Err("must be the SHA-256 of a certificate: 64 hex digits, colons allowed".to_owned())
    }
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    // The HTTP library asks for every version; without suites of the older one none but 1.3 is offered.
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    Arc::new(provider)
}

fn bundle(path: &Path, pin: Option<&str>) -> Result<Vec<Certificate<'static>>, Failure> {
    let refuse = |reason: String| Failure::Local(format!("CA bundle {}: {reason}", path.display()));
    let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let mut found = Vec::new();
    for item in CertificateDer::pem_slice_iter(&pem) {
        found.push(item.map_err(|error| refuse(format!("not valid PEM: {error}")))?);
    }
    if found.is_empty() {
        return Err(refuse("holds no certificate".to_owned()));
    }
    if let Some(pin) = pin {
        let pin = normalise_fingerprint(pin).map_err(|reason| refuse(format!("ca_fingerprint {reason}")))?;
        found.retain(|certificate| fingerprint(certificate) == pin);
        if found.is_empty() {
            return Err(refuse("no certificate in it has the stored ca_fingerprint".to_owned()));
        }
    }
    Ok(found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

fn roots(settings: &Settings) -> Result<Vec<Certificate<'static>>, Failure> {
    if settings.insecure {
        return Ok(Vec::new());
    }
    if let Some(path) = &settings.ca_bundle {
        return bundle(path, settings.ca_fingerprint.as_deref());
    }
    // Unreadable single files among the system's are no reason to stop while others can be used.
    let found = rustls_native_certs::load_native_certs();
    Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

/// The HTTP agent for these settings.
pub(crate) fn agent_for(settings: &Settings) -> Result<ureq::Agent, Failure> {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(provider())
        .root_certs(RootCerts::Specific(Arc::new(roots(settings)?)))
        .disable_verification(settings.insecure)
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("certctl/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .max_idle_connections(2)
        .build();
    Ok(config.new_agent())
}

/// Notes what a server shows and believes none of it.
#[derive(Debug)]
struct Onlooker {
    seen: Mutex<Vec<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        if let Ok(mut seen) = self.seen.lock() {
            *seen = chain;
        }
        // Refusing ends the handshake here: nothing is ever sent over this connection.
        Err(rustls::Error::General("only looking".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only looking".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only looking".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificates that a server shows, leaf first. They prove nothing until compared with a known fingerprint.
pub(crate) fn presented_chain(server: &Url, timeout: std::time::Duration) -> Result<Vec<Authority>, Failure> {
    let failed = |reason: String| Failure::Network(format!("cannot look at the certificate of {server}: {reason}"));
    let host = server.host_str().unwrap_or_default();
    let port = server.port_or_known_default().unwrap_or(443);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| failed(error.to_string()))?;
    let provider = provider();
    let onlooker = Arc::new(Onlooker { seen: Mutex::new(Vec::new()), provider: provider.clone() });
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| failed(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(onlooker.clone())
        .with_no_client_auth();
    let mut connection =
        rustls::ClientConnection::new(Arc::new(config), name).map_err(|error| failed(error.to_string()))?;
    let mut last = "the name has no address".to_owned();
    for address in (bare, port).to_socket_addrs().map_err(|error| failed(error.to_string()))? {
        let mut stream = match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => stream,
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        let limits = stream.set_read_timeout(Some(timeout)).and_then(|()| stream.set_write_timeout(Some(timeout)));
        limits.map_err(|error| failed(error.to_string()))?;
        let outcome = connection.complete_io(&mut stream);
        let seen = onlooker.seen.lock().map(|mut seen| std::mem::take(&mut *seen)).unwrap_or_default();
        if seen.is_empty() {
            let reason = outcome.err().map_or_else(|| "it showed none".to_owned(), |error| error.to_string());
            return Err(failed(reason));
        }
        return Ok(seen.into_iter().map(|der| Authority { der }).collect());
    }
    Err(failed(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_protocol_is_offered() {
        let provider = provider();
        assert!(!provider.cipher_suites.is_empty());
        assert!(provider.cipher_suites.iter().all(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_3));
    }

    #[test]
    fn fingerprints_are_read_in_the_forms_that_programs_print() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [plain.clone(), colons.clone(), format!("SHA256:{plain}"), format!("sha256 Fingerprint={colons}")] {
            assert_eq!(normalise_fingerprint(&text).unwrap(), plain, "{text}");
        }
        for wrong in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(normalise_fingerprint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bundle_without_a_certificate_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ca.pem");
        assert_eq!(bundle(&path, None).expect_err("missing").exit_code(), 1);
        std::fs::write(&path, "hello").unwrap();
        assert!(bundle(&path, None).expect_err("no PEM").to_string().contains("no certificate"));
    }

    #[test]
    fn pinned_bundle_trusts_only_the_pinned_certificate() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("ca.pem");
        let (one, two) = (Authority { der: vec![1; 100] }, Authority { der: vec![2; 100] });
        std::fs::write(&path, one.to_pem() + &two.to_pem()).unwrap();
        let trusted = bundle(&path, Some(&two.fingerprint())).unwrap();
        assert_eq!(trusted.iter().map(|c| c.der().to_vec()).collect::<Vec<_>>(), vec![two.der]);
        assert!(bundle(&path, Some(&"00".repeat(32))).is_err());
    }
}
