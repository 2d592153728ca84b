//! What the decision reads.

use async_trait::async_trait;
use certctl_inventory::{Certificate, RenewalPolicy};
use certctl_kernel::StoreError;
use certctl_profile::Profile;

/// What stands around a certificate that is about to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuanceFacts {
    /// The profile that it names; none when it names none, or one that is not there.
    pub profile: Option<Profile>,
    /// Its renewal policy.
    pub renewal_policy: Option<RenewalPolicy>,
    /// Whether the key must not be certified; see [`certctl_ca::CaStore::key_is_barred`].
    pub key_barred: bool,
}

/// Reads for the hot path, in one round trip.
#[async_trait]
pub trait IssuanceStore: Send {
    /// What the decision about this certificate and key depends on.
    async fn issuance_facts(
        &mut self,
        certificate: &Certificate,
        spki_sha256: &str,
    ) -> Result<IssuanceFacts, StoreError>;
}
