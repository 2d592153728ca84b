//! What may be said of a provider.

use crate::edge::ApiError;
use crate::input::present;
use certctl_inventory::Patch;
use certctl_kernel::Secret;
use certctl_oidc::{AtHashPolicy, GroupsClaimFormat, GroupsOverage, ProviderSettings};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A provider to make, or to put in place of a stored one.
#[derive(Deserialize, ToSchema)]
#[schema(as = OIDCProviderInput)]
pub(crate) struct Input {
    /// Unique without regard to case.
    #[serde(default)]
    #[schema(required = true, min_length = 1, max_length = 255)]
    name: String,
    /// Issuer identifier: exactly what the discovery document says, slashes included.
    #[serde(default)]
    #[schema(required = true)]
    issuer_url: String,
    #[serde(default)]
    #[schema(required = true)]
    client_id: String,
    /// Needed to make a provider; blank in a change means that the stored one stays. Never shown again.
    #[serde(default)]
    client_secret: Option<String>,
    /// `https://<host>/auth/oidc/callback`.
    #[serde(default)]
    #[schema(required = true)]
    redirect_uri: String,
    /// Where groups stand in the claims; `groups` when left out.
    #[serde(default)]
    groups_claim_path: Option<String>,
    /// `string-array` (when left out), or `json-path` for a JSON Pointer.
    #[serde(default)]
    groups_claim_format: Option<String>,
    /// Claims whose groups are added to those.
    #[serde(default)]
    more_groups_claim_paths: Option<Vec<String>>,
    #[serde(default)]
    fetch_userinfo: Option<bool>,
    /// Must contain `openid`; `openid profile email` when left out.
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    allowed_email_domains: Option<Vec<String>>,
    /// Whether an address must be verified to count; true when left out.
    #[serde(default)]
    require_verified_email: Option<bool>,
    /// 1 to 600; 0 or left out: 300, or what is stored.
    #[serde(default)]
    iat_window_seconds: Option<i64>,
    /// 60 or more; 0 or left out: 3600, or what is stored.
    #[serde(default)]
    jwks_cache_ttl_seconds: Option<i64>,
    /// `if_present` (when left out) or `require`.
    #[serde(default)]
    at_hash_policy: Option<String>,
    /// `refuse` (when left out) or `graph`.
    #[serde(default)]
    groups_overage: Option<String>,
    /// Hosted domain (`hd`) that people must belong to.
    #[serde(default)]
    hosted_domain: Option<String>,
    /// Role of everybody within `hosted_domain`.
    #[serde(default)]
    default_role_id: Option<String>,
    #[serde(default)]
    rp_initiated_logout: Option<bool>,
    /// Certificates in PEM that the provider's TLS is checked against instead of the system's.
    #[serde(default)]
    ca_bundle_pem: Option<String>,
    /// Whether people may sign in through it; true when left out of a new one.
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<Value>,
    #[serde(default, rename = "tenant_id")]
    #[schema(ignore)]
    _tenant_id: Option<Value>,
    #[serde(default, rename = "archived_at")]
    #[schema(ignore)]
    _archived_at: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

impl Input {
    /// In place of what is stored, as existing clients expect of `PUT`: some members go back to their default when
    /// they are left out, later ones stay.
    pub(crate) fn settings(self) -> ProviderSettings {
        ProviderSettings {
            name: Some(self.name),
            issuer_url: Some(self.issuer_url),
            client_id: Some(self.client_id),
            client_secret: self.client_secret.map(Secret::new),
            redirect_uri: Some(self.redirect_uri),
            groups_claim_path: self.groups_claim_path,
            groups_claim_format: self.groups_claim_format,
            more_groups_claim_paths: self.more_groups_claim_paths,
            fetch_userinfo: Some(self.fetch_userinfo.unwrap_or(false)),
            scopes: Some(self.scopes.unwrap_or_default()),
            allowed_email_domains: Some(self.allowed_email_domains.unwrap_or_default()),
            require_verified_email: self.require_verified_email,
            iat_window_seconds: self.iat_window_seconds,
            jwks_cache_ttl_seconds: self.jwks_cache_ttl_seconds,
            at_hash_policy: self.at_hash_policy,
            groups_overage: self.groups_overage,
            hosted_domain: self.hosted_domain,
            default_role_id: self.default_role_id,
            rp_initiated_logout: self.rp_initiated_logout,
            ca_bundle_pem: self.ca_bundle_pem,
            enabled: self.enabled,
        }
    }
}

/// A change of a provider: an absent member stays as it is, `null` puts its default back.
#[derive(Deserialize, ToSchema)]
#[schema(as = OIDCProviderChange)]
pub(crate) struct Change {
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    name: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    issuer_url: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    client_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    client_secret: Patch<String>,
    #[serde(default)]
    #[schema(value_type = String, required = false)]
    redirect_uri: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    groups_claim_path: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    groups_claim_format: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    more_groups_claim_paths: Patch<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    fetch_userinfo: Patch<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Patch<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_email_domains: Patch<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    require_verified_email: Patch<bool>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    iat_window_seconds: Patch<i64>,
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    jwks_cache_ttl_seconds: Patch<i64>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    at_hash_policy: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    groups_overage: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    hosted_domain: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    default_role_id: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    rp_initiated_logout: Patch<bool>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    ca_bundle_pem: Patch<String>,
    #[serde(default)]
    #[schema(value_type = bool, required = false)]
    enabled: Patch<bool>,
}

fn or<T>(given: Patch<T>, default: impl FnOnce() -> T) -> Option<T> {
    match given {
        Patch::Keep => None,
        Patch::Clear => Some(default()),
        Patch::Set(value) => Some(value),
    }
}

impl Change {
    /// What changes.
    pub(crate) fn settings(self) -> Result<ProviderSettings, ApiError> {
        Ok(ProviderSettings {
            name: present("name", self.name)?,
            issuer_url: present("issuer_url", self.issuer_url)?,
            client_id: present("client_id", self.client_id)?,
            client_secret: present("client_secret", self.client_secret)?.map(Secret::new),
            redirect_uri: present("redirect_uri", self.redirect_uri)?,
            groups_claim_path: or(self.groups_claim_path, || "groups".to_owned()),
            groups_claim_format: or(self.groups_claim_format, || GroupsClaimFormat::StringArray.as_str().to_owned()),
            more_groups_claim_paths: or(self.more_groups_claim_paths, Vec::new),
            fetch_userinfo: or(self.fetch_userinfo, || false),
            scopes: or(self.scopes, Vec::new),
            allowed_email_domains: or(self.allowed_email_domains, Vec::new),
            require_verified_email: or(self.require_verified_email, || true),
            iat_window_seconds: or(self.iat_window_seconds, || 300),
            jwks_cache_ttl_seconds: or(self.jwks_cache_ttl_seconds, || 3600),
            at_hash_policy: or(self.at_hash_policy, || AtHashPolicy::IfPresent.as_str().to_owned()),
            groups_overage: or(self.groups_overage, || GroupsOverage::Refuse.as_str().to_owned()),
            hosted_domain: or(self.hosted_domain, String::new),
            default_role_id: or(self.default_role_id, String::new),
            rp_initiated_logout: or(self.rp_initiated_logout, || false),
            ca_bundle_pem: or(self.ca_bundle_pem, String::new),
            enabled: present("enabled", self.enabled)?,
        })
    }
}
