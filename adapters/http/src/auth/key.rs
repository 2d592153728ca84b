//! API keys on the wire.

use certctl_apikey::{MintedKey, StoredKey};
use certctl_kernel::{Timestamp, timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// An API key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiKey {
    id: String,
    /// The actor's id.
    name: String,
    /// Roles of the actor.
    roles: Vec<String>,
    /// How the key's text begins; absent for keys of operators' own making.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    prefix: Option<String>,
    /// `manual`, `env` or `bootstrap`.
    source: String,
    created_by: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    expires_at: Option<Timestamp>,
    /// When the key ends because another took over.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    overlap_until: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_used_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_used_ip: Option<String>,
    /// The key that this one took over from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rotated_from: Option<String>,
    /// The person who holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    owner_user_id: Option<String>,
    /// Whether the key was switched off.
    disabled: bool,
}

impl From<StoredKey> for ApiKey {
    fn from(key: StoredKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            roles: key.roles,
            prefix: key.lookup_id.map(|id| format!("cctl_{id}")),
            source: key.source,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            overlap_until: key.overlap_until,
            last_used_at: key.last_used_at,
            last_used_ip: key.last_used_ip,
            rotated_from: key.rotated_from,
            owner_user_id: key.owner_user_id,
            disabled: key.disabled_at.is_some(),
        }
    }
}

/// A key just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewApiKey {
    #[serde(flatten)]
    key: ApiKey,
    /// The whole key; shown this once.
    key_value: String,
}

impl From<MintedKey> for NewApiKey {
    fn from(made: MintedKey) -> Self {
        Self {
            key_value: made.secret.expose().clone(),
            key: ApiKey {
                id: made.id,
                name: made.name,
                roles: made.roles,
                prefix: Some(format!("cctl_{}", made.lookup_id)),
                source: "manual".to_owned(),
                created_by: made.created_by,
                created_at: made.created_at,
                expires_at: made.expires_at,
                overlap_until: None,
                last_used_at: None,
                last_used_ip: None,
                rotated_from: made.rotated_from,
                owner_user_id: made.owner_user_id,
                disabled: false,
            },
        }
    }
}
