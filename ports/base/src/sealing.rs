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

/// Octets at the beginning of a blob that tell its form.
pub const SEALED_HEAD: usize = 5;

/// Names a key of the keyring: up to four characters that an operator chose, or four octets derived from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.0.iter().position(|octet| *octet == 0).unwrap_or(self.0.len());
        let (name, padding) = self.0.split_at(end);
        if !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && padding.iter().all(|octet| *octet == 0) {
            return name.iter().try_for_each(|octet| write!(formatter, "{}", char::from(*octet)));
        }
        formatter.write_str("0x")?;
        self.0.iter().try_for_each(|octet| write!(formatter, "{octet:02x}"))
    }
}

/// The form of a blob, as its first octets tell. A blob of the first form has no mark and begins with random octets,
/// so that one in sixty-four looks like another form: who opens it tries both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedForm {
    /// Of the Go certctl, first form: no mark.
    V1,
    /// Of the Go certctl, second form.
    V2,
    /// Of the Go certctl, third form.
    V3,
    /// This product's, sealed under this key.
    V4(KeyId),
}

impl SealedForm {
    /// Looks at the first [`SEALED_HEAD`] octets.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [4, a, b, c, d, ..] => Self::V4(KeyId([*a, *b, *c, *d])),
            [3, ..] => Self::V3,
            [2, ..] => Self::V2,
            _ => Self::V1,
        }
    }
}

impl std::fmt::Display for SealedForm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V1 => formatter.write_str("v1"),
            Self::V2 => formatter.write_str("v2"),
            Self::V3 => formatter.write_str("v3"),
            Self::V4(key) => write!(formatter, "v4 {key}"),
        }
    }
}

/// The keyring behind a [`Sealer`], for those who look after what is sealed.
pub trait SealingKeys: Sealer {
    /// The key that seals.
    fn writing(&self) -> KeyId;
    /// Every key that opens, the writing one first.
    fn keys(&self) -> Vec<KeyId>;
    /// Opens a blob of any form, this product's or the Go certctl's, for sealing it anew. Slow for the latter, and they
    /// are not tied to their cell: nobody else may accept them.
    fn open_any(&self, blob: &[u8], context: SealContext<'_>) -> Result<Zeroizing<Vec<u8>>, SealError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_told_by_its_mark() {
        let key = KeyId(*b"k2\0\0");
        assert_eq!(SealedForm::of(b"\x04k2\0\0and more"), SealedForm::V4(key));
        assert_eq!(SealedForm::of(b"\x03salt"), SealedForm::V3);
        assert_eq!(SealedForm::of(b"\x02salt"), SealedForm::V2);
        assert_eq!(SealedForm::of(b"\x04ab"), SealedForm::V1, "too short for a key's name");
        assert_eq!(SealedForm::of(b"\x99nonce"), SealedForm::V1);
    }

    #[test]
    fn names_show_as_names_and_derived_ids_as_digits() {
        assert_eq!(KeyId(*b"k2\0\0").to_string(), "k2");
        assert_eq!(KeyId(*b"k2\0x").to_string(), "0x6b320078");
        assert_eq!(KeyId([0; 4]).to_string(), "0x00000000");
        assert_eq!(KeyId([0xde, 0xad, 0, 0]).to_string(), "0xdead0000");
    }
}
