//! Whether a presented session is good.

use crate::{GRACE, Refusal, RevokedReason, Session, SessionSettings, SessionStore, Standing, Verified};
use certctl_kernel::{StoreError, Timestamp};
use certctl_rbac::{Access, RbacStore, access_of};
use time::Duration;

/// A session that is good, with what its actor may do.
#[derive(Debug, Clone)]
pub struct AuthenticatedSession {
    /// The session.
    pub session: Session,
    /// What its actor may do.
    pub access: Access,
    /// How long the answer may be remembered at most.
    pub valid_until: Timestamp,
    /// Whether its use is due to be noted.
    pub touch_due: bool,
}

/// How often a use is written down at most; sooner where sessions live shortly.
const TOUCH_INTERVAL: Duration = Duration::MINUTE;

/// Judges a session whose cookie was verified. The outer error is the store's: nobody knows then whether the session
/// is good.
pub async fn authenticate_session(
    store: &mut (impl SessionStore + RbacStore + ?Sized),
    verified: &Verified,
    settings: &SessionSettings,
    now: Timestamp,
) -> Result<Result<AuthenticatedSession, Refusal>, StoreError> {
    // Read first: a change while the rest is read makes the answer older than it is, never newer.
    let version = store.rbac_version().await?;
    let Some(standing) = store.session_standing(&verified.id).await? else { return Ok(Err(Refusal::Invalid)) };
    if standing.session.signing_key_id != verified.key_id {
        return Ok(Err(Refusal::Invalid));
    }
    if let Err(refusal) = judge(&standing, settings, now) {
        return Ok(Err(refusal));
    }
    let Standing { session, key_expires_at, .. } = standing;
    let access = access_of(store, &session.actor, version, now).await?;
    let replaced = session.replaced.as_ref().map(|(at, _)| *at + GRACE);
    let ends =
        [replaced, Some(session.absolute_expires_at), Some(now + settings.idle), key_expires_at, access.valid_until];
    let interval = TOUCH_INTERVAL.min(settings.idle / 4);
    Ok(Ok(AuthenticatedSession {
        touch_due: now - session.last_seen_at >= interval,
        valid_until: ends.into_iter().flatten().min().unwrap_or(session.absolute_expires_at),
        session,
        access,
    }))
}

/// The order is the contract's: what a refused session says of itself is the first that applies.
fn judge(standing: &Standing, settings: &SessionSettings, now: Timestamp) -> Result<(), Refusal> {
    let session = &standing.session;
    if let Some((_, reason)) = session.revoked {
        return Err(Refusal::Revoked(reason));
    }
    if session.replaced.as_ref().is_some_and(|(at, _)| now >= *at + GRACE) {
        return Err(Refusal::Revoked(RevokedReason::Rotation));
    }
    if now >= session.absolute_expires_at {
        return Err(Refusal::Absolute);
    }
    if now >= session.last_seen_at + settings.idle {
        return Err(Refusal::Idle);
    }
    if standing.actor_disabled {
        return Err(Refusal::Deactivated);
    }
    if standing.key_disabled || standing.key_expires_at.is_some_and(|at| now >= at) {
        return Err(Refusal::Invalid);
    }
    Ok(())
}

/// Whether the request comes from where the session is bound to. What the request does not say is a mismatch when the
/// session knows it.
pub fn check_binding(
    session: &Session,
    settings: &SessionSettings,
    source_ip: Option<&str>,
    user_agent: &str,
) -> Result<(), Refusal> {
    let bound = |known: &str, given: &str| !known.is_empty() && known != given;
    if settings.bind_ip && bound(&session.ip_address, source_ip.unwrap_or_default()) {
        return Err(Refusal::Address);
    }
    // The stored name was cut; so is the given one.
    let given: String = user_agent.chars().take(session.user_agent.chars().count().max(512)).collect();
    if settings.bind_user_agent && bound(&session.user_agent, &given) {
        return Err(Refusal::UserAgent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SameSite;
    use certctl_kernel::{Actor, ActorType};
    use time::OffsetDateTime;

    fn settings() -> SessionSettings {
        SessionSettings {
            idle: Duration::HOUR,
            absolute: Duration::hours(8),
            bind_ip: true,
            bind_user_agent: true,
            max_per_user: 0,
            same_site: SameSite::Lax,
        }
    }

    fn standing() -> Standing {
        let now = OffsetDateTime::UNIX_EPOCH;
        Standing {
            session: Session {
                id: "ses-1".into(),
                actor: Actor::new("u-1", ActorType::User),
                signing_key_id: "sk-1".into(),
                way: "oidc".into(),
                provider_id: None,
                csrf_epoch: 0,
                ip_address: "192.0.2.1".into(),
                user_agent: "browser".into(),
                created_at: now,
                last_seen_at: now,
                absolute_expires_at: now + Duration::hours(8),
                revoked: None,
                renew: false,
                replaced: None,
            },
            actor_disabled: false,
            key_disabled: false,
            key_expires_at: None,
        }
    }

    #[test]
    fn sh_09_idle_and_absolute_ends_hold_whatever_else_goes_on() {
        let (standing, start) = (standing(), OffsetDateTime::UNIX_EPOCH);
        let at = |seen: Duration, now: Duration| {
            let mut used = standing.clone();
            used.session.last_seen_at = start + seen;
            judge(&used, &settings(), start + now)
        };
        assert_eq!(at(Duration::ZERO, Duration::minutes(59)), Ok(()));
        assert_eq!(at(Duration::ZERO, Duration::HOUR), Err(Refusal::Idle));
        assert_eq!(at(Duration::minutes(59), Duration::HOUR), Ok(()));
        assert_eq!(at(Duration::hours(8) - Duration::SECOND, Duration::hours(8)), Err(Refusal::Absolute));
    }

    #[test]
    fn an_id_that_was_replaced_is_good_for_moments_only() {
        let (mut standing, start) = (standing(), OffsetDateTime::UNIX_EPOCH);
        standing.session.replaced = Some((start, "ses-2".into()));
        assert_eq!(judge(&standing, &settings(), start + GRACE - Duration::SECOND), Ok(()));
        let late = judge(&standing, &settings(), start + GRACE);
        assert_eq!(late, Err(Refusal::Revoked(RevokedReason::Rotation)));
        assert_eq!(standing.session.current_id(), "ses-2");
    }

    #[test]
    fn the_first_reason_is_the_one_told() {
        let (mut standing, now) = (standing(), OffsetDateTime::UNIX_EPOCH + Duration::hours(9));
        standing.actor_disabled = true;
        standing.session.revoked = Some((now, RevokedReason::Idp));
        assert_eq!(judge(&standing, &settings(), now), Err(Refusal::Revoked(RevokedReason::Idp)));
        assert_eq!(Refusal::Revoked(RevokedReason::Idp).cause(), "back_channel_revoked");
        standing.session.revoked = None;
        assert_eq!(judge(&standing, &settings(), now), Err(Refusal::Absolute));
        assert_eq!(judge(&standing, &settings(), OffsetDateTime::UNIX_EPOCH), Err(Refusal::Deactivated));
    }

    #[test]
    fn sh_13_another_or_no_address_or_browser_is_refused_where_bound() {
        let session = standing().session;
        let check = |ip, agent| check_binding(&session, &settings(), ip, agent);
        assert_eq!(check(Some("192.0.2.1"), "browser"), Ok(()));
        assert_eq!(check(Some("192.0.2.2"), "browser"), Err(Refusal::Address));
        assert_eq!(check(None, "browser"), Err(Refusal::Address));
        assert_eq!(check(Some("192.0.2.1"), "other"), Err(Refusal::UserAgent));
        assert_eq!(check(Some("192.0.2.1"), ""), Err(Refusal::UserAgent));
        let loose = SessionSettings { bind_ip: false, bind_user_agent: false, ..settings() };
        assert_eq!(check_binding(&session, &loose, None, ""), Ok(()));
    }
}
