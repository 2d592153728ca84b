//! The control plane's own TLS: TLS 1.3 only, rustls with ring, the pair swapped without a restart.

mod bootstrap;
mod load;
mod reload;
#[cfg(test)]
mod tests;

pub(crate) use bootstrap::ensure_pair;
pub(crate) use load::TlsError;
pub(crate) use reload::{PairFiles, ReloadingPair};

use rustls::ServerConfig;
use std::sync::Arc;

/// A listener's configuration that serves whatever `pair` holds at the time of each handshake.
pub(crate) fn server_config(pair: Arc<ReloadingPair>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Pair(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(pair);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
