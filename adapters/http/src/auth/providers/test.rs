//! `POST /api/v1/auth/oidc/test`

use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_audit::{Action, AuditEvent};
use certctl_kernel::DomainError;
use certctl_oidc::{Probe, ProbeRequest, Provider, check_bundle, get_provider};
use certctl_rbac::Permission;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A provider to look at.
#[derive(Deserialize, ToSchema)]
#[schema(as = OIDCTestInput)]
pub(crate) struct Input {
    /// Issuer identifier; may be left out with `provider_id`.
    #[serde(default)]
    issuer_url: Option<String>,
    /// A stored provider, with its issuer and certificates.
    #[serde(default)]
    provider_id: Option<String>,
    /// Certificates in PEM that the provider's TLS is checked against instead of the system's.
    #[serde(default)]
    ca_bundle_pem: Option<String>,
    // Existing clients send these; looking at a provider needs none of them.
    #[serde(default, rename = "client_id")]
    #[schema(value_type = Option<String>)]
    _client_id: Option<Value>,
    #[serde(default, rename = "client_secret")]
    #[schema(value_type = Option<String>)]
    _client_secret: Option<Value>,
    #[serde(default, rename = "scopes")]
    #[schema(value_type = Option<Vec<String>>)]
    _scopes: Option<Value>,
}

/// What looking at a provider showed, check by check.
#[derive(Serialize, ToSchema)]
#[schema(as = OIDCTestResult)]
pub(crate) struct TestResult {
    discovery_succeeded: bool,
    jwks_reachable: bool,
    /// Algorithms that the provider says it signs ID tokens with.
    supported_alg_values: Vec<String>,
    /// Whether its answers name it (RFC 9207).
    iss_param_supported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    issuer_echo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    authorization_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    userinfo_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    end_session_endpoint: Option<String>,
    /// Where groups are looked for, of a stored provider: the first thing to look at when nobody has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    groups_claim_paths: Vec<String>,
    /// What is wrong; an entry that begins with `note:` is only worth knowing.
    errors: Vec<String>,
}

impl TestResult {
    fn new(probe: Probe, stored: Option<&Provider>) -> Self {
        let groups_claim_paths = stored.map_or_else(Vec::new, |provider| {
            std::iter::once(&provider.groups_claim_path).chain(&provider.more_groups_claim_paths).cloned().collect()
        });
        Self {
            discovery_succeeded: probe.discovery_succeeded,
            jwks_reachable: probe.jwks_reachable,
            supported_alg_values: probe.supported_alg_values,
            iss_param_supported: probe.iss_param_supported,
            issuer_echo: probe.issuer_echo,
            authorization_url: probe.authorization_url,
            token_url: probe.token_url,
            jwks_uri: probe.jwks_uri,
            userinfo_endpoint: probe.userinfo_endpoint,
            end_session_endpoint: probe.end_session_endpoint,
            groups_claim_paths,
            errors: probe.errors,
        }
    }
}

/// Looks at a provider, stored or not; nothing is stored. Checks that fail are told in the answer.
#[utoipa::path(
    post, path = "/api/v1/auth/oidc/test", tag = "auth", request_body = Input,
    responses(
        (status = 200, body = TestResult),
        (status = 404, body = crate::edge::ErrorBody, description = "There is no such provider."),
    ),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    caller.require(Permission::AuthOidcCreate, &[])?;
    let input = body.value;
    let oidc = cx.state().oidc()?;
    let stored = match input.provider_id.filter(|id| !id.is_empty()) {
        Some(id) => Some(cx.read(async |tx| Ok(get_provider(tx, caller, &id).await?)).await?),
        None => None,
    };
    let issuer_url = input
        .issuer_url
        .filter(|issuer| !issuer.trim().is_empty())
        .or_else(|| stored.as_ref().map(|provider| provider.issuer_url.clone()))
        .ok_or_else(|| ApiError::invalid("issuer_url", "required", "issuer_url is required"))?;
    let ca_bundle_pem = input
        .ca_bundle_pem
        .or_else(|| stored.as_ref().map(|provider| provider.ca_bundle_pem.clone()))
        .unwrap_or_default();
    check_bundle(&ca_bundle_pem)?;
    // An address that is refused, or a text that is none, is a check that failed.
    let probe = match certctl_oidc::check_issuer(&issuer_url, oidc.settings.policy) {
        Ok(_) => {
            let request = ProbeRequest { issuer_url: issuer_url.clone(), ca_bundle_pem };
            oidc.party.probe(&request).await
        }
        Err(DomainError::Validation(errors)) => {
            Probe { errors: errors.into_iter().map(|error| error.message).collect(), ..Probe::default() }
        }
        Err(other) => return Err(other.into()),
    };
    let details = json!({
        "issuer_url": issuer_url, "discovery_succeeded": probe.discovery_succeeded,
        "jwks_reachable": probe.jwks_reachable, "iss_param_supported": probe.iss_param_supported,
        "error_count": probe.errors.len(),
    });
    let subject = stored.as_ref().map_or("test", |provider| provider.id.as_str()).to_owned();
    cx.change(&body.digest, async |tx| {
        tx.record(AuditEvent::new(Action::OidcProviderTested, &caller.context, subject, details)).await?;
        Ok(Reply::ok(TestResult::new(probe, stored.as_ref())))
    })
    .await
}
