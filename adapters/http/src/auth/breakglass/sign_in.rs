//! Signing in with an emergency account, for clients that speak JSON and for the page's form alike.

use super::{CeremonyBody, invalid, limit_actor, set::busy};
use crate::edge::pipeline::record_alone;
use crate::edge::{ApiError, Cx};
use actix_web::http::StatusCode;
use certctl_audit::{Action, AuditEvent};
use certctl_breakglass::password::SALT;
use certctl_breakglass::{
    Answer, Attempt, Failure, HashError, Outcome, Purpose, SecurityKey, begin, finish, finish_second_factor,
    keep_challenge, presented_actor, refuse,
};
use certctl_kernel::{Actor, Secret, StoreError};
use certctl_session::{Minted, NewSession, Way};
use certctl_unit_of_work::{Stores, UnitOfWork};
use serde_json::{Value, json};

/// Who wants to sign in, and with what.
pub(crate) struct Presented {
    /// The actor's id, as it came.
    pub(crate) actor_id: String,
    /// The password.
    pub(crate) password: Secret<String>,
}

/// How far a right password leads.
pub(crate) enum SignIn {
    /// A session.
    Session(Box<Minted>),
    /// A security key must answer first.
    SecondFactor(CeremonyBody),
}

/// Looks at a password. Whatever is wrong costs one Argon2id and ends in one answer; `None` stands for what could not
/// even be read.
pub(crate) async fn with_password(cx: &Cx, presented: Option<Presented>) -> Result<SignIn, ApiError> {
    let state = cx.state();
    let breakglass = state.breakglass()?;
    let attempt = match &presented {
        None => Attempt::hopeless("", Failure::Malformed),
        Some(presented) => {
            if let Some(actor_id) = presented_actor(&presented.actor_id) {
                limit_actor(cx, actor_id).await?;
            }
            count(cx, &presented.actor_id).await
        }
    };
    let nothing = Secret::new(String::new());
    let password = presented.as_ref().map_or(&nothing, |presented| &presented.password);
    let salt = state.ambient.octets::<SALT>();
    let right = match breakglass.passwords.verify(password, attempt.stored.as_ref(), salt).await {
        Ok(right) => right,
        Err(error @ HashError::Busy) => return Err(busy(error)),
        Err(HashError::Failed) => {
            tracing::error!("an emergency password could not be checked");
            false
        }
    };
    decide(cx, &attempt, right).await
}

/// Counts the attempt, and keeps the count whatever becomes of it.
async fn count(cx: &Cx, presented: &str) -> Attempt {
    let counted = async {
        let state = cx.state();
        let mut unit = state.db.begin().await?;
        let attempt = begin(unit.stores(), &state.ambient, &state.breakglass()?.lockout, presented).await?;
        unit.save_unaudited("what comes of the attempt has its own event").await?;
        Ok::<_, ApiError>(attempt)
    };
    counted.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an attempt to sign in with an emergency account could not be counted");
        Attempt::hopeless(presented, Failure::NoCredential)
    })
}

async fn decide(cx: &Cx, attempt: &Attempt, right: bool) -> Result<SignIn, ApiError> {
    let state = cx.state();
    let context = cx.facts().nobody();
    let decided = async {
        let mut unit = state.db.begin().await?;
        let outcome = finish(unit.stores(), &state.ambient, &context, attempt, right).await?;
        let way = match outcome {
            Outcome::Refused(failure) => Err(failure),
            Outcome::SignedIn(actor) => Ok(SignIn::Session(Box::new(session(cx, unit.stores(), actor).await?))),
            Outcome::SecondFactor(keys) => {
                Ok(SignIn::SecondFactor(challenge(cx, unit.as_mut(), attempt, &keys).await?))
            }
        };
        unit.save().await?;
        Ok::<_, ApiError>(way)
    };
    settle(cx, &attempt.actor_id, decided.await).await
}

async fn session(cx: &Cx, tx: &mut dyn Stores, actor: Actor) -> Result<Minted, ApiError> {
    let mut context = cx.facts().nobody();
    context.actor = actor.clone();
    let new = NewSession {
        actor,
        way: Way::Breakglass,
        source_ip: cx.facts().source_ip.as_deref().unwrap_or_default(),
        user_agent: cx.user_agent(),
    };
    Ok(certctl_session::create(tx, cx.ambient(), &cx.state().sessions()?.maker(), &context, new).await?)
}

async fn challenge(
    cx: &Cx,
    unit: &mut dyn UnitOfWork,
    attempt: &Attempt,
    keys: &[SecurityKey],
) -> Result<CeremonyBody, ApiError> {
    // Without a relying party nobody can answer, and the password alone is not enough.
    let webauthn = cx.state().breakglass()?.webauthn()?;
    let ceremony = webauthn.begin_authentication(keys).map_err(|error| ApiError::internal(&error.to_string()))?;
    let kept = keep_challenge(unit.stores(), cx.ambient(), &attempt.actor_id, Purpose::SignIn, ceremony.state).await?;
    Ok(CeremonyBody { challenge_id: kept.id, options: ceremony.options })
}

/// What the client and whoever watches the log are told.
async fn settle<T>(cx: &Cx, actor_id: &str, decided: Result<Result<T, Failure>, ApiError>) -> Result<T, ApiError>
where
    T: Told,
{
    let source_ip = cx.source_ip();
    match decided {
        Ok(Ok(way)) => {
            crate::metrics::breakglass_login(way.result());
            tracing::warn!(actor_id, source_ip, result = way.result(), "the emergency way in was used");
            Ok(way)
        }
        Ok(Err(failure)) => {
            crate::metrics::breakglass_login("refused");
            tracing::warn!(actor_id, source_ip, failure = failure.as_str(), "an emergency sign-in was refused");
            Err(invalid())
        }
        Err(error) => {
            // Nothing of it happened; the trail is told apart from it, if it can be told at all.
            crate::metrics::breakglass_login("failed");
            tracing::error!(actor_id, source_ip, %error, "an emergency sign-in failed");
            let resource = if actor_id.is_empty() { "unknown" } else { actor_id };
            let details = json!({"actor_id": actor_id, "failure_category": Failure::NoSession.as_str()});
            let event = AuditEvent::new(Action::BreakglassLoginFailed, &cx.facts().nobody(), resource, details);
            record_alone(cx.state(), event).await;
            Err(invalid())
        }
    }
}

/// What of a success is counted.
trait Told {
    fn result(&self) -> &'static str;
}

impl Told for SignIn {
    fn result(&self) -> &'static str {
        match self {
            Self::Session(_) => "signed_in",
            Self::SecondFactor(_) => "key_asked",
        }
    }
}

impl Told for Box<Minted> {
    fn result(&self) -> &'static str {
        "key_answered"
    }
}

/// The refusal that carries what the security key is to be asked.
pub(crate) fn second_factor_required(ceremony: &CeremonyBody) -> ApiError {
    let why = "the password is right; a security key must answer as well";
    ApiError::new(StatusCode::UNAUTHORIZED, "second_factor_required", why)
        .with("challenge_id", json!(ceremony.challenge_id))
        .with("options", ceremony.options.clone())
}

/// Looks at a security key's answer.
pub(crate) async fn with_key(cx: &Cx, challenge_id: &str, answer: &Value) -> Result<Box<Minted>, ApiError> {
    let state = cx.state();
    let context = cx.facts().nobody();
    let mut actor_id = String::new();
    let decided = async {
        let webauthn = state.breakglass()?.webauthn()?;
        let mut unit = state.db.begin().await?;
        let tx = unit.stores();
        let Some(challenge) = tx.take_challenge(challenge_id, Purpose::SignIn, state.ambient.now()).await? else {
            refuse(tx, &context, "", Failure::SecondFactorFailed).await?;
            unit.save().await?;
            return Ok(Err(Failure::SecondFactorFailed));
        };
        actor_id.clone_from(&challenge.actor_id);
        let keys = tx.security_keys(&challenge.actor_id).await?;
        let answer = match webauthn.finish_authentication(&challenge.state, answer, &keys) {
            Ok(key) => Some(Answer { key_id: key.id, state: key.state }),
            Err(error) => {
                tracing::info!(%error, actor_id = challenge.actor_id, "a security key's answer was refused");
                None
            }
        };
        let outcome = finish_second_factor(tx, &state.ambient, &context, &challenge.actor_id, answer).await?;
        let way = match outcome {
            Outcome::SignedIn(actor) => Ok(Box::new(session(cx, tx, actor).await?)),
            Outcome::Refused(failure) => Err(failure),
            Outcome::SecondFactor(_) => Err(Failure::SecondFactorFailed),
        };
        unit.save().await?;
        Ok::<_, ApiError>(way)
    };
    let decided = decided.await;
    settle(cx, &actor_id, decided).await
}

/// Whether the window is open now; see [`crate::edge::Presence`].
pub(crate) async fn open(state: &crate::state::AppState) -> Result<bool, StoreError> {
    if state.breakglass.is_none() {
        return Ok(false);
    }
    let window = state.db.read().await?.breakglass_window().await?;
    Ok(window.is_some_and(|window| window.open(state.ambient.now())))
}
