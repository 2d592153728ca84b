//! Where the inventory is kept.

use crate::{
    Certificate, CertificateFilter, CertificateSort, CertificateStatus, CertificateVersion, Issuer, IssuerFilter,
    IssuerUsage, OrgFilter, Owner, PolicyFilter, RenewalPolicy, Team, TeamUsage,
};
use async_trait::async_trait;
use certctl_kernel::{ListQuery, Page, StoreError, Timestamp};

/// Keeps teams and owners.
#[async_trait]
pub trait OrgStore: Send {
    /// The team with this id.
    async fn team(&mut self, id: &str) -> Result<Option<Team>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn team_for_update(&mut self, id: &str) -> Result<Option<Team>, StoreError>;
    /// Adds a team.
    async fn insert_team(&mut self, team: &Team) -> Result<(), StoreError>;
    /// Writes a team over the stored one and bumps its row version.
    async fn update_team(&mut self, team: &Team) -> Result<(), StoreError>;
    /// Removes a team.
    async fn delete_team(&mut self, id: &str) -> Result<(), StoreError>;
    /// What refers to the team.
    async fn team_usage(&mut self, id: &str) -> Result<TeamUsage, StoreError>;
    /// One page, newest first.
    async fn teams_page(&mut self, filter: &OrgFilter, list: &ListQuery) -> Result<Page<Team>, StoreError>;
    /// The owner with this id.
    async fn owner(&mut self, id: &str) -> Result<Option<Owner>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn owner_for_update(&mut self, id: &str) -> Result<Option<Owner>, StoreError>;
    /// Adds an owner.
    async fn insert_owner(&mut self, owner: &Owner) -> Result<(), StoreError>;
    /// Writes an owner over the stored one and bumps its row version.
    async fn update_owner(&mut self, owner: &Owner) -> Result<(), StoreError>;
    /// Removes an owner.
    async fn delete_owner(&mut self, id: &str) -> Result<(), StoreError>;
    /// Certificates that name the owner.
    async fn owner_usage(&mut self, id: &str) -> Result<i64, StoreError>;
    /// One page, newest first.
    async fn owners_page(&mut self, filter: &OrgFilter, list: &ListQuery) -> Result<Page<Owner>, StoreError>;
}

/// Keeps renewal policies.
#[async_trait]
pub trait RenewalPolicyStore: Send {
    /// The policy with this id.
    async fn renewal_policy(&mut self, id: &str) -> Result<Option<RenewalPolicy>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn renewal_policy_for_update(&mut self, id: &str) -> Result<Option<RenewalPolicy>, StoreError>;
    /// Adds a policy unless its id is taken; false when it is.
    async fn insert_renewal_policy(&mut self, policy: &RenewalPolicy) -> Result<bool, StoreError>;
    /// Writes a policy over the stored one and bumps its row version.
    async fn update_renewal_policy(&mut self, policy: &RenewalPolicy) -> Result<(), StoreError>;
    /// Removes a policy.
    async fn delete_renewal_policy(&mut self, id: &str) -> Result<(), StoreError>;
    /// Certificates that name the policy.
    async fn renewal_policy_usage(&mut self, id: &str) -> Result<i64, StoreError>;
    /// One page, by name.
    async fn renewal_policies_page(
        &mut self,
        filter: &PolicyFilter,
        list: &ListQuery,
    ) -> Result<Page<RenewalPolicy>, StoreError>;
}

/// Keeps issuers.
#[async_trait]
pub trait IssuerStore: Send {
    /// The issuer with this id.
    async fn issuer(&mut self, id: &str) -> Result<Option<Issuer>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn issuer_for_update(&mut self, id: &str) -> Result<Option<Issuer>, StoreError>;
    /// Adds an issuer.
    async fn insert_issuer(&mut self, issuer: &Issuer) -> Result<(), StoreError>;
    /// Writes an issuer over the stored one and bumps its row version.
    async fn update_issuer(&mut self, issuer: &Issuer) -> Result<(), StoreError>;
    /// Removes an issuer.
    async fn delete_issuer(&mut self, id: &str) -> Result<(), StoreError>;
    /// What refers to the issuer.
    async fn issuer_usage(&mut self, id: &str) -> Result<IssuerUsage, StoreError>;
    /// One page, newest first.
    async fn issuers_page(&mut self, filter: &IssuerFilter, list: &ListQuery) -> Result<Page<Issuer>, StoreError>;
    /// Keeps the outcome of a connection test (one of [`crate::test_status`]).
    async fn set_issuer_test_result(&mut self, id: &str, status: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Names the CA certificate whose key signs the issuer's leaves.
    async fn set_issuing_ca(&mut self, issuer_id: &str, ca_id: &str, at: Timestamp) -> Result<(), StoreError>;
}

/// Keeps managed certificates and their versions.
#[async_trait]
pub trait CertificateStore: Send {
    /// The certificate with this id.
    async fn certificate(&mut self, id: &str) -> Result<Option<Certificate>, StoreError>;
    /// The same, locked until the end of the transaction.
    async fn certificate_for_update(&mut self, id: &str) -> Result<Option<Certificate>, StoreError>;
    /// Adds a certificate; its targets are attached apart.
    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError>;
    /// Writes the members that operators may edit over the stored ones and bumps the row version.
    async fn update_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError>;
    /// Moves the certificate to `to` if it is in one of `from`; false when it is not.
    async fn set_certificate_status(
        &mut self,
        id: &str,
        from: &[CertificateStatus],
        to: CertificateStatus,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Adds an issued version with the next number and makes it the current one: the certificate becomes `Active` with
    /// the version's end. `version.seq` is not read; `version.created_at` counts as the time of renewal. Returns the
    /// version's number.
    async fn record_version(
        &mut self,
        version: &CertificateVersion,
        next_renewal_at: Option<Timestamp>,
    ) -> Result<i32, StoreError>;
    /// Marks the certificate revoked.
    async fn mark_revoked(&mut self, id: &str, at: Timestamp, reason: &str) -> Result<(), StoreError>;
    /// Takes the certificate out of management; versions and revocations stay.
    async fn archive_certificate(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError>;
    /// One page of a certificate's versions, newest first.
    async fn versions(
        &mut self,
        certificate_id: &str,
        list: &ListQuery,
    ) -> Result<Page<CertificateVersion>, StoreError>;
    /// The version with this id.
    async fn version(&mut self, id: &str) -> Result<Option<CertificateVersion>, StoreError>;
    /// The version with the greatest number.
    async fn latest_version(&mut self, certificate_id: &str) -> Result<Option<CertificateVersion>, StoreError>;
    /// The versions that have not ended at `now`, newest first.
    async fn unexpired_versions(
        &mut self,
        certificate_id: &str,
        now: Timestamp,
    ) -> Result<Vec<CertificateVersion>, StoreError>;
    /// The version that the issuer gave this serial, in canonical hex.
    async fn version_by_serial(
        &mut self,
        issuer_id: &str,
        serial: &str,
    ) -> Result<Option<CertificateVersion>, StoreError>;
    /// One page of certificates; `list`'s cursor must come from the same filter and order.
    async fn certificates_page(
        &mut self,
        filter: &CertificateFilter,
        sort: CertificateSort,
        list: &ListQuery,
    ) -> Result<Page<Certificate>, StoreError>;
}
