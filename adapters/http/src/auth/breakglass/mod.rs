//! The emergency way in: signing in with a password and a security key, and looking after the credentials.

use crate::edge::{ApiError, Cx, Gate, Presence, Route};
use crate::state::AppState;
use actix_web::http::StatusCode;
use certctl_breakglass::{LockoutSettings, Passwords, SecurityKey, StoredCredential, WebAuthn};
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use data_encoding::HEXLOWER;
use ring::digest;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

mod answer_key;
mod begin_registration;
mod keys;
mod list;
mod login;
mod register;
mod remove;
mod remove_key;
mod set;
pub(crate) mod sign_in;
mod unlock;

pub(crate) use sign_in::open;

/// What the emergency way in needs; a server that has it switched off has none of it.
pub struct Breakglass {
    /// Hashes and checks passwords.
    pub passwords: Arc<dyn Passwords>,
    /// How credentials lock.
    pub lockout: LockoutSettings,
    /// Security keys; absent where the external URL does not allow them.
    pub webauthn: Option<Arc<dyn WebAuthn>>,
}

/// The operations of this room.
pub(super) fn routes() -> Vec<Route> {
    const ADMIN: Gate = Gate::Permission(Permission::AuthBreakglassAdmin);
    let open = [
        crate::route!(Gate::Public("who signs in is not signed in yet"), login),
        crate::route!(Gate::Public("who signs in is not signed in yet"), answer_key),
    ];
    let mounted = [
        crate::route!(ADMIN, list),
        crate::route!(ADMIN, set),
        crate::route!(ADMIN, unlock),
        crate::route!(ADMIN, remove),
        crate::route!(Gate::Authenticated, begin_registration),
        crate::route!(Gate::Authenticated, register),
        crate::route!(Gate::Authenticated, keys),
        crate::route!(ADMIN, remove_key),
    ];
    let open = open.into_iter().map(|route| route.only(Presence::BreakglassOpen));
    open.chain(mounted.into_iter().map(|route| route.only(Presence::Breakglass))).collect()
}

impl AppState {
    /// What the emergency way in needs; its routes are not there without it.
    pub(crate) fn breakglass(&self) -> Result<&Breakglass, ApiError> {
        self.breakglass.as_ref().ok_or_else(|| ApiError::internal("the application has no emergency way in"))
    }
}

impl Breakglass {
    fn webauthn(&self) -> Result<&dyn WebAuthn, ApiError> {
        self.webauthn.as_deref().ok_or_else(|| {
            let why = "security keys need CERTCTL_SERVER_EXTERNAL_URL with https and a host name";
            ApiError::new(StatusCode::CONFLICT, "webauthn_not_configured", why)
        })
    }
}

/// The one refusal of every sign-in that came to nothing.
pub(crate) fn invalid() -> ApiError {
    ApiError::unauthenticated("invalid credentials")
}

/// Counts an attempt of this address, and of everybody together.
pub(crate) async fn limit(cx: &Cx) -> Result<(), ApiError> {
    let (state, context) = (cx.state(), cx.facts().nobody());
    state.take(&state.limits.breakglass, &cx.facts().address_key(), &context).await.map_err(slow)?;
    state.take(&state.limits.breakglass_all, "all", &context).await.map_err(slow)?;
    Ok(())
}

/// Counts an attempt at this actor, whether or not there is one.
pub(crate) async fn limit_actor(cx: &Cx, actor_id: &str) -> Result<(), ApiError> {
    let (state, context) = (cx.state(), cx.facts().nobody());
    // It may be a password in the wrong field, and refusals name the key.
    let hash = digest::digest(&digest::SHA256, actor_id.as_bytes());
    let key = HEXLOWER.encode(&hash.as_ref()[..4]);
    state.take(&state.limits.breakglass_actor, &key, &context).await.map_err(slow)?;
    Ok(())
}

fn slow(refusal: crate::edge::limits::Refusal) -> ApiError {
    let mut error = ApiError::from(refusal);
    if error.status == StatusCode::TOO_MANY_REQUESTS {
        "too many requests".clone_into(&mut error.message);
    }
    error
}

/// A credential, without anything of its password.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CredentialBody {
    /// Whose.
    actor_id: String,
    /// For people; may be empty.
    display_name: String,
    /// Whether the person may sign in at all.
    active: bool,
    /// Whether an identity provider vouches for the person; emergency accounts stand alone.
    federated: bool,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    last_password_change_at: Timestamp,
    /// Wrong passwords since the last right one.
    failure_count: u32,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    locked_until: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_failure_at: Option<Timestamp>,
    /// Registered security keys; with one, the password alone lets nobody in.
    security_keys: i64,
}

impl From<StoredCredential> for CredentialBody {
    fn from(stored: StoredCredential) -> Self {
        Self {
            actor_id: stored.person.id,
            display_name: stored.display_name,
            active: stored.person.active,
            federated: stored.person.federated,
            created_at: stored.created_at,
            last_password_change_at: stored.last_password_change_at,
            failure_count: stored.lockout.failures,
            locked_until: stored.lockout.locked_until,
            last_failure_at: stored.lockout.last_failure_at,
            security_keys: stored.security_keys,
        }
    }
}

/// A security key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecurityKeyBody {
    id: String,
    /// What its owner calls it.
    name: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_used_at: Option<Timestamp>,
}

impl From<SecurityKey> for SecurityKeyBody {
    fn from(key: SecurityKey) -> Self {
        Self { id: key.id, name: key.name, created_at: key.created_at, last_used_at: key.last_used_at }
    }
}

/// What a browser is to ask a security key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CeremonyBody {
    /// Send it back with the answer; good once, for five minutes.
    challenge_id: String,
    /// For `navigator.credentials`: `{"publicKey": …}` (W3C Web Authentication).
    #[schema(value_type = Object)]
    options: serde_json::Value,
}
