//! Profiles.

use crate::edge::{Gate, Route};
use certctl_kernel::{Timestamp, timestamp};
use certctl_profile::{KeyRuleInput, Patch, Profile};
use certctl_rbac::{Permission, ScopeType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod create;
mod delete;
mod get;
mod list;
mod patch;
mod update;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Objects(Permission::ProfileRead), list),
        crate::route!(Gate::Permission(Permission::ProfileEdit), create),
        crate::route!(Gate::Scoped(Permission::ProfileRead, ScopeType::Profile), get),
        crate::route!(Gate::Scoped(Permission::ProfileEdit, ScopeType::Profile), update),
        crate::route!(Gate::Scoped(Permission::ProfileEdit, ScopeType::Profile), patch),
        crate::route!(Gate::Scoped(Permission::ProfileDelete, ScopeType::Profile), delete),
    ]
}

/// Keys that a profile allows.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = KeyRule)]
pub(crate) struct KeyRuleBody {
    /// `RSA`, `ECDSA` or `Ed25519`.
    algorithm: String,
    /// Smallest size in bits.
    #[serde(default)]
    min_size: i32,
}

/// What may be issued.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Profile)]
pub(crate) struct ProfileBody {
    id: String,
    name: String,
    description: String,
    allowed_key_algorithms: Vec<KeyRuleBody>,
    /// Longest life of a certificate; 0 means no cap.
    max_ttl_seconds: i32,
    allowed_ekus: Vec<String>,
    required_san_patterns: Vec<String>,
    spiffe_uri_pattern: String,
    allow_short_lived: bool,
    must_staple: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    required_csr_attributes: Vec<String>,
    /// `trust_authenticated` or `challenge`.
    acme_auth_mode: String,
    requires_approval: bool,
    allow_wildcards: bool,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    default_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    default_team_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    default_policy_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    default_issuer_id: Option<String>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Profile> for ProfileBody {
    fn from(profile: Profile) -> Self {
        Self {
            id: profile.id,
            name: profile.name,
            description: profile.description,
            allowed_key_algorithms: profile
                .allowed_key_algorithms
                .iter()
                .map(|rule| KeyRuleBody { algorithm: rule.algorithm.as_str().to_owned(), min_size: rule.min_size })
                .collect(),
            max_ttl_seconds: profile.max_ttl_seconds,
            allowed_ekus: profile.allowed_ekus.iter().map(|eku| eku.as_str().to_owned()).collect(),
            required_san_patterns: profile.required_san_patterns,
            spiffe_uri_pattern: profile.spiffe_uri_pattern,
            allow_short_lived: profile.allow_short_lived,
            must_staple: profile.must_staple,
            required_csr_attributes: profile.required_csr_attributes,
            acme_auth_mode: profile.acme_auth_mode.as_str().to_owned(),
            requires_approval: profile.requires_approval,
            allow_wildcards: profile.allow_wildcards,
            enabled: profile.enabled,
            default_owner_id: profile.default_owner_id,
            default_team_id: profile.default_team_id,
            default_policy_id: profile.default_policy_id,
            default_issuer_id: profile.default_issuer_id,
            created_at: profile.created_at,
            updated_at: profile.updated_at,
        }
    }
}

/// Key rules as the use cases take them.
fn rules(given: Patch<Vec<KeyRuleBody>>) -> Patch<Vec<KeyRuleInput>> {
    match given {
        Patch::Keep => Patch::Keep,
        Patch::Clear => Patch::Clear,
        Patch::Set(rules) => Patch::Set(
            rules.into_iter().map(|rule| KeyRuleInput { algorithm: rule.algorithm, min_size: rule.min_size }).collect(),
        ),
    }
}
