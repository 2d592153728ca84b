//! Issuers: whatever turns a decision to issue into a certificate.
//!
//! An [`Issuer`] takes an [`IssuanceAuthorization`] by value and nothing else; only the policy decision of
//! [`certctl_ca::authorize`] makes one. So there is no way to a signature that goes round the policy.

pub mod contract;
mod error;
pub mod fake;

pub use error::IssuerError;

use async_trait::async_trait;
use certctl_ca::{CaRecord, CaTransaction, IssuanceAuthorization, IssuingFacts, StatusUrls};
use certctl_kernel::Timestamp;
use certctl_x509::ca::SubordinateTemplate;
use certctl_x509::constraints::NameRules;
use certctl_x509::crl::CrlEntry;
use std::sync::Arc;

/// A certificate as an issuer returns it; not yet recorded, so it must not leave the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The leaf.
    pub leaf_der: Vec<u8>,
    /// PEM of the certificates above the leaf, its issuer first.
    pub chain_pem: String,
}

/// Signs leaves.
///
/// Contract: `issue` returns a leaf with exactly the key, names, validity and serial of the authorization, signed by the
/// CA that [`Issuer::facts`] named when the authorization was made, and a chain whose first certificate is that CA's; a
/// failure leaves no certificate that anyone could use. Calls may run at the same time.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// What the policy decision needs to know of this issuer.
    fn facts(&self) -> &IssuingFacts;

    /// Signs what was authorized.
    async fn issue(&self, authorization: IssuanceAuthorization) -> Result<IssuedCertificate, IssuerError>;

    /// Checks that it could sign now: material readable, key and certificate belong together, in validity.
    async fn test(&self, now: Timestamp) -> Result<(), IssuerError>;
}

/// What a CRL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlContent {
    /// cRLNumber.
    pub number: u64,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// The revoked certificates.
    pub entries: Vec<CrlEntry>,
}

/// What an OCSP responder's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponderContent {
    /// Twenty octets that become its serial.
    pub serial: certctl_x509::Serial,
    /// DER `SubjectPublicKeyInfo` of the responder's key.
    pub spki_der: Vec<u8>,
    /// First instant of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
}

/// What the certificate of a CA below another says.
#[derive(Debug, Clone)]
pub struct AuthorityContent {
    /// Its serial.
    pub serial: certctl_x509::Serial,
    /// Its subject; needs a common name.
    pub subject: certctl_x509::Subject,
    /// DER `SubjectPublicKeyInfo` of its key.
    pub spki_der: Vec<u8>,
    /// First instant of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// How many CAs may stand below it.
    pub path_len: Option<u8>,
    /// What it may name; narrowed to the parent's.
    pub names: NameRules,
    /// Where its status is asked for, instead of the parent's address.
    pub ocsp_url: Option<String>,
}

impl AuthorityContent {
    /// The template, with the parent's addresses.
    pub fn template(self, parent: &StatusUrls) -> SubordinateTemplate {
        SubordinateTemplate {
            serial: self.serial,
            subject: self.subject,
            not_before: self.not_before,
            not_after: self.not_after,
            spki_der: self.spki_der,
            path_len: self.path_len,
            names: self.names,
            ocsp_urls: self.ocsp_url.map_or_else(|| parent.ocsp.clone(), |url| vec![url]),
            ca_issuer_urls: parent.ca_issuers.clone(),
            crl_urls: parent.crl.clone(),
        }
    }
}

/// One CA generation of ours, as far as statements about the status of its certificates go.
///
/// Contract: what `sign_crl` and `certify_responder` return verifies under the key of [`StatusAuthority::ca`].
#[async_trait]
pub trait StatusAuthority: Send + Sync {
    /// The CA certificate.
    fn ca(&self) -> &Arc<CaRecord>;

    /// Signs a CRL.
    async fn sign_crl(&self, content: CrlContent) -> Result<Vec<u8>, IssuerError>;

    /// Certifies a CA below this one. Fails with [`IssuerError::Lint`] where path length or names do not allow it.
    async fn certify_authority(&self, content: AuthorityContent) -> Result<Vec<u8>, IssuerError>;

    /// Certifies a delegated OCSP responder.
    async fn certify_responder(&self, content: ResponderContent) -> Result<Vec<u8>, IssuerError>;
}

/// Finds issuers by id and keeps what they need in memory.
#[async_trait]
pub trait IssuerRegistry: Send + Sync {
    /// The issuer, ready to sign. A local CA that has no root yet makes one within `stores`' transaction; replicas
    /// that do so at the same time end with the same root.
    async fn issuer(&self, stores: &mut dyn CaTransaction, issuer_id: &str) -> Result<Arc<dyn Issuer>, IssuerError>;

    /// Every CA of a local issuer, the one that signs leaves first, the others newest first; makes nothing. Empty for a local CA without a root yet;
    /// fails with [`IssuerError::NotSupported`] for an external issuer.
    async fn authorities(
        &self,
        stores: &mut dyn CaTransaction,
        issuer_id: &str,
    ) -> Result<Vec<Arc<dyn StatusAuthority>>, IssuerError>;

    /// Drops what is kept of the issuer; called when its configuration or CA changed on any replica.
    fn forget(&self, issuer_id: &str);

    /// Tells whether changes made on other replicas are heard. Drops everything; while they are not heard nothing is
    /// kept. A new registry does not trust.
    fn set_trusted(&self, trusted: bool);
}
