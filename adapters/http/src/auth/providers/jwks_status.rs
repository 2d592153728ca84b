//! `GET /api/v1/auth/oidc/providers/{id}/jwks-status`

use super::registered;
use crate::edge::{ApiError, BodyDigest, Cx, Reply};
use actix_web::HttpResponse;
use certctl_audit::{Action, AuditEvent};
use certctl_kernel::{Timestamp, timestamp};
use certctl_oidc::{KeyStatus, PublishedKey};
use certctl_rbac::Permission;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// A key that the provider publishes.
#[derive(Serialize, ToSchema)]
#[schema(as = JWKSKey)]
pub(crate) struct KeyBody {
    /// Empty where it has none.
    kid: String,
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alg: Option<String>,
}

impl From<PublishedKey> for KeyBody {
    fn from(key: PublishedKey) -> Self {
        Self { kid: key.kid, kty: key.key_type, alg: key.algorithm }
    }
}

/// What the replica that answers remembers of a provider's metadata and keys.
#[derive(Serialize, ToSchema)]
#[schema(as = JWKSStatus)]
pub(crate) struct Status {
    /// Absent while they could not be fetched since the start.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_refresh_at: Option<Timestamp>,
    /// Until when they are used without being fetched again.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    expires_at: Option<Timestamp>,
    current_kids: Vec<String>,
    keys: Vec<KeyBody>,
    refresh_count: u64,
    /// Why the last attempt failed; absent when it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_error: Option<String>,
    /// Tokens that were refused for their signature since the start.
    rejected_jws_count: u64,
    /// Whether the provider's answers name it (RFC 9207).
    iss_param_supported: bool,
}

impl From<KeyStatus> for Status {
    fn from(status: KeyStatus) -> Self {
        Self {
            last_refresh_at: status.last_refresh_at,
            expires_at: status.expires_at,
            current_kids: status.keys.iter().map(|key| key.kid.clone()).filter(|kid| !kid.is_empty()).collect(),
            keys: status.keys.into_iter().map(KeyBody::from).collect(),
            refresh_count: status.refresh_count,
            last_error: status.last_error,
            rejected_jws_count: status.rejected_jws_count,
            iss_param_supported: status.iss_param_supported,
        }
    }
}

/// How a provider's metadata and keys stand with the replica that answers. What it never fetched, it fetches first.
#[utoipa::path(
    get, path = "/api/v1/auth/oidc/providers/{id}/jwks-status", tag = "auth",
    params(("id" = String, Path, description = "Id of the provider.")),
    responses((status = 200, body = Status)),
)]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    caller.require(Permission::AuthOidcList, &[])?;
    let (provider, registration) = registered(&cx, &id).await?;
    let party = &cx.state().oidc()?.party;
    let mut status = party.status(&id);
    if status.last_refresh_at.is_none() {
        status = match party.refresh(&registration).await {
            Ok(fresh) => fresh,
            // The reason may be younger than what is remembered.
            Err(error) => KeyStatus { last_error: Some(error.to_string()), ..party.status(&id) },
        };
    }
    let details = json!({"provider_id": id, "name": provider.name});
    cx.change(&BodyDigest::default(), async |tx| {
        tx.record(AuditEvent::new(Action::OidcJwksStatusRead, &caller.context, &id, details)).await?;
        Ok(Reply::ok(Status::from(status)))
    })
    .await
}
