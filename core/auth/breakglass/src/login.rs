//! Signing in with an emergency password: counted first, then one Argon2id whatever was presented, then decided.

use crate::{BreakglassStore, Challenge, Counted, LockoutSettings, Purpose, SecurityKey};
use certctl_audit::{Action, AuditEvent, AuditLog};
use certctl_kernel::{Actor, ActorType, DomainError, IdKind, RequestContext, Secret, StoreError, Timestamp};
use certctl_ports::Ambient;
use certctl_rbac::{Permission, RbacStore, Scope, effective_permissions};
use serde_json::json;
use time::Duration;

/// For how long a challenge is good.
pub const CHALLENGE_LIFETIME: Duration = Duration::minutes(5);

/// Why nobody was signed in; for the trail alone, the client never learns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No such actor, no credential, or the store failed.
    NoCredential,
    /// Locked after too many failures.
    Locked,
    /// The password is another.
    WrongPassword,
    /// The body or the actor's id is not one.
    Malformed,
    /// The person was deactivated.
    Deactivated,
    /// No role of the person permits it.
    NoRole,
    /// The window closed while the password was looked at.
    Closed,
    /// The password was right, and a security key is asked for.
    SecondFactorRequired,
    /// The security key's answer was not good.
    SecondFactorFailed,
    /// No session could be made.
    NoSession,
}

impl Failure {
    /// The trail's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential_or_lookup_error",
            Self::Locked => "locked",
            Self::WrongPassword => "wrong_password",
            Self::Malformed => "malformed",
            Self::Deactivated => "deactivated",
            Self::NoRole => "no_role",
            Self::Closed => "window_closed",
            Self::SecondFactorRequired => "second_factor_required",
            Self::SecondFactorFailed => "second_factor_failed",
            Self::NoSession => "no_session",
        }
    }
}

/// An attempt that was counted.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Whose, trimmed; empty when what was presented can't be anybody's id.
    pub actor_id: String,
    /// What the password is to be checked against; `None` means that one Argon2id is to be run for nothing.
    pub stored: Option<Secret<String>>,
    refused: Option<Failure>,
}

/// The actor's id in what was presented: trimmed. `None` for what no actor is called, such as a password in the wrong
/// field, which must then stand nowhere.
pub fn presented_actor(text: &str) -> Option<&str> {
    let text = text.trim();
    IdKind::check_supplied(text).ok().map(|()| text)
}

/// Whether a text is long enough for a password, and no id that we make ourselves.
fn could_be_password(text: &str) -> bool {
    let made = text.strip_prefix("u-").is_some_and(|rest| rest.len() == 26);
    text.len() >= crate::password::SHORTEST && !made
}

impl Attempt {
    /// One that can't succeed, whatever the store says.
    pub fn hopeless(actor_id: &str, failure: Failure) -> Self {
        // What is nobody's id may be a password in the wrong field.
        let shown = |id: &&str| failure != Failure::NoCredential || !could_be_password(id);
        let actor_id = presented_actor(actor_id).filter(shown).unwrap_or_default().to_owned();
        Self { actor_id, stored: None, refused: Some(failure) }
    }
}

/// Counts an attempt. Save this before the password is looked at.
pub async fn begin(
    tx: &mut (impl BreakglassStore + ?Sized),
    ambient: &Ambient,
    settings: &LockoutSettings,
    presented: &str,
) -> Result<Attempt, StoreError> {
    let Some(actor_id) = presented_actor(presented) else {
        return Ok(Attempt::hopeless("", Failure::Malformed));
    };
    Ok(match tx.count_attempt(actor_id, settings, ambient.now()).await? {
        Counted::Open(hash) => Attempt { actor_id: actor_id.to_owned(), stored: Some(hash), refused: None },
        Counted::Locked => Attempt::hopeless(actor_id, Failure::Locked),
        Counted::NoCredential => Attempt::hopeless(actor_id, Failure::NoCredential),
    })
}

/// What became of an attempt. In every case the trail has its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody is signed in.
    Refused(Failure),
    /// The password was right; one of these keys must answer.
    SecondFactor(Vec<SecurityKey>),
    /// The actor is to get a session in the same transaction.
    SignedIn(Actor),
}

/// Decides after the password was looked at; `right` is what the looking found.
pub async fn finish(
    tx: &mut (impl BreakglassStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    attempt: &Attempt,
    right: bool,
) -> Result<Outcome, DomainError> {
    let refused = match attempt.refused {
        Some(failure) => Some(failure),
        None if !right => Some(Failure::WrongPassword),
        None => still_wrong(tx, ambient, attempt).await?,
    };
    if let Some(failure) = refused {
        return refuse(tx, context, &attempt.actor_id, failure).await;
    }
    let keys = tx.security_keys(&attempt.actor_id).await?;
    if keys.is_empty() {
        return succeed(tx, context, &attempt.actor_id, false).await;
    }
    refuse(tx, context, &attempt.actor_id, Failure::SecondFactorRequired).await?;
    Ok(Outcome::SecondFactor(keys))
}

async fn still_wrong(
    tx: &mut (impl BreakglassStore + RbacStore + ?Sized),
    ambient: &Ambient,
    attempt: &Attempt,
) -> Result<Option<Failure>, DomainError> {
    // The password may have been changed while it was looked at.
    tx.breakglass_credential(&attempt.actor_id).await?;
    let stored = tx.breakglass_hash(&attempt.actor_id).await?;
    let same = match (&stored, &attempt.stored) {
        (Some(now), Some(then)) => now.matches(then.expose().as_bytes()),
        _ => false,
    };
    if !same {
        return Ok(Some(Failure::WrongPassword));
    }
    Ok(barred(tx, &attempt.actor_id, ambient.now()).await?)
}

/// What keeps a person out whose proofs are good.
async fn barred(
    tx: &mut (impl BreakglassStore + RbacStore + ?Sized),
    actor_id: &str,
    now: Timestamp,
) -> Result<Option<Failure>, StoreError> {
    // Held until the session is there: whoever closes the window and ends the sessions ends this one as well.
    if !tx.breakglass_window_for_update().await?.is_some_and(|window| window.open(now)) {
        return Ok(Some(Failure::Closed));
    }
    match tx.person(actor_id).await? {
        None => return Ok(Some(Failure::NoCredential)),
        Some(person) if !person.active => return Ok(Some(Failure::Deactivated)),
        Some(_) => {}
    }
    let allowed = may_sign_in(tx, &Actor::new(actor_id, ActorType::User), now).await?;
    Ok((!allowed).then_some(Failure::NoRole))
}

/// Whether a role that the person holds permits the emergency way in.
pub async fn may_sign_in(
    tx: &mut (impl RbacStore + ?Sized),
    actor: &Actor,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let grants = tx.grants_of(actor).await?;
    let roles: Vec<String> = grants.iter().map(|grant| grant.role_id.clone()).collect();
    let permitted = tx.permissions_of(&roles).await?;
    let held = effective_permissions(&grants, &permitted, now);
    Ok(held.iter().any(|held| held.permission == Permission::AuthBreakglassLogin && held.scope == Scope::Global))
}

/// Tells the trail of an attempt that came to nothing.
pub async fn refuse(
    tx: &mut (impl AuditLog + ?Sized),
    context: &RequestContext,
    actor_id: &str,
    failure: Failure,
) -> Result<Outcome, DomainError> {
    let details = json!({"actor_id": actor_id, "failure_category": failure.as_str()});
    let resource = if actor_id.is_empty() { "unknown" } else { actor_id };
    tx.record(AuditEvent::new(Action::BreakglassLoginFailed, context, resource, details)).await?;
    Ok(Outcome::Refused(failure))
}

async fn succeed(
    tx: &mut (impl BreakglassStore + AuditLog + ?Sized),
    context: &RequestContext,
    actor_id: &str,
    second_factor: bool,
) -> Result<Outcome, DomainError> {
    let actor = Actor::new(actor_id, ActorType::User);
    tx.forget_failures(actor_id).await?;
    let details = json!({"actor_id": actor_id, "second_factor": second_factor});
    let event = AuditEvent::new(Action::BreakglassLoginSucceeded, context, actor_id, details);
    tx.record(event.by(actor.clone())).await?;
    Ok(Outcome::SignedIn(actor))
}

/// Keeps what the WebAuthn library must know again, under an id that the client sends back.
pub async fn keep_challenge(
    tx: &mut (impl BreakglassStore + ?Sized),
    ambient: &Ambient,
    actor_id: &str,
    purpose: Purpose,
    state: String,
) -> Result<Challenge, StoreError> {
    let challenge = Challenge {
        id: ambient.id(IdKind::WebauthnChallenge),
        actor_id: actor_id.to_owned(),
        purpose,
        state,
        expires_at: ambient.now() + CHALLENGE_LIFETIME,
    };
    tx.keep_challenge(&challenge).await?;
    Ok(challenge)
}

/// What a security key's answer was found to be.
pub struct Answer {
    /// The key that answered.
    pub key_id: String,
    /// Its state from now on.
    pub state: String,
}

/// Decides after a security key answered; `answer` is what the WebAuthn library found, `None` when it was not good.
pub async fn finish_second_factor(
    tx: &mut (impl BreakglassStore + RbacStore + AuditLog + ?Sized),
    ambient: &Ambient,
    context: &RequestContext,
    actor_id: &str,
    answer: Option<Answer>,
) -> Result<Outcome, DomainError> {
    let now = ambient.now();
    let known = match answer {
        Some(answer) => {
            // A key that was removed meanwhile answers for nobody.
            let keys = tx.security_keys(actor_id).await?;
            keys.iter().any(|key| key.id == answer.key_id).then_some(answer)
        }
        None => None,
    };
    let Some(answer) = known else {
        return refuse(tx, context, actor_id, Failure::SecondFactorFailed).await;
    };
    if let Some(failure) = barred(tx, actor_id, now).await? {
        return refuse(tx, context, actor_id, failure).await;
    }
    tx.use_security_key(&answer.key_id, &answer.state, now).await?;
    succeed(tx, context, actor_id, true).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bg_14_an_actor_is_trimmed_and_what_is_none_stands_nowhere() {
        assert_eq!(presented_actor("  drill-1\t\n"), Some("drill-1"));
        for bad in ["", "   ", "a b", "drill\u{0}1", "drill\n1", "ada@example.com: hunter2", &"x".repeat(129)] {
            assert_eq!(presented_actor(bad), None, "{bad:?}");
            assert_eq!(Attempt::hopeless(bad, Failure::Malformed).actor_id, "");
        }
        let unknown = |text: &str| Attempt::hopeless(text, Failure::NoCredential).actor_id;
        assert_eq!(unknown("drill-1"), "drill-1");
        assert_eq!(unknown("u-01k3x9m2v7q8w4e5r6t7y8z9ab"), "u-01k3x9m2v7q8w4e5r6t7y8z9ab");
        assert_eq!(unknown("correct-horse-battery"), "", "it may be a password");
        assert_eq!(Attempt::hopeless("emergency-account-1", Failure::Locked).actor_id, "emergency-account-1");
    }
}
