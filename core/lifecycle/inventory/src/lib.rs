//! The inventory: organisation, issuers, renewal policies, managed certificates and their issued versions.

mod certificate;
mod certificates;
mod export;
mod issuer;
mod issuers;
mod org;
mod owners;
mod policy;
mod ports;
mod renewal_policies;
mod rules;
mod teams;

pub use certctl_profile::Patch;
pub use certificate::{
    Certificate, CertificateFilter, CertificateSort, CertificateSortKey, CertificateStatus, CertificateVersion, sources,
};
pub use issuer::{Issuer, IssuerFilter, IssuerUsage, test_status};
pub use org::{OrgFilter, Owner, Team, TeamUsage};
pub use policy::{DEFAULT_THRESHOLDS, PolicyFilter, RenewalPolicy};
pub use ports::{CertificateStore, IssuerStore, OrgStore, RenewalPolicyStore};

pub use certificates::{
    CreateCertificate, UpdateCertificate, archive_certificate, create_certificate, get_certificate, list_certificates,
    list_versions, scopes_of, update_certificate, versions_fingerprint, visible,
};
pub use export::{ExportCertificate, NO_VERSION, PemExport, Pkcs12Export, export_failed, export_pem, export_pkcs12};
pub use issuers::{
    CreateIssuer, UpdateIssuer, create_issuer, delete_issuer, get_issuer, issuer_type, list_issuers, update_issuer,
    visible_issuers,
};
pub use owners::{CreateOwner, UpdateOwner, create_owner, delete_owner, get_owner, list_owners, update_owner};
pub use renewal_policies::{
    CreateRenewalPolicy, UpdateRenewalPolicy, create_renewal_policy, delete_renewal_policy, get_renewal_policy,
    list_renewal_policies, update_renewal_policy,
};
pub use teams::{CreateTeam, UpdateTeam, create_team, delete_team, get_team, list_teams, update_team};
