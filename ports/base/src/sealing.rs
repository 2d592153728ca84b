//! Encryption at rest.

use zeroize::Zeroizing;

/// Names the cell that a sealed blob lives in. It is authenticated with the blob, so that a blob copied to another
/// row or column does not open.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    /// `schema.table`.
    pub table: &'a str,
    /// Column name.
    pub column: &'a str,
    /// Primary key of the row.
    pub row_id: &'a str,
}

/// Why a blob could not be sealed or opened. Never tells more: the difference would help only an attacker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key is configured; nothing is ever stored in the clear instead.
    #[error("no encryption key is configured: set CERTCTL_CONFIG_ENCRYPTION_KEY")]
    NoKey,
    /// The blob names a key that is not in the keyring.
    #[error("the blob was sealed with a key that is not in the keyring")]
    UnknownKey,
    /// The blob is damaged, was moved from another cell, or the key is wrong.
    #[error("the sealed value does not open")]
    Broken,
}

/// Authenticated encryption of small secrets under the installation's keyring.
///
/// Contract: `open(seal(x, c), c) == x`; two seals of the same value differ; opening with another context, a cut or
/// altered blob fails with [`SealError::Broken`]; the plaintext never appears in the blob.
pub trait Sealer: Send + Sync {
    /// Seals `plaintext` for the cell `context`.
    fn seal(&self, plaintext: &[u8], context: SealContext<'_>) -> Result<Vec<u8>, SealError>;
    /// Opens what [`Sealer::seal`] made for the same cell.
    fn open(&self, blob: &[u8], context: SealContext<'_>) -> Result<Zeroizing<Vec<u8>>, SealError>;
}
