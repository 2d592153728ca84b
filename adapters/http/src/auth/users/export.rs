//! `GET /api/v1/auth/users/{id}/export`

use super::UserBody;
use crate::audit::AuditEventBody;
use crate::auth::grants::GrantBody;
use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use certctl_kernel::{Timestamp, timestamp};
use certctl_user::{KeyTrace, SessionTrace, export_user};
use serde::Serialize;
use utoipa::ToSchema;

/// A session, as its person may know it.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedSession)]
pub(crate) struct SessionBody {
    id: String,
    /// `oidc`, `breakglass` or `api_key`.
    way: String,
    ip_address: String,
    user_agent: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    absolute_expires_at: Timestamp,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    revoked_at: Option<Timestamp>,
}

impl From<SessionTrace> for SessionBody {
    fn from(trace: SessionTrace) -> Self {
        Self {
            id: trace.id,
            way: trace.way,
            ip_address: trace.ip_address,
            user_agent: trace.user_agent,
            created_at: trace.created_at,
            last_seen_at: trace.last_seen_at,
            absolute_expires_at: trace.absolute_expires_at,
            revoked_at: trace.revoked_at,
        }
    }
}

/// A key that belongs to the person.
#[derive(Serialize, ToSchema)]
#[schema(as = ExportedKey)]
pub(crate) struct KeyBody {
    id: String,
    name: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    expires_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_used_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_used_ip: Option<String>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    disabled_at: Option<Timestamp>,
}

impl From<KeyTrace> for KeyBody {
    fn from(trace: KeyTrace) -> Self {
        Self {
            id: trace.id,
            name: trace.name,
            created_at: trace.created_at,
            expires_at: trace.expires_at,
            last_used_at: trace.last_used_at,
            last_used_ip: trace.last_used_ip,
            disabled_at: trace.disabled_at,
        }
    }
}

/// Everything that is kept about a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct UserExport {
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    exported_at: Timestamp,
    user: UserBody,
    grants: Vec<GrantBody>,
    /// Sessions that are still kept, newest first.
    sessions: Vec<SessionBody>,
    /// Keys that name the person as their owner.
    api_keys: Vec<KeyBody>,
    /// Events by or about the person, newest first.
    audit_events: Vec<AuditEventBody>,
    /// Whether there are more events; `GET /api/v1/audit/export` has all.
    audit_events_truncated: bool,
}

/// Everything that is kept about a person, for that person; others need `auth.user.deactivate` and `audit.read`. That
/// it was given out is recorded.
#[utoipa::path(
    get, path = "/api/v1/auth/users/{id}/export", tag = "auth",
    params(("id" = String, Path, description = "Id of the person.")),
    responses(
        (status = 200, body = UserExport),
        (status = 403, body = crate::edge::ErrorBody, description = "Another person, without the permissions."),
    ),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller, now) = (cx.path("id")?, cx.caller()?, cx.ambient().now());
    cx.change(&BodyDigest::default(), async |tx| {
        let found = export_user(tx, caller, &id).await?;
        Ok(Reply::ok(UserExport {
            exported_at: now,
            user: found.user.into(),
            grants: found.grants.into_iter().map(|grant| GrantBody::new(grant, now)).collect(),
            sessions: found.sessions.into_iter().map(SessionBody::from).collect(),
            api_keys: found.keys.into_iter().map(KeyBody::from).collect(),
            audit_events: found.events.into_iter().map(AuditEventBody::from).collect(),
            audit_events_truncated: found.events_truncated,
        }))
    })
    .await
}
