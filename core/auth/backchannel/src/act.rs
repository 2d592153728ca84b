//! Acting on a logout token: its single use and the end of the sessions in one transaction.

use crate::LogoutToken;
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, Id, RequestContext, StoreError};
use certctl_oidc::{OidcStore, Provider};
use certctl_ports::Ambient;
use certctl_session::{RevokedReason, SessionStore};
use certctl_user::{SubjectPepper, UserStore};
use serde_json::json;
use time::Duration;

/// For how long a token is remembered, at least.
const REMEMBERED: Duration = Duration::hours(24);

/// What became of a token. Each is a success for the provider: there is nothing left to log out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its sessions were ended.
    Revoked(usize),
    /// Nobody here is known by that name.
    UserUnknown,
    /// It was acted on before.
    Replayed,
}

impl Outcome {
    /// As events tell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked(_) => "revoked",
            Self::UserUnknown => "user_unknown",
            Self::Replayed => "jti_replayed",
        }
    }
}

/// Ends the sessions that the token names: with `sid` those that came from that session of the provider, with `sub`
/// all of that person, with both those that are both; a `sid` that certctl never saw falls back to the person. A failure
/// undoes the use of the token, so that the provider's next delivery acts.
pub async fn log_out(
    tx: &mut (impl OidcStore + UserStore + SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    pepper: &SubjectPepper,
    provider: &Provider,
    token: &LogoutToken,
    max_age: Duration,
) -> Result<Outcome, StoreError> {
    let now = ambient.now();
    let kept_until = now + REMEMBERED.max(max_age * 2);
    let fresh = tx.consume_logout_jti(&provider.issuer_url, &token.jti, now, kept_until).await?;
    let mut ended: Vec<Id> = Vec::new();
    let outcome = if fresh {
        let user = match &token.subject {
            Some(subject) => tx.user_by_lookup(&pepper.lookup(&provider.id, subject)).await?,
            None => None,
        };
        match (&token.sid, &user) {
            _ if token.subject.is_some() && user.is_none() => Outcome::UserUnknown,
            (Some(sid), user) if user.is_none() || tx.sid_known(&provider.id, sid).await? => {
                let only = user.as_ref().map(|user| user.id.as_str());
                ended = tx.revoke_sessions_by_sid(&provider.id, sid, only, now).await?;
                Outcome::Revoked(ended.len())
            }
            (_, Some(user)) => {
                ended = tx.revoke_sessions_of(&user.actor(), None, now, RevokedReason::Idp).await?;
                Outcome::Revoked(ended.len())
            }
            (_, None) => Outcome::UserUnknown,
        }
    } else {
        Outcome::Replayed
    };
    let named = match (&token.subject, &token.sid) {
        (Some(_), Some(_)) => "both",
        (Some(_), None) => "sub",
        _ => "sid",
    };
    let details = json!({
        "issuer": provider.issuer_url, "provider_id": provider.id, "subject": token.subject, "idp_session_id": token.sid,
        "sub_or_sid": named, "outcome": outcome.as_str(), "jti": token.jti, "sessions": ended,
    });
    let event = AuditEvent::new(Action::OidcBackChannelLogout, context, &provider.id, details);
    tx.record(event.by(Actor::new("identity-provider", ActorType::System))).await?;
    Ok(outcome)
}
