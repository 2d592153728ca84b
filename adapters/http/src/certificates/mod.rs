//! Certificates.

use crate::edge::{ApiError, Gate, Route};
use certctl_inventory::{Certificate, CertificateVersion};
use certctl_kernel::{DomainError, Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

mod archive;
mod bulk_revoke;
mod bulk_revoke_est;
mod create;
mod deploy;
mod deployments;
mod export;
mod export_pem;
mod export_pkcs12;
mod get;
pub(crate) mod issue;
mod list;
mod preview;
mod renew;
mod revoke;
mod row;
mod unrevoke;
mod update;
mod versions;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Objects(Permission::CertRead), list),
        crate::route!(Gate::Objects(Permission::CertIssue), create),
        crate::route!(Gate::Objects(Permission::CertRead), get),
        crate::route!(Gate::Objects(Permission::CertEdit), update),
        crate::route!(Gate::Objects(Permission::CertDelete), archive),
        crate::route!(Gate::Objects(Permission::CertRead), versions),
        crate::route!(Gate::Objects(Permission::CertIssue), issue),
        crate::route!(Gate::Objects(Permission::CertIssue), preview),
        crate::route!(Gate::Objects(Permission::CertIssue), renew),
        crate::route!(Gate::Objects(Permission::CertEdit), deploy),
        crate::route!(Gate::Objects(Permission::CertRead), deployments),
        crate::route!(Gate::Objects(Permission::CertRevoke), revoke),
        crate::route!(Gate::Objects(Permission::CertRevoke), unrevoke),
        crate::route!(Gate::Objects(Permission::CertBulkRevoke), bulk_revoke),
        crate::route!(Gate::Objects(Permission::CertBulkRevoke), bulk_revoke_est),
        crate::route!(Gate::Objects(Permission::CertExport), export_pem),
        crate::route!(Gate::Objects(Permission::CertExport), export_pkcs12),
    ]
}

/// A certificate under management.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Certificate)]
pub(crate) struct CertificateBody {
    id: String,
    name: String,
    common_name: String,
    sans: Vec<String>,
    environment: String,
    owner_id: String,
    team_id: String,
    issuer_id: String,
    renewal_policy_id: String,
    /// Targets that the certificate is deployed to, in order.
    target_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    certificate_profile_id: Option<String>,
    #[schema(schema_with = crate::openapi::values::certificate_status)]
    status: &'static str,
    /// `0001-01-01T00:00:00Z` before the first issuance.
    #[serde(serialize_with = "timestamp::or_unset::serialize")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When the next renewal is due.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    next_renewal_at: Option<Timestamp>,
    tags: BTreeMap<String, String>,
    /// The version in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    current_version_id: Option<String>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_renewal_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_deployment_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    revoked_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    revocation_reason: Option<String>,
    /// `API`, `Agent`, `ACME`, `EST` or `SCEP`; absent when unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    source: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Certificate> for CertificateBody {
    fn from(certificate: Certificate) -> Self {
        Self {
            id: certificate.id,
            name: certificate.name,
            common_name: certificate.common_name,
            sans: certificate.sans,
            environment: certificate.environment,
            owner_id: certificate.owner_id,
            team_id: certificate.team_id,
            issuer_id: certificate.issuer_id,
            renewal_policy_id: certificate.renewal_policy_id,
            target_ids: certificate.target_ids,
            certificate_profile_id: certificate.certificate_profile_id,
            status: certificate.status.as_str(),
            expires_at: certificate.expires_at,
            next_renewal_at: certificate.next_renewal_at,
            tags: certificate.tags,
            current_version_id: certificate.current_version_id,
            last_renewal_at: certificate.last_renewal_at,
            last_deployment_at: certificate.last_deployment_at,
            revoked_at: certificate.revoked_at,
            revocation_reason: certificate.revocation_reason,
            source: certificate.source,
            created_at: certificate.created_at,
            updated_at: certificate.updated_at,
        }
    }
}

/// An issued leaf.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CertificateVersion)]
pub(crate) struct VersionBody {
    id: String,
    certificate_id: String,
    /// Lower-case hex.
    serial_number: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    not_before: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    not_after: Timestamp,
    fingerprint_sha256: String,
    /// Leaf first.
    pem_chain: String,
    /// The request it answers.
    csr_pem: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    key_algorithm: String,
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    key_size: i32,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Counts the certificate's versions from 1.
    version: i32,
    issuer_id: String,
    /// The CA certificate that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    ca_id: Option<String>,
    subject_dn: String,
    issuer_dn: String,
    sans: Vec<String>,
    spki_sha256: String,
    source: String,
    requested_by: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}

impl From<CertificateVersion> for VersionBody {
    fn from(version: CertificateVersion) -> Self {
        Self {
            id: version.id,
            certificate_id: version.certificate_id,
            serial_number: version.serial_number,
            not_before: version.not_before,
            not_after: version.not_after,
            fingerprint_sha256: version.fingerprint_sha256,
            pem_chain: version.pem_chain,
            csr_pem: version.csr_pem,
            key_algorithm: version.key_algorithm,
            key_size: version.key_size,
            created_at: version.created_at,
            version: version.seq,
            issuer_id: version.issuer_id,
            ca_id: version.ca_id,
            subject_dn: version.subject_dn,
            issuer_dn: version.issuer_dn,
            sans: version.sans,
            spki_sha256: version.spki_sha256,
            source: version.source,
            requested_by: version.requested_by,
        }
    }
}

/// The certificate as it stands now in this transaction.
async fn reread(tx: &mut dyn certctl_unit_of_work::Stores, id: &str) -> Result<Certificate, ApiError> {
    Ok(tx.certificate(id).await?.ok_or_else(|| DomainError::not_found("certificate", id))?)
}
