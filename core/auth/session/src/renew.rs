//! Another id for the same session, when what its actor may do has changed.

use crate::{Maker, Minted, Session, SessionError, SessionStore};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{IdKind, RequestContext, Secret};
use certctl_ports::{Ambient, Sealer};
use certctl_secrets::SealedColumn;
use serde_json::json;
use time::Duration;

/// How long the old id is good after the new one was made: requests of other tabs are on their way with it.
pub const GRACE: Duration = Duration::seconds(30);

/// Gives a session that is due for it another id; `None` when another request was faster. The new session is the old
/// one in all that counts: it ends when the old one would have.
pub async fn renew(
    tx: &mut (impl SessionStore + AuditLog + ?Sized),
    ambient: &Ambient,
    maker: &Maker<'_>,
    context: &RequestContext,
    old: &Session,
) -> Result<Option<Minted>, SessionError> {
    let now = ambient.now();
    let Some(old) = tx.session_for_update(&old.id).await? else { return Ok(None) };
    if !old.renew || old.replaced.is_some() || old.revoked.is_some() {
        return Ok(None);
    }
    let id = ambient.id(IdKind::Session);
    let (cookie, key_id) = maker.keys.sign(&id)?;
    let mut secrets = tx.session_secrets(&old.id).await?;
    // A sealed value belongs to its row.
    if let Some(sealed) = secrets.sealed_id_token.take() {
        secrets.sealed_id_token = Some(move_token(maker.sealer, &sealed, &old.id, &id)?);
    }
    let session = Session { id, signing_key_id: key_id, csrf_epoch: 0, last_seen_at: now, renew: false, ..old.clone() };
    tx.insert_session(&session, &secrets).await?;
    tx.replace_session(&old.id, &session.id, now).await?;
    let details = json!({"user_id": session.actor.id, "way": session.way, "in_place_of": old.id});
    let event = AuditEvent::new(Action::SessionCreated, context, &session.id, details);
    tx.record(event.by(session.actor.clone())).await?;
    let csrf_token = Secret::new(maker.keys.csrf_token(&session.id, &session.signing_key_id, 0)?);
    Ok(Some(Minted { session, cookie: Secret::new(cookie), csrf_token }))
}

fn move_token(sealer: &dyn Sealer, sealed: &[u8], from: &str, to: &str) -> Result<Vec<u8>, SessionError> {
    let open = sealer.open(sealed, SealedColumn::ID_TOKEN.cell(from))?;
    Ok(sealer.seal(&open, SealedColumn::ID_TOKEN.cell(to))?)
}
