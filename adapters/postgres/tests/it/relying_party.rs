//! A relying party whose providers answer as a test says.

use async_trait::async_trait;
use certctl_kernel::Secret;
use certctl_oidc::{
    AuthorizationRequest, KeyStatus, Probe, ProbeRequest, ProviderError, PublishedKey, Registration, RelyingParty,
    SignedToken, Tokens,
};
use serde_json::{Map, Value};
use std::sync::Mutex;

/// Answers to whoever asks; issuers with `down` in their name can't be reached. Remembers who was forgotten.
#[derive(Default)]
pub struct Scripted {
    state: Mutex<KeyStatus>,
}

fn unreachable() -> ProviderError {
    ProviderError::Unreachable("the discovery document can't be fetched".to_owned())
}

#[async_trait]
impl RelyingParty for Scripted {
    async fn authorization_url(&self, _: &Registration, _: &AuthorizationRequest<'_>) -> Result<String, ProviderError> {
        Err(unreachable())
    }

    async fn answers_with_issuer(&self, _: &Registration) -> Result<bool, ProviderError> {
        Err(unreachable())
    }

    async fn exchange(
        &self,
        _: &Registration,
        _: &Secret<String>,
        _: &Secret<String>,
    ) -> Result<Tokens, ProviderError> {
        Err(unreachable())
    }

    async fn verify(&self, _: &Registration, _: &str) -> Result<SignedToken, ProviderError> {
        Err(unreachable())
    }

    async fn userinfo(&self, _: &Registration, _: &Secret<String>) -> Result<Map<String, Value>, ProviderError> {
        Err(unreachable())
    }

    async fn graph_groups(&self, _: &Registration, _: &Secret<String>) -> Result<Vec<String>, ProviderError> {
        Err(unreachable())
    }

    async fn end_session_url(
        &self,
        _: &Registration,
        _: Option<&Secret<String>>,
        _: Option<&str>,
    ) -> Result<Option<String>, ProviderError> {
        Err(unreachable())
    }

    async fn probe(&self, request: &ProbeRequest) -> Probe {
        if request.issuer_url.contains("down") {
            return Probe { errors: vec![unreachable().to_string()], ..Probe::default() };
        }
        Probe {
            discovery_succeeded: true,
            jwks_reachable: true,
            supported_alg_values: vec!["RS256".to_owned(), "HS256".to_owned()],
            issuer_echo: Some(request.issuer_url.clone()),
            errors: vec!["note: HS256 is offered as well and is never accepted".to_owned()],
            ..Probe::default()
        }
    }

    async fn refresh(&self, at: &Registration) -> Result<KeyStatus, ProviderError> {
        let mut state = self.state.lock().expect("no test panics while it holds the state");
        if at.issuer_url.contains("down") {
            state.last_error = Some(unreachable().to_string());
            return Err(unreachable());
        }
        state.refresh_count += 1;
        state.last_refresh_at = Some(crate::support::START);
        state.last_error = None;
        state.keys = vec![PublishedKey {
            kid: "key-1".to_owned(),
            key_type: "RSA".to_owned(),
            algorithm: Some("RS256".to_owned()),
        }];
        Ok(state.clone())
    }

    fn status(&self, _: &str) -> KeyStatus {
        self.state.lock().expect("no test panics while it holds the state").clone()
    }

    async fn check_address(&self, issuer_url: &str) -> Result<(), String> {
        if issuer_url.contains("inside") { Err("the host has a private address".to_owned()) } else { Ok(()) }
    }

    fn forget(&self, _: &str) {}
}
