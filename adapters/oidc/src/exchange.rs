//! The authorization request and the exchange of its code (RFC 6749 section 4.1, RFC 7636).

use crate::metadata::Metadata;
use crate::outbound::{Outbound, OutboundError};
use certctl_kernel::Secret;
use certctl_oidc::{AuthorizationRequest, ProviderError, Registration, Tokens, strict_json};
use oauth2::basic::{
    BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, ExtraTokenFields, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardRevocableToken,
    StandardTokenResponse, TokenResponse as _, TokenUrl,
};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient};
use openidconnect::{AuthUrl, CsrfToken, IssuerUrl, JsonWebKeySet, Nonce};
use serde::{Deserialize, Serialize};
use std::pin::Pin;

/// The ID token as it came: who verifies it must see its octets, not what a parser made of them.
#[derive(Debug, Serialize, Deserialize)]
struct RawIdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for RawIdToken {}

type TokenClient<A, B, C, D, E> = oauth2::Client<
    oauth2::basic::BasicErrorResponse,
    StandardTokenResponse<RawIdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    A,
    B,
    C,
    D,
    E,
>;

fn fault(what: &str) -> ProviderError {
    ProviderError::Configuration(format!("{what} is not a URL"))
}

/// Where the browser goes. S256 is the only method that can be made here.
pub(crate) fn authorization_url(
    at: &Registration,
    metadata: &Metadata,
    request: &AuthorizationRequest<'_>,
) -> Result<String, ProviderError> {
    let issuer = IssuerUrl::new(at.issuer_url.clone()).map_err(|_| fault("issuer_url"))?;
    let endpoint =
        AuthUrl::new(metadata.authorization_endpoint.clone()).map_err(|_| fault("authorization_endpoint"))?;
    let redirect = RedirectUrl::new(at.redirect_uri.clone()).map_err(|_| fault("redirect_uri"))?;
    let client = CoreClient::new(ClientId::new(at.client_id.clone()), issuer, JsonWebKeySet::default())
        .set_auth_uri(endpoint)
        .set_redirect_uri(redirect);
    let (state, nonce) = (request.state.expose().clone(), request.nonce.expose().clone());
    let challenge =
        PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(request.verifier.expose().clone()));
    let scopes = at.scopes.iter().filter(|scope| *scope != "openid").map(|scope| Scope::new(scope.clone()));
    let (url, ..) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, || CsrfToken::new(state), || Nonce::new(nonce))
        .add_scopes(scopes)
        .set_pkce_challenge(challenge)
        .add_extra_param("access_type", "online")
        .url();
    Ok(url.into())
}

/// Exchanges a code. The client's secret goes by HTTP Basic, and once more in the body when the provider does not know
/// the client that way, or at once where it says that it takes it no other way.
pub(crate) async fn exchange(
    outbound: &Outbound,
    at: &Registration,
    metadata: &Metadata,
    code: &Secret<String>,
    verifier: &Secret<String>,
) -> Result<Tokens, ProviderError> {
    if metadata.secret_in_body() {
        return attempt(outbound, at, metadata, AuthType::RequestBody, code, verifier).await.map_err(Refused::into);
    }
    match attempt(outbound, at, metadata, AuthType::BasicAuth, code, verifier).await {
        Err(Refused::Client) => {
            attempt(outbound, at, metadata, AuthType::RequestBody, code, verifier).await.map_err(Refused::into)
        }
        outcome => outcome.map_err(Refused::into),
    }
}

enum Refused {
    /// `invalid_client`.
    Client,
    Otherwise(ProviderError),
}

impl From<Refused> for ProviderError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Client => Self::Exchange("the token endpoint refused client_id or client_secret".to_owned()),
            Refused::Otherwise(error) => error,
        }
    }
}

async fn attempt(
    outbound: &Outbound,
    at: &Registration,
    metadata: &Metadata,
    auth: AuthType,
    code: &Secret<String>,
    verifier: &Secret<String>,
) -> Result<Tokens, Refused> {
    let endpoint =
        TokenUrl::new(metadata.token_endpoint.clone()).map_err(|_| Refused::Otherwise(fault("token_endpoint")))?;
    let redirect = RedirectUrl::new(at.redirect_uri.clone()).map_err(|_| Refused::Otherwise(fault("redirect_uri")))?;
    let client = TokenClient::new(ClientId::new(at.client_id.clone()))
        .set_client_secret(ClientSecret::new(at.client_secret.expose().clone()))
        .set_auth_type(auth)
        .set_token_uri(endpoint)
        .set_redirect_uri(redirect);
    let sender = Sender { outbound, ca_bundle_pem: &at.ca_bundle_pem };
    let response = client
        .exchange_code(AuthorizationCode::new(code.expose().clone()))
        .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().clone()))
        .request_async(&sender)
        .await;
    let failed = |text: &str| Refused::Otherwise(ProviderError::Exchange(text.to_owned()));
    let tokens = response.map_err(|error| match error {
        // Only the code that RFC 6749 names is told on: descriptions may echo what was sent.
        RequestTokenError::ServerResponse(told) => match told.error() {
            BasicErrorResponseType::InvalidGrant => Refused::Otherwise(ProviderError::GrantRefused),
            BasicErrorResponseType::InvalidClient => Refused::Client,
            BasicErrorResponseType::UnauthorizedClient => failed("the token endpoint answered unauthorized_client"),
            BasicErrorResponseType::InvalidRequest => failed("the token endpoint answered invalid_request"),
            BasicErrorResponseType::InvalidScope => failed("the token endpoint answered invalid_scope"),
            BasicErrorResponseType::UnsupportedGrantType => {
                failed("the token endpoint answered unsupported_grant_type")
            }
            BasicErrorResponseType::Extension(_) => failed("the token endpoint answered with an error of its own"),
        },
        RequestTokenError::Request(OutboundError::Failed(text)) => failed(&text),
        RequestTokenError::Request(error) => Refused::Otherwise(error.into()),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            failed("the token endpoint did not answer as RFC 6749 demands")
        }
    })?;
    let id_token = tokens.extra_fields().id_token.clone().filter(|token| !token.is_empty());
    let id_token = id_token.ok_or_else(|| failed("the token endpoint gave no ID token"))?;
    Ok(Tokens { id_token: Secret::new(id_token), access_token: Secret::new(tokens.access_token().secret().clone()) })
}

/// The guarded client, as the token request knows clients.
struct Sender<'a> {
    outbound: &'a Outbound,
    ca_bundle_pem: &'a str,
}

impl<'c> AsyncHttpClient<'c> for Sender<'_> {
    type Error = OutboundError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, OutboundError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(send(self.outbound, self.ca_bundle_pem, request))
    }
}

async fn send(outbound: &Outbound, ca_bundle_pem: &str, request: HttpRequest) -> Result<HttpResponse, OutboundError> {
    let malformed = || OutboundError::Failed("the token endpoint did not answer as RFC 6749 demands".to_owned());
    let (parts, body) = request.into_parts();
    let url = outbound.vet("token_endpoint", &parts.uri.to_string())?;
    let mut ours = reqwest::Request::new(parts.method, url);
    *ours.headers_mut() = parts.headers;
    *ours.body_mut() = Some(body.into());
    let answer = outbound.ask(ca_bundle_pem, "the token endpoint", ours).await?;
    // A member that comes twice would leave open which of two tokens was meant.
    if answer.status == 200 && strict_json::object(&answer.body).is_err() {
        return Err(malformed());
    }
    let mut response = HttpResponse::new(answer.body);
    *response.status_mut() = oauth2::http::StatusCode::from_u16(answer.status).map_err(|_| malformed())?;
    if let Ok(value) = answer.content_type.parse() {
        response.headers_mut().insert(oauth2::http::header::CONTENT_TYPE, value);
    }
    Ok(response)
}
