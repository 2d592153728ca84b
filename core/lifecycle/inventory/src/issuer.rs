//! Issuers: who signs.

use certctl_kernel::{Id, Timestamp};
use serde_json::Value;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Outcomes of the last connection test, in wire spelling.
pub mod test_status {
    /// Never tested with the present configuration.
    pub const UNTESTED: &str = "untested";
    /// The issuer answered.
    pub const SUCCESS: &str = "success";
    /// It did not.
    pub const FAILED: &str = "failed";
}

/// A certificate authority that this installation can ask.
#[derive(Debug, Clone, PartialEq)]
pub struct Issuer {
    /// `issuer-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Unique name.
    pub name: String,
    /// Stored type text, such as `GenericCA`.
    pub kind: String,
    /// Non-secret configuration, an object.
    pub config: Value,
    /// Sealed secret members; `None` when the type or the configuration has none.
    pub sealed_config: Option<Vec<u8>>,
    /// Whether it signs.
    pub enabled: bool,
    /// When its connection was last tested.
    pub last_tested_at: Option<Timestamp>,
    /// One of [`test_status`].
    pub test_status: String,
    /// `database` or `env`.
    pub source: String,
    /// `single` or `tree`.
    pub hierarchy_mode: String,
    /// The CA certificate whose key signs leaves, for issuers that keep their own.
    pub issuing_ca_id: Option<Id>,
    /// Bumped by each change of the configuration.
    pub config_version: i64,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Filters of the issuer list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IssuerFilter {
    /// Part of the id or name, without regard to case.
    pub q: Option<String>,
    /// Stored type text.
    pub kind: Option<String>,
    /// Whether enabled.
    pub enabled: Option<bool>,
    /// Only these; what the caller may see is set by the use case.
    pub ids: Option<Vec<String>>,
}

impl IssuerFilter {
    /// Binds a cursor to this list.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("issuers", self).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// What refers to an issuer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IssuerUsage {
    /// Certificates.
    pub certificates: i64,
    /// Versions ever issued.
    pub versions: i64,
    /// Grants, and permissions of roles, in its scope: another issuer of the same id must not inherit them.
    pub grants: i64,
}
