//! Managed certificates and their versions.

use certctl_kernel::{Id, SortOrder, Timestamp};
use certctl_rbac::Scope;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// States of a managed certificate, in wire spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CertificateStatus {
    /// Declared, never issued.
    Pending,
    /// Its current version is valid.
    Active,
    /// Its current version ends soon.
    Expiring,
    /// Its current version has ended.
    Expired,
    /// An issuance or renewal job is open.
    RenewalInProgress,
    /// Issuance failed for good.
    Failed,
    /// Revoked.
    Revoked,
    /// Taken out of management.
    Archived,
}

impl CertificateStatus {
    /// Every state, in declaration order.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Active,
        Self::Expiring,
        Self::Expired,
        Self::RenewalInProgress,
        Self::Failed,
        Self::Revoked,
        Self::Archived,
    ];

    /// The wire and database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Active => "Active",
            Self::Expiring => "Expiring",
            Self::Expired => "Expired",
            Self::RenewalInProgress => "RenewalInProgress",
            Self::Failed => "Failed",
            Self::Revoked => "Revoked",
            Self::Archived => "Archived",
        }
    }

    /// Parses the exact wire spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Where certificates and versions come from, in wire spelling.
pub mod sources {
    /// REST.
    pub const API: &str = "API";
    /// An agent's CSR.
    pub const AGENT: &str = "Agent";
    /// The ACME server.
    pub const ACME: &str = "ACME";
    /// The EST server.
    pub const EST: &str = "EST";
    /// The SCEP server.
    pub const SCEP: &str = "SCEP";
    /// Every source.
    pub const ALL: [&str; 5] = [API, AGENT, ACME, EST, SCEP];
}

/// A certificate under management: what is wanted. What was issued for it lies in its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// `mc-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// Unique name.
    pub name: String,
    /// Wanted common name.
    pub common_name: String,
    /// Wanted alternative names.
    pub sans: Vec<String>,
    /// Free text, such as `production`.
    pub environment: String,
    /// Who answers for it.
    pub owner_id: Id,
    /// Whose it is.
    pub team_id: Id,
    /// Who signs it.
    pub issuer_id: Id,
    /// When it is renewed.
    pub renewal_policy_id: Id,
    /// What it may contain.
    pub certificate_profile_id: Option<Id>,
    /// State.
    pub status: CertificateStatus,
    /// When the current version ends.
    pub expires_at: Option<Timestamp>,
    /// When the next renewal is due.
    pub next_renewal_at: Option<Timestamp>,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Attached deployment targets, in order; read only here.
    pub target_ids: Vec<Id>,
    /// The version in force.
    pub current_version_id: Option<Id>,
    /// When a version was last issued.
    pub last_renewal_at: Option<Timestamp>,
    /// When a target last took it.
    pub last_deployment_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revocation_reason: Option<String>,
    /// One of [`sources`], or empty when unknown.
    pub source: String,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
}

/// An issued leaf. It never changes once written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateVersion {
    /// `cv-…`
    pub id: Id,
    /// The managed certificate.
    pub certificate_id: Id,
    /// The issuer that signed.
    pub issuer_id: Id,
    /// The CA certificate that signed, for issuers that keep their own.
    pub ca_id: Option<Id>,
    /// Counts a certificate's versions from 1; the store sets it on insert.
    pub seq: i32,
    /// Lower-case hex, 40 digits at least.
    pub serial_number: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the leaf's DER, lower-case hex.
    pub fingerprint_sha256: String,
    /// PEM, leaf first.
    pub pem_chain: String,
    /// The request it answers, PEM.
    pub csr_pem: String,
    /// Key family.
    pub key_algorithm: String,
    /// Key size in bits.
    pub key_size: i32,
    /// The profile it was issued under.
    pub profile_id: Option<Id>,
    /// One of [`sources`].
    pub source: String,
    /// The job it answers.
    pub job_id: Option<Id>,
    /// The actor that asked for it.
    pub requested_by: String,
    /// SHA-256 of the public key's SPKI, lower-case hex.
    pub spki_sha256: String,
    /// Subject, RFC 4514.
    pub subject_dn: String,
    /// Issuer, RFC 4514.
    pub issuer_dn: String,
    /// Names in the leaf.
    pub sans: Vec<String>,
    /// Whether it is left out of CRLs; frozen at issuance.
    pub revocation_exempt: bool,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// Filters of the certificate list; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CertificateFilter {
    /// Part of id, name, common name or an alternative name, without regard to case.
    pub q: Option<String>,
    /// State.
    pub status: Option<CertificateStatus>,
    /// Environment, exactly.
    pub environment: Option<String>,
    /// Owner.
    pub owner_id: Option<Id>,
    /// Team.
    pub team_id: Option<Id>,
    /// Issuer.
    pub issuer_id: Option<Id>,
    /// Agent of an attached target.
    pub agent_id: Option<Id>,
    /// Attached target.
    pub target_id: Option<Id>,
    /// Profile.
    pub profile_id: Option<Id>,
    /// Source.
    pub source: Option<String>,
    /// Ends strictly before.
    pub expires_before: Option<Timestamp>,
    /// Ends strictly after.
    pub expires_after: Option<Timestamp>,
    /// Created strictly after.
    pub created_after: Option<Timestamp>,
    /// Changed strictly after.
    pub updated_after: Option<Timestamp>,
    /// Leaves archived certificates out.
    pub hide_archived: bool,
    /// Only those of these issuers and profiles: what a caller without a global permission may see.
    pub within: Option<Vec<Scope>>,
}

impl CertificateFilter {
    /// Binds a cursor to this list in this order.
    pub fn fingerprint(&self, sort: CertificateSort) -> String {
        let mut hasher = DefaultHasher::new();
        ("certificates", self, sort.key, sort.order == SortOrder::Descending).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// What the certificate list can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateSortKey {
    /// `createdAt`
    CreatedAt,
    /// `updatedAt`
    UpdatedAt,
    /// `notAfter`, `expiresAt`; never issued ones count as last
    ExpiresAt,
    /// `commonName`
    CommonName,
    /// `name`
    Name,
    /// `status`
    Status,
    /// `environment`
    Environment,
}

/// Order of the certificate list; the id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateSort {
    /// Key.
    pub key: CertificateSortKey,
    /// Direction.
    pub order: SortOrder,
}

impl Default for CertificateSort {
    fn default() -> Self {
        Self { key: CertificateSortKey::CreatedAt, order: SortOrder::Ascending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_read_back_what_they_write() {
        for status in CertificateStatus::ALL {
            assert_eq!(CertificateStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(CertificateStatus::parse("active"), None);
    }

    #[test]
    fn a_fingerprint_tells_filters_and_orders_apart() {
        let all = CertificateFilter::default();
        let some = CertificateFilter { q: Some("web".into()), ..all.clone() };
        let up = CertificateSort::default();
        let down = CertificateSort { order: SortOrder::Descending, ..up };
        assert_eq!(all.fingerprint(up), CertificateFilter::default().fingerprint(up));
        assert_ne!(all.fingerprint(up), some.fingerprint(up));
        assert_ne!(all.fingerprint(up), all.fingerprint(down));
    }
}
