//! certctl as a relying party (OpenID Connect Core 1.0): discovery, keys, the exchange of codes, signatures.
//!
//! `openidconnect` and `oauth2` make the requests and read the answers of RFC 6749, `josekit` verifies signatures, and
//! one guarded client carries all of it.

mod cache;
mod exchange;
mod keys;
mod metadata;
mod outbound;
mod probe;

pub use outbound::{Lookup, SystemLookup};

use crate::cache::{Cache, Entry};
use crate::keys::Header;
use crate::outbound::Outbound;
use async_trait::async_trait;
use certctl_kernel::Secret;
use certctl_oidc::{
    AuthorizationRequest, KeyStatus, MOST_GROUPS, OutboundPolicy, Probe, ProbeRequest, ProviderError, Registration,
    RelyingParty, SignedToken, Tokens, strict_json,
};
use certctl_ports::Ambient;
use openidconnect::{ClientId, EndSessionUrl, LogoutRequest, PostLogoutRedirectUrl};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Microsoft Graph of the public cloud.
pub const GRAPH: &str = "https://graph.microsoft.com";

/// How long one request to a provider may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How certctl speaks with providers.
pub struct Settings {
    /// Which addresses it speaks with.
    pub policy: OutboundPolicy,
    /// Where Microsoft Graph is; national clouds have their own.
    pub graph_url: String,
    /// From the first octet of a request to the last of its answer.
    pub timeout: Duration,
}

/// The relying party.
pub struct OidcClient {
    settings: Settings,
    outbound: Outbound,
    cache: Cache,
}

impl OidcClient {
    /// Asks by the host's resolver and believes the host's authorities.
    pub fn new(settings: Settings, ambient: Ambient) -> Self {
        Self::with_lookup(settings, ambient, Arc::new(SystemLookup))
    }

    /// Asks another resolver.
    pub fn with_lookup(settings: Settings, ambient: Ambient, lookup: Arc<dyn Lookup>) -> Self {
        let outbound = Outbound::new(settings.policy, settings.timeout, lookup);
        Self { settings, outbound, cache: Cache::new(ambient) }
    }

    async fn entry(&self, at: &Registration) -> Result<Arc<Entry>, ProviderError> {
        self.cache.entry(&self.outbound, at).await
    }

    async fn verified(&self, at: &Registration, token: &str) -> Result<SignedToken, ProviderError> {
        let header = Header::of(token)?;
        let entry = self.entry(at).await?;
        let mut payload = entry.keys.verify(token, &header);
        // A key that is known, and did not sign this, is no reason to ask again.
        let may_be_new = header.kid.as_ref().is_none_or(|kid| !entry.keys.holds(kid));
        if payload.is_none()
            && may_be_new
            && let Some(fresh) = self.cache.look_again(&self.outbound, at, &entry, &header).await?
        {
            payload = fresh.keys.verify(token, &header);
        }
        let payload = payload.ok_or(ProviderError::Signature("no key of the provider signed the token"))?;
        header.signed(&payload)
    }
}

fn bearer(access_token: &Secret<String>) -> Result<HeaderValue, ProviderError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", access_token.expose()))
        .map_err(|_| ProviderError::Exchange("the access token can't be sent in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[async_trait]
impl RelyingParty for OidcClient {
    async fn authorization_url(
        &self,
        at: &Registration,
        request: &AuthorizationRequest<'_>,
    ) -> Result<String, ProviderError> {
        exchange::authorization_url(at, &self.entry(at).await?.metadata, request)
    }

    async fn answers_with_issuer(&self, at: &Registration) -> Result<bool, ProviderError> {
        Ok(self.entry(at).await?.metadata.authorization_response_iss_parameter_supported)
    }

    async fn exchange(
        &self,
        at: &Registration,
        code: &Secret<String>,
        verifier: &Secret<String>,
    ) -> Result<Tokens, ProviderError> {
        let entry = self.entry(at).await?;
        exchange::exchange(&self.outbound, at, &entry.metadata, code, verifier).await
    }

    async fn verify(&self, at: &Registration, token: &str) -> Result<SignedToken, ProviderError> {
        let verified = self.verified(at, token).await;
        if matches!(verified, Err(ProviderError::Signature(_) | ProviderError::Algorithm(_))) {
            self.cache.count_rejected(&at.provider_id);
        }
        verified
    }

    async fn userinfo(
        &self,
        at: &Registration,
        access_token: &Secret<String>,
    ) -> Result<Map<String, Value>, ProviderError> {
        let entry = self.entry(at).await?;
        let none = || ProviderError::Unreachable("the provider has no userinfo endpoint".to_owned());
        let place = entry.metadata.userinfo_endpoint.as_ref().ok_or_else(none)?;
        let url = self.outbound.vet("userinfo_endpoint", place)?;
        let mut request = reqwest::Request::new(reqwest::Method::GET, url);
        request.headers_mut().insert(AUTHORIZATION, bearer(access_token)?);
        let answer = self.outbound.ask(&at.ca_bundle_pem, "the userinfo endpoint", request).await?;
        if answer.status != 200 {
            let text = format!("the userinfo endpoint answered with status {}", answer.status);
            return Err(ProviderError::Unreachable(text));
        }
        // Signed userinfo (OpenID Connect Core section 5.3.2) is held to the same algorithms and keys.
        if answer.content_type.starts_with("application/jwt") {
            let token = String::from_utf8(answer.body).map_err(|_| ProviderError::Signature("userinfo is no token"))?;
            return Ok(self.verify(at, token.trim()).await?.claims);
        }
        strict_json::object(&answer.body)
            .map_err(|_| ProviderError::Unreachable("the userinfo endpoint did not answer with JSON".to_owned()))
    }

    async fn graph_groups(
        &self,
        at: &Registration,
        access_token: &Secret<String>,
    ) -> Result<Vec<String>, ProviderError> {
        let place = format!("{}/v1.0/me/getMemberGroups", self.settings.graph_url.trim_end_matches('/'));
        let url = self.outbound.vet("the address of Microsoft Graph", &place)?;
        let mut request = reqwest::Request::new(reqwest::Method::POST, url);
        request.headers_mut().insert(AUTHORIZATION, bearer(access_token)?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(json!({"securityEnabledOnly": false}).to_string().into());
        let answer = self.outbound.ask(&at.ca_bundle_pem, "Microsoft Graph", request).await?;
        let failed = |text: String| ProviderError::Unreachable(text);
        if answer.status != 200 {
            return Err(failed(format!("Microsoft Graph answered with status {}", answer.status)));
        }
        let members = strict_json::object(&answer.body)
            .map_err(|_| failed("Microsoft Graph did not answer with JSON".to_owned()))?;
        let names = members.get("value").and_then(Value::as_array).map(|items| {
            items.iter().map(|item| item.as_str().map(ToOwned::to_owned)).collect::<Option<Vec<String>>>()
        });
        match names.flatten() {
            Some(names) if names.len() <= MOST_GROUPS => Ok(names),
            Some(_) => Err(failed(format!("Microsoft Graph lists more than {MOST_GROUPS} groups"))),
            None => Err(failed("Microsoft Graph did not answer with a list of groups".to_owned())),
        }
    }

    async fn end_session_url(
        &self,
        at: &Registration,
        id_token: Option<&Secret<String>>,
        return_to: Option<&str>,
    ) -> Result<Option<String>, ProviderError> {
        let entry = self.entry(at).await?;
        let Some(place) = &entry.metadata.end_session_endpoint else { return Ok(None) };
        let fault = |what: &str| ProviderError::Configuration(format!("{what} is not a URL"));
        let place = EndSessionUrl::new(place.clone()).map_err(|_| fault("end_session_endpoint"))?;
        let mut request = LogoutRequest::from(place).set_client_id(ClientId::new(at.client_id.clone()));
        if let Some(return_to) = return_to {
            let url = PostLogoutRedirectUrl::new(return_to.to_owned());
            request = request.set_post_logout_redirect_uri(url.map_err(|_| fault("the address to return to"))?);
        }
        let mut url = request.http_get_url();
        if let Some(id_token) = id_token {
            url.query_pairs_mut().append_pair("id_token_hint", id_token.expose());
        }
        Ok(Some(url.into()))
    }

    async fn probe(&self, request: &ProbeRequest) -> Probe {
        probe::probe(&self.outbound, request).await
    }

    async fn refresh(&self, at: &Registration) -> Result<KeyStatus, ProviderError> {
        self.cache.refresh(&self.outbound, at).await?;
        Ok(self.cache.status(&at.provider_id))
    }

    fn status(&self, provider_id: &str) -> KeyStatus {
        self.cache.status(provider_id)
    }

    async fn check_address(&self, issuer_url: &str) -> Result<(), String> {
        self.outbound.vet_resolved("issuer_url", issuer_url).await.map_err(|error| error.to_string())
    }

    fn forget(&self, provider_id: &str) {
        self.cache.forget(provider_id);
    }
}
