//! Sessions of people at browsers.

use crate::edge::{Gate, Route};
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use certctl_session::{Session, SessionError, SessionSettings};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) mod create;
mod list;
pub(crate) mod logout;
mod revoke;
mod revoke_others;
mod rotate_key;

/// The operations of this room.
pub(super) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Authenticated, list),
        crate::route!(Gate::Authenticated, revoke),
        crate::route!(Gate::Authenticated, revoke_others),
        crate::route!(Gate::Permission(Permission::AuthSessionRevoke), rotate_key),
        crate::route!(Gate::Public("who signs in is not signed in yet"), create),
        crate::route!(Gate::Public("who leaves must be able to, even with a session that ended"), logout),
    ]
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionBody {
    id: String,
    actor_id: String,
    actor_type: &'static str,
    /// How it was made: `oidc`, `breakglass` or `api_key`.
    way: String,
    /// The provider that vouched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    provider_id: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    ip_address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    user_agent: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last used, to a minute.
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    /// When it ends if it is not used again.
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    idle_expires_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    absolute_expires_at: Timestamp,
    revoked: bool,
    /// Whether it is the one that asks.
    current: bool,
}

impl SessionBody {
    fn new(session: Session, settings: &SessionSettings, current: Option<&str>) -> Self {
        Self {
            current: current == Some(session.id.as_str()),
            idle_expires_at: whole(session.idle_expires_at(settings)),
            created_at: whole(session.created_at),
            last_seen_at: whole(session.last_seen_at),
            absolute_expires_at: whole(session.absolute_expires_at),
            revoked: session.revoked.is_some(),
            actor_type: session.actor.kind.as_str(),
            actor_id: session.actor.id,
            id: session.id,
            way: session.way,
            provider_id: session.provider_id,
            ip_address: session.ip_address,
            user_agent: session.user_agent,
        }
    }
}

/// Existing clients expect whole seconds here.
fn whole(at: Timestamp) -> Timestamp {
    at.replace_nanosecond(0).unwrap_or(at)
}

impl From<SessionError> for crate::edge::ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Domain(error) => error.into(),
            other => Self::internal(&other.to_string()),
        }
    }
}
