//! Every column with sealed values. A test compares the list with the database, so that no new one is forgotten when
//! keys change.

use certctl_ports::SealContext;

/// A column with sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedColumn {
    /// `schema.table`.
    pub table: &'static str,
    /// Column name.
    pub column: &'static str,
}

impl SealedColumn {
    /// Issuers' secret settings.
    pub const ISSUER_CONFIG: Self = Self { table: "ca.issuers", column: "sealed_config" };
    /// CAs' private keys.
    pub const CA_KEY: Self = Self { table: "ca.ca_certificates", column: "sealed_key" };
    /// OCSP responders' private keys.
    pub const RESPONDER_KEY: Self = Self { table: "status.ocsp_responders", column: "sealed_key" };
    /// Targets' secret settings.
    pub const TARGET_CONFIG: Self = Self { table: "fleet.targets", column: "sealed_config" };
    /// What certctl signs in to an identity provider with.
    pub const OIDC_CLIENT_SECRET: Self = Self { table: "iam.oidc_providers", column: "client_secret_encrypted" };
    /// Keys of session cookies.
    pub const SESSION_KEY: Self = Self { table: "iam.session_signing_keys", column: "key_material_encrypted" };
    /// ID tokens, for a logout that the provider takes part in.
    pub const ID_TOKEN: Self = Self { table: "iam.sessions", column: "id_token_encrypted" };
    /// Secrets of the installation under a name.
    pub const INSTALLATION_SECRET: Self = Self { table: "iam.installation_secrets", column: "value_encrypted" };

    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::ISSUER_CONFIG,
        Self::CA_KEY,
        Self::RESPONDER_KEY,
        Self::TARGET_CONFIG,
        Self::OIDC_CLIENT_SECRET,
        Self::SESSION_KEY,
        Self::ID_TOKEN,
        Self::INSTALLATION_SECRET,
    ];

    /// The cell of a row, as it was named when the value was sealed.
    pub const fn cell(self, row_id: &str) -> SealContext<'_> {
        SealContext { table: self.table, column: self.column, row_id }
    }
}

impl std::fmt::Display for SealedColumn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.table, self.column)
    }
}
