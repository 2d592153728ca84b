//! What certctl needs of an identity provider, as a port: the adapter speaks the protocols.

use crate::{Algorithm, Failure};
use async_trait::async_trait;
use certctl_kernel::{Secret, Timestamp};
use serde_json::{Map, Value};
use std::time::Duration;

/// certctl's registration with a provider: what the adapter must know to speak with it.
#[derive(Clone)]
pub struct Registration {
    /// `op-…`
    pub provider_id: String,
    /// Changes with the provider's configuration: what was remembered under another one is not used.
    pub version: i64,
    /// The issuer, by the letter.
    pub issuer_url: String,
    /// Our client id there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Secret<String>,
    /// Where the provider sends browsers back to.
    pub redirect_uri: String,
    /// What is asked for; holds `openid`.
    pub scopes: Vec<String>,
    /// Certificates (PEM) of the authorities that alone are believed; empty for those of the host.
    pub ca_bundle_pem: String,
    /// How long keys and metadata are used before they are fetched again.
    pub jwks_ttl: Duration,
}

/// The parts of one authorization request that are made for it alone.
pub struct AuthorizationRequest<'a> {
    /// Ties the answer to the browser.
    pub state: &'a Secret<String>,
    /// Ties the ID token to the sign-in.
    pub nonce: &'a Secret<String>,
    /// Proves to the provider who began (RFC 7636): only its SHA-256 goes into the request.
    pub verifier: &'a Secret<String>,
}

/// What the token endpoint gave for a code.
pub struct Tokens {
    /// The ID token, not yet verified.
    pub id_token: Secret<String>,
    /// Opens the userinfo endpoint.
    pub access_token: Secret<String>,
}

/// A token whose signature is that of the provider, by an allowed algorithm. Its claims are yet to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedToken {
    /// How it was signed.
    pub algorithm: Algorithm,
    /// `typ` of its header, if any.
    pub typ: Option<String>,
    /// Its claims; no member comes twice.
    pub claims: Map<String, Value>,
}

/// Why a provider was of no help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Metadata or keys can't be had: network, status, size, time, or no such document.
    #[error("{0}")]
    Unreachable(String),
    /// The address is one that certctl does not speak with, or not `https`.
    #[error("{0}")]
    AddressRefused(String),
    /// The document names another issuer than the one configured (OpenID Connect Discovery section 4.3).
    #[error("the discovery document names the issuer {found}, not {configured}; they must be equal, slashes included")]
    OtherIssuer {
        /// As configured.
        configured: String,
        /// As found.
        found: String,
    },
    /// The provider signs with no algorithm that is allowed, or a token names none of them.
    #[error("{0}")]
    Algorithm(String),
    /// A token's signature is not the provider's, or the token is none.
    #[error("{0}")]
    Signature(&'static str),
    /// The token endpoint did not accept the code or its proof (`invalid_grant`, RFC 6749 section 5.2).
    #[error("the token endpoint refused the code (invalid_grant)")]
    GrantRefused,
    /// The token endpoint failed otherwise; the text is sanitised.
    #[error("{0}")]
    Exchange(String),
    /// A fault of the configuration, such as a CA bundle that can't be read.
    #[error("{0}")]
    Configuration(String),
}

impl ProviderError {
    /// The category of a sign-in that ends with it.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Unreachable(_) | Self::AddressRefused(_) => Failure::JwksUnreachable,
            Self::OtherIssuer { .. } | Self::Configuration(_) => Failure::Unspecified,
            Self::Algorithm(_) => Failure::AlgRejected,
            Self::Signature(_) => Failure::SignatureInvalid,
            Self::GrantRefused => Failure::PkceInvalid,
            Self::Exchange(_) => Failure::TokenExchangeFailed,
        }
    }
}

/// A provider that is to be looked at without being stored.
pub struct ProbeRequest {
    /// The issuer, by the letter.
    pub issuer_url: String,
    /// As in [`Registration`].
    pub ca_bundle_pem: String,
}

/// What looking at a provider showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// The discovery document was found and names this issuer.
    pub discovery_succeeded: bool,
    /// The keys were found.
    pub jwks_reachable: bool,
    /// Algorithms that the provider says it signs ID tokens with.
    pub supported_alg_values: Vec<String>,
    /// Whether it says who answers (RFC 9207).
    pub iss_param_supported: bool,
    /// The issuer that the document names.
    pub issuer_echo: Option<String>,
    /// Where browsers are sent.
    pub authorization_url: Option<String>,
    /// Where codes are exchanged.
    pub token_url: Option<String>,
    /// Where the keys are.
    pub jwks_uri: Option<String>,
    /// Where userinfo is.
    pub userinfo_endpoint: Option<String>,
    /// Where the provider ends its session.
    pub end_session_endpoint: Option<String>,
    /// What is wrong; an entry that begins with `note:` is only worth knowing.
    pub errors: Vec<String>,
}

/// A key that a provider publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// `kid`, empty where there is none.
    pub kid: String,
    /// `kty`.
    pub key_type: String,
    /// `alg`, where the key names one.
    pub algorithm: Option<String>,
}

/// What is remembered of a provider's metadata and keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyStatus {
    /// When metadata and keys were last fetched.
    pub last_refresh_at: Option<Timestamp>,
    /// Until when they are used without being fetched again.
    pub expires_at: Option<Timestamp>,
    /// The keys.
    pub keys: Vec<PublishedKey>,
    /// How often they were fetched since the start of this process.
    pub refresh_count: u64,
    /// Why they could not be fetched, if the last attempt failed.
    pub last_error: Option<String>,
    /// Tokens that were refused for their signature since the start of this process.
    pub rejected_jws_count: u64,
    /// Whether the provider says who answers (RFC 9207).
    pub iss_param_supported: bool,
}

/// A provider, as certctl speaks with it.
///
/// Contract: nothing is ever sent to, or read from, an address that the outbound policy refuses; every call ends within
/// a bounded time and memory; what an answer says is believed only as far as the document of the configured issuer
/// goes. Metadata and keys are remembered for [`Registration::jwks_ttl`] under [`Registration::version`]; when a
/// provider can't be reached, older ones are used up to a bound; a failed fetch never replaces what there is.
#[async_trait]
pub trait RelyingParty: Send + Sync {
    /// Where the browser goes to sign in (RFC 6749 section 4.1.1), with PKCE S256; `plain` can't be asked for.
    async fn authorization_url(
        &self,
        at: &Registration,
        request: &AuthorizationRequest<'_>,
    ) -> Result<String, ProviderError>;

    /// Whether the provider's answers carry `iss` (RFC 9207).
    async fn answers_with_issuer(&self, at: &Registration) -> Result<bool, ProviderError>;

    /// Exchanges a code (RFC 6749 section 4.1.3).
    async fn exchange(
        &self,
        at: &Registration,
        code: &Secret<String>,
        verifier: &Secret<String>,
    ) -> Result<Tokens, ProviderError>;

    /// Verifies the signature of an ID token or logout token. An unknown key is looked for once more at the provider,
    /// within limits.
    async fn verify(&self, at: &Registration, token: &str) -> Result<SignedToken, ProviderError>;

    /// The userinfo of an access token. Whose it is, is for the caller to compare.
    async fn userinfo(
        &self,
        at: &Registration,
        access_token: &Secret<String>,
    ) -> Result<Map<String, Value>, ProviderError>;

    /// The groups of the person whom an access token of Entra ID speaks for, by Microsoft Graph.
    async fn graph_groups(
        &self,
        at: &Registration,
        access_token: &Secret<String>,
    ) -> Result<Vec<String>, ProviderError>;

    /// Where the browser goes to end the provider's own session (OpenID Connect RP-Initiated Logout 1.0 section 2);
    /// `None` when the provider knows no such place.
    async fn end_session_url(
        &self,
        at: &Registration,
        id_token: Option<&Secret<String>>,
        return_to: Option<&str>,
    ) -> Result<Option<String>, ProviderError>;

    /// Looks at a provider without remembering anything.
    async fn probe(&self, request: &ProbeRequest) -> Probe;

    /// Fetches metadata and keys now.
    async fn refresh(&self, at: &Registration) -> Result<KeyStatus, ProviderError>;

    /// What is remembered now, without asking anybody.
    fn status(&self, provider_id: &str) -> KeyStatus;

    /// Whether an issuer's address is one that certctl speaks with, as far as it can be told without asking anybody but
    /// the resolver; the error is for the person who configures it.
    async fn check_address(&self, issuer_url: &str) -> Result<(), String>;

    /// Forgets a provider, because its configuration changed.
    fn forget(&self, provider_id: &str);
}
