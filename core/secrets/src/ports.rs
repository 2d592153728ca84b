//! What looking after sealed values needs of the database.

use crate::SealedColumn;
use async_trait::async_trait;
use certctl_kernel::StoreError;
use certctl_ports::{KeyId, SealedForm};

/// How many values of a column have a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedCount {
    /// The column.
    pub column: SealedColumn,
    /// The form with its key.
    pub form: SealedForm,
    /// Values.
    pub blobs: i64,
}

/// One sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCell {
    /// The row, as it was named when the value was sealed.
    pub row_id: String,
    /// The value.
    pub blob: Vec<u8>,
}

/// Reads sealed values as they are and puts others in their place.
#[async_trait]
pub trait SecretStore: Send {
    /// Values by column and form, in the order of [`SealedColumn::ALL`].
    async fn sealed_counts(&mut self) -> Result<Vec<SealedCount>, StoreError>;
    /// Up to `limit` values of a column that are not sealed under `key`, by row after `after`.
    async fn sealed_under_others(
        &mut self,
        column: SealedColumn,
        key: KeyId,
        after: &str,
        limit: i64,
    ) -> Result<Vec<SealedCell>, StoreError>;
    /// Some value of a column that is sealed under `key`.
    async fn sealed_sample(&mut self, column: SealedColumn, key: KeyId) -> Result<Option<SealedCell>, StoreError>;
    /// Replaces a value that still is `old`; false when somebody changed or removed it meanwhile.
    async fn replace_sealed(
        &mut self,
        column: SealedColumn,
        row_id: &str,
        old: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError>;
}
