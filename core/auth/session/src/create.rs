//! Making sessions.

use crate::{
    Minted, NewSession, RevokedReason, Session, SessionError, SessionKeys, SessionSecrets, SessionSettings,
    SessionStore, Way,
};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{IdKind, RequestContext, Secret};
use certctl_ports::{Ambient, Sealer};
use certctl_secrets::SealedColumn;
use serde_json::json;

/// What sessions are made with.
pub struct Maker<'a> {
    /// Signs cookies.
    pub keys: &'a SessionKeys,
    /// Seals ID tokens.
    pub sealer: &'a dyn Sealer,
    /// How sessions live.
    pub settings: &'a SessionSettings,
}

/// Characters of a browser's name that are kept.
const LONGEST_NAME: usize = 512;

/// Makes a session with an id that nobody knew before (no fixation). Beyond the limit of sessions an actor may have,
/// the oldest end.
pub async fn create(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    maker: &Maker<'_>,
    context: &RequestContext,
    new: NewSession<'_>,
) -> Result<Minted, SessionError> {
    let now = ambient.now();
    let id = ambient.id(IdKind::Session);
    let (cookie, key_id) = maker.keys.sign(&id)?;
    let way = new.way.as_str().to_owned();
    let mut secrets = SessionSecrets::default();
    let mut provider = None;
    match new.way {
        Way::Oidc { provider_id, sid, id_token } => {
            provider = Some(provider_id);
            secrets.idp_sid = sid;
            if let Some(token) = id_token {
                let cell = SealedColumn::ID_TOKEN.cell(&id);
                secrets.sealed_id_token = Some(maker.sealer.seal(token.expose().as_bytes(), cell)?);
            }
        }
        Way::Breakglass => {}
        Way::ApiKey { key_id } => secrets.api_key_id = Some(key_id),
    }
    let session = Session {
        id,
        actor: new.actor,
        signing_key_id: key_id,
        way,
        provider_id: provider,
        csrf_epoch: 0,
        ip_address: new.source_ip.to_owned(),
        user_agent: new.user_agent.chars().take(LONGEST_NAME).collect(),
        created_at: now,
        last_seen_at: now,
        absolute_expires_at: now + maker.settings.absolute,
        revoked: None,
        renew: false,
        replaced: None,
    };
    tx.insert_session(&session, &secrets).await?;
    let details = json!({
        "user_id": session.actor.id, "actor_type": session.actor.kind.as_str(), "way": session.way,
        "provider_id": session.provider_id, "absolute_expires_at": certctl_kernel::timestamp::to_rfc3339(session.absolute_expires_at),
    });
    let event = AuditEvent::new(Action::SessionCreated, context, &session.id, details);
    tx.record(event.by(session.actor.clone())).await?;
    if maker.settings.max_per_user > 0 {
        let keep = i64::from(maker.settings.max_per_user);
        for old in tx.revoke_oldest_sessions(&session.actor, keep, now).await? {
            let details = json!({
                "target_actor_id": session.actor.id, "reason": RevokedReason::Limit.as_str(), "in_favour_of": session.id,
            });
            tx.record(AuditEvent::new(Action::SessionRevoked, context, old, details)).await?;
        }
    }
    let csrf_token = Secret::new(maker.keys.csrf_token(&session.id, &session.signing_key_id, 0)?);
    Ok(Minted { session, cookie: Secret::new(cookie), csrf_token })
}
