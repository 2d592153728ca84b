//! Beginning a sign-in.

use crate::{
    AuthorizationRequest, Failure, OidcStore, Pending, Provider, ProviderError, RelyingParty, check_return_to,
    registration,
};
use certctl_kernel::{DomainError, Id, IdKind, StoreError};
use certctl_ports::{Ambient, SealError, Sealer};

/// A browser that wants to sign in.
#[derive(Debug, Clone, Copy)]
pub struct BeginSignIn<'a> {
    /// Through which provider.
    pub provider_id: &'a str,
    /// Where the person wanted to go.
    pub return_to: Option<&'a str>,
    /// Where from.
    pub source_ip: Option<&'a str>,
    /// What the browser calls itself; empty when it does not say.
    pub user_agent: &'a str,
}

/// A sign-in that was begun.
pub struct Begun {
    /// `pl-…`
    pub id: Id,
    /// Everything about it, sealed, for the browser to bring back.
    pub sealed: String,
    /// Where the browser goes.
    pub url: String,
}

/// Why none was begun.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// The input is not sound, there is no such provider, or the store failed.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The provider is switched off.
    #[error("signing in through this provider is switched off")]
    Disabled,
    /// The provider is of no help.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Secrets can't be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl From<StoreError> for BeginError {
    fn from(error: StoreError) -> Self {
        Self::Domain(error.into())
    }
}

impl BeginError {
    /// The category, where the sign-in failed and not the request.
    pub const fn failure(&self) -> Option<Failure> {
        match self {
            Self::Domain(DomainError::Validation(_) | DomainError::NotFound { .. }) => None,
            Self::Domain(_) | Self::Seal(_) => Some(Failure::Unspecified),
            Self::Disabled => Some(Failure::ProviderDisabled),
            Self::Provider(error) => Some(error.failure()),
        }
    }
}

/// The provider that a browser wants to sign in through.
pub async fn provider_to_begin_with(
    store: &mut (impl OidcStore + ?Sized),
    provider_id: &str,
) -> Result<Provider, BeginError> {
    let provider = store.provider(provider_id).await?.filter(|provider| provider.archived_at.is_none());
    let provider = provider.ok_or_else(|| DomainError::not_found("provider", provider_id))?;
    if provider.usable() { Ok(provider) } else { Err(BeginError::Disabled) }
}

/// Begins a sign-in. Nothing is stored: the browser keeps it, sealed, until it comes back.
pub async fn begin_sign_in(
    party: &dyn RelyingParty,
    ambient: &Ambient,
    sealer: &dyn Sealer,
    provider: &Provider,
    command: &BeginSignIn<'_>,
) -> Result<Begun, BeginError> {
    let return_to = match command.return_to.filter(|text| !text.is_empty()) {
        None => "/",
        Some(text) => check_return_to(text)
            .map_err(|error| DomainError::invalid("return_to", "not_a_local_path", error.to_string()))?,
    };
    let registration = registration(provider, sealer)?;
    let id = ambient.id(IdKind::PreLogin);
    let pending = Pending::begin(ambient, &provider.id, return_to, command.source_ip, command.user_agent);
    let request = AuthorizationRequest { state: &pending.state, nonce: &pending.nonce, verifier: &pending.verifier };
    let url = party.authorization_url(&registration, &request).await?;
    Ok(Begun { sealed: pending.seal(sealer, &id)?, id, url })
}
