//! Looks at what an endpoint serves. It trusts nothing and judges nothing: it must see broken certificates too. The
//! handshake still proves that the endpoint holds the key of the leaf it shows.

use certctl_port_target::Material;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, SignatureScheme};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host`, `host:port` or `[address]:port`; the port is 443 when it is left out.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        } else {
            match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = port.map_or(Some(443), |port| port.parse().ok().filter(|port| *port != 0))?;
        ServerName::try_from(host).ok()?;
        Some(Self { host: host.to_owned(), port })
    }

    /// The addresses that the host's name stands for.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let addresses: Vec<_> = found.map_err(|error| format!("{} can't be resolved: {error}", self.host))?.collect();
        if addresses.is_empty() { Err(format!("{} has no address", self.host)) } else { Ok(addresses) }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

/// What an endpoint serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Lower-case hexadecimal SHA-256 of the leaf.
    pub fingerprint: String,
    /// `TLS 1.2` or `TLS 1.3`.
    pub tls_version: &'static str,
    /// Leaf and what follows it, DER.
    pub chain: Vec<Vec<u8>>,
}

/// Accepts every certificate; the signatures of the handshake are checked.
#[derive(Debug)]
struct CaptureOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for CaptureOnly {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Shakes hands with one address under `server_name` and reports what it served.
pub fn probe(address: SocketAddr, server_name: &str, limit: Duration) -> Result<Seen, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{address}: {error}");
    let deadline = Instant::now() + limit;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(CaptureOnly(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(server_name.to_owned()).map_err(|error| failed(&error))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| failed(&error))?;
    let mut socket = TcpStream::connect_timeout(&address, limit).map_err(|error| failed(&error))?;
    while connection.is_handshaking() {
        while connection.wants_write() {
            connection.write_tls(&mut socket).map_err(|error| failed(&error))?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed(&"the handshake took too long"));
        }
        socket.set_read_timeout(Some(left)).map_err(|error| failed(&error))?;
        if connection.read_tls(&mut socket).map_err(|error| failed(&error))? == 0 {
            return Err(failed(&"the connection was closed during the handshake"));
        }
        connection.process_new_packets().map_err(|error| failed(&error))?;
    }
    connection.send_close_notify();
    // The answer is in hand; whether the goodbye arrives does not matter.
    while connection.wants_write() && connection.write_tls(&mut socket).is_ok() {}
    let chain: Vec<Vec<u8>> =
        connection.peer_certificates().unwrap_or_default().iter().map(|der| der.as_ref().to_vec()).collect();
    let leaf = chain.first().ok_or_else(|| failed(&"it showed no certificate"))?;
    let tls_version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    Ok(Seen { fingerprint: Material::fingerprint_of(leaf), tls_version, chain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_have_a_host_and_a_port() {
        for (text, host, port) in [
            ("www.example.com", "www.example.com", 443),
            ("www.example.com:8443", "www.example.com", 8443),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:9", "::1", 9),
            ("[::1]", "::1", 443),
            ("::1", "::1", 443),
        ] {
            assert_eq!(Endpoint::parse(text), Some(Endpoint { host: host.into(), port }), "{text}");
        }
        for bad in ["", ":443", "a:", "a:0", "a:70000", "[::1", "https://a", "a b"] {
            assert_eq!(Endpoint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_silent_endpoint_ends_in_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let error = probe(address, "localhost", Duration::from_millis(200)).expect_err("it never answers");
        assert!(error.starts_with(&address.to_string()), "{error}");
    }
}
