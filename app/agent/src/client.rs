//! Calls to the control plane: TLS 1.3 only, no redirects, bounded answers.

use crate::settings::Settings;
use certctl_kernel::Secret;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Request;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Largest answer that is read.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The control plane could not be reached or did not answer as one.
    #[error("the control plane can't be reached: {0}")]
    Unreachable(String),
    /// This agent is retired.
    #[error("this agent is retired")]
    Retired,
    /// It answered with an error.
    #[error("{status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
}

impl CallError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Retired => false,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 401 | 408 | 425 | 429),
        }
    }
}

/// The agent's side of the control plane's HTTP API.
pub struct Client {
    agent: ureq::Agent,
    server: String,
    credential: Option<Secret<String>>,
}

fn roots(settings: &Settings) -> Result<RootCerts, String> {
    let Some(path) = &settings.ca_bundle else {
        let found = rustls_native_certs::load_native_certs();
        return Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>().into());
    };
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        match item.map_err(|error| format!("{}: {error}", path.display()))? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            _ => return Err(format!("{} holds something else than certificates", path.display())),
        }
    }
    if certificates.is_empty() {
        return Err(format!("{} holds no certificate", path.display()));
    }
    Ok(certificates.into())
}

impl Client {
    /// A client without a credential.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let mut provider = rustls::crypto::ring::default_provider();
        // Without suites of TLS 1.2 the handshake can only be TLS 1.3.
        provider.cipher_suites.retain(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_3);
        if settings.insecure_skip_verify {
            tracing::warn!(
                "the control plane's certificate is NOT checked: anyone on the way can read and change everything"
            );
        }
        let tls = TlsConfig::builder()
            .root_certs(roots(settings)?)
            .disable_verification(settings.insecure_skip_verify)
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .build();
        let config = ureq::Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("certctl-agent/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .max_idle_connections(2)
            .input_buffer_size(16 * 1024)
            .output_buffer_size(16 * 1024)
            .build();
        Ok(Self { agent: config.into(), server: settings.server.clone(), credential: None })
    }

    /// The same with the agent's key.
    pub fn with_credential(self, key: Secret<String>) -> Self {
        Self { credential: Some(key), ..self }
    }

    /// One call; `extra` is a header beside the credential.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        extra: Option<(&str, &Secret<String>)>,
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let failed = |error: &dyn std::fmt::Display| CallError::Unreachable(error.to_string());
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        if let Some(key) = &self.credential {
            request = request.header("Authorization", format!("Bearer {}", key.expose()));
        }
        if let Some((name, value)) = extra {
            request = request.header(name, value.expose());
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        if body.is_some() {
            request = request.header("Content-Type", "application/json");
        }
        let mut response = if body.is_some() {
            self.agent.run(request.body(text).map_err(|error| failed(&error))?)
        } else {
            self.agent.run(request.body(()).map_err(|error| failed(&error))?)
        }
        .map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let answer =
            response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(|error| failed(&error))?;
        let value: Value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
        match status {
            200..=299 if value.is_null() && !answer.is_empty() => Err(failed(&"its answer is not JSON")),
            200..=299 => Ok(value),
            410 => Err(CallError::Retired),
            _ => {
                let words = value.get("message").or_else(|| value.get("error")).and_then(Value::as_str);
                let message =
                    words.map_or_else(|| String::from_utf8_lossy(&answer).chars().take(500).collect(), str::to_owned);
                Err(CallError::Refused { status, message })
            }
        }
    }

    /// GET.
    pub fn get(&self, path: &str) -> Result<Value, CallError> {
        self.call("GET", path, None, None)
    }

    /// POST.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call("POST", path, None, Some(body))
    }
}
