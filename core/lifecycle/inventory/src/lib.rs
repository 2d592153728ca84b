//! The inventory: organisation, issuers, renewal policies, managed certificates and their issued versions.

mod certificate;
mod issuer;
mod org;
mod policy;
mod ports;

pub use certctl_profile::Patch;
pub use certificate::{
    Certificate, CertificateFilter, CertificateSort, CertificateSortKey, CertificateStatus, CertificateVersion, sources,
};
pub use issuer::{Issuer, IssuerFilter, IssuerUsage, test_status};
pub use org::{OrgFilter, Owner, Team, TeamUsage};
pub use policy::{DEFAULT_THRESHOLDS, PolicyFilter, RenewalPolicy};
pub use ports::{CertificateStore, IssuerStore, OrgStore, RenewalPolicyStore};
