//! Signing out at the provider as well (OpenID Connect RP-Initiated Logout 1.0).

use crate::edge::Cx;
use certctl_kernel::{DomainError, Secret};
use certctl_oidc::{Provider, registration};
use certctl_secrets::SealedColumn;
use certctl_session::Session;

/// Where the browser goes on to, so that the provider's own session ends too; `None` where the session did not come
/// from a provider, the provider is not set up so, or it can't be asked: that its session stays is then on the log.
pub(crate) async fn end_session_url(cx: &Cx, session: &Session) -> Option<String> {
    let provider_id = session.provider_id.as_deref()?;
    match find(cx, session, provider_id).await {
        Ok(url) => url,
        Err(error) => {
            tracing::warn!(provider_id, session_id = session.id, %error, "the provider's own session stays");
            None
        }
    }
}

async fn find(cx: &Cx, session: &Session, provider_id: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let state = cx.state();
    let mut unit = state.db.read().await?;
    let provider = unit.stores().provider(provider_id).await?.filter(|provider| provider.rp_initiated_logout);
    let sealed = unit.stores().session_secrets(&session.id).await?.sealed_id_token;
    drop(unit);
    let Some(provider) = provider else { return Ok(None) };
    let fault = |what: &str| DomainError::Internal { reason: what.to_owned() };
    let oidc = state.oidc().map_err(|_| fault("no relying party"))?;
    let sealer = state.sessions().map_err(|_| fault("no sessions"))?.sealer();
    let token = match sealed {
        Some(blob) => {
            let octets = sealer.open(&blob, SealedColumn::ID_TOKEN.cell(&session.id))?;
            Some(Secret::new(String::from_utf8(octets.to_vec())?))
        }
        None => None,
    };
    let registration = registration(&provider, sealer)?;
    let back = sign_in_page(&provider);
    Ok(oidc.party.end_session_url(&registration, token.as_ref(), back.as_deref()).await?)
}

/// The sign-in page under the origin that people reach this server by.
fn sign_in_page(provider: &Provider) -> Option<String> {
    let origin = url::Url::parse(&provider.redirect_uri).ok()?.origin();
    origin.is_tuple().then(|| format!("{}/login", origin.ascii_serialization()))
}
