//! The CA certificates of our own issuers as they are stored.

use certctl_kernel::Timestamp;
use std::collections::BTreeMap;

/// Where a CA certificate stands in its hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaKind {
    /// Self-signed by us.
    Root,
    /// Signed by another of our CAs.
    Intermediate,
    /// Brought by the operator; signed by a CA that is not ours, or self-signed elsewhere.
    Sub,
}

impl CaKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Root, Self::Intermediate, Self::Sub];

    /// The database spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate",
            Self::Sub => "sub",
        }
    }

    /// Parses the database spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether a CA certificate signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaState {
    /// Signs leaves, CRLs and responders.
    Active,
    /// Signs no more leaves, still CRLs and responders.
    Retiring,
    /// Signs nothing but CRLs and responders, for what it signed before.
    Retired,
}

impl CaState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Active, Self::Retiring, Self::Retired];

    /// The database and wire spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }

    /// Parses the database spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Where a CA's private key is.
#[derive(Clone, PartialEq, Eq)]
pub enum CaKey {
    /// Sealed in the row.
    Sealed(Vec<u8>),
    /// In the file that the issuer's configuration names; nothing of it is stored.
    File,
    /// On the PKCS#11 token that the issuer's configuration names; nothing of it is stored.
    Token,
}

impl CaKey {
    /// Name of the way the key is kept.
    pub const fn driver(&self) -> &'static str {
        match self {
            Self::Sealed(_) => "sealed",
            Self::File => "file",
            Self::Token => "pkcs11",
        }
    }
}

impl std::fmt::Debug for CaKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.driver())
    }
}

/// One generation of an issuer's CA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaRecord {
    /// `ica-…`
    pub id: String,
    /// The issuer it belongs to.
    pub issuer_id: String,
    /// The CA above it, when that is ours as well.
    pub parent_ca_id: Option<String>,
    /// Counts from 1 for each issuer.
    pub generation: i32,
    /// Its place in the hierarchy.
    pub kind: CaKind,
    /// Whether it signs.
    pub state: CaState,
    /// For people; unique for its issuer.
    pub name: String,
    /// Subject DN as text.
    pub subject: String,
    /// The certificate.
    pub cert_der: Vec<u8>,
    /// PEM of the certificates above it, issuer first.
    pub chain_pem: String,
    /// Its private key.
    pub key: CaKey,
    /// SHA-256 of the public key's DER, hex.
    pub spki_sha256: String,
    /// SHA-256 of the certificate's DER, hex.
    pub fingerprint_sha256: String,
    /// Serial number, 40 hex digits.
    pub serial_number: String,
    /// First instant of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// How many CAs may stand below it.
    pub path_len: Option<u8>,
    /// An OCSP address that its own certificate names instead of its parent's.
    pub ocsp_responder_url: Option<String>,
    /// Free labels.
    pub metadata: BTreeMap<String, String>,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What the making of CA material needs of an issuer's row.
#[derive(Debug, Clone, PartialEq)]
pub struct IssuerSettings {
    /// Issuer id.
    pub id: String,
    /// Stored type text, such as `GenericCA`.
    pub kind: String,
    /// Whether it may issue.
    pub enabled: bool,
    /// The CA that signs leaves.
    pub issuing_ca_id: Option<String>,
    /// Non-secret configuration.
    pub config: serde_json::Value,
}

/// A leaf that was signed but whose commit failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The issuer that signed it.
    pub issuer_id: String,
    /// The CA that signed it.
    pub ca_id: Option<String>,
    /// The managed certificate it was meant for.
    pub certificate_id: String,
    /// Serial number, 40 hex digits.
    pub serial_number: String,
    /// The certificate.
    pub der: Vec<u8>,
    /// Why it was not recorded.
    pub reason: String,
}
