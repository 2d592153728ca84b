//! Whether the keyring opens what is there. Asked before a server takes up its work: one that can't open its CA's key
//! must not find that out at the first request.

use crate::{SealedColumn, SecretStore};
use certctl_kernel::StoreError;
use certctl_ports::{KeyId, SealedForm, SealingKeys};
use std::collections::BTreeMap;

/// Sealed values that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A key is not in the keyring.
    #[error(
        "{blobs} secrets in the database are sealed under key {key}, which is not configured: add it to \
         CERTCTL_CONFIG_ENCRYPTION_KEYS after the key that is to write"
    )]
    MissingKey {
        /// The key.
        key: KeyId,
        /// Values under it.
        blobs: i64,
    },
    /// A key of that name is configured, but it is another one.
    #[error(
        "the configured key {key} does not open what is sealed under that name in {column}: put the old key back, or \
         give the new one another name"
    )]
    WrongKey {
        /// The name.
        key: KeyId,
        /// Where.
        column: SealedColumn,
    },
    /// Values that the Go certctl sealed.
    #[error(
        "{blobs} secrets in the database are in the Go certctl's form {form}: run `certctl-server reseal` with its \
         CERTCTL_CONFIG_ENCRYPTION_KEY in the keyring"
    )]
    OldForm {
        /// The form.
        form: SealedForm,
        /// Values in it.
        blobs: i64,
    },
    /// The database did not tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks that every key that is in use is there and, by one value a column, that it is the right one.
pub async fn check(tx: &mut (impl SecretStore + ?Sized), keys: &dyn SealingKeys) -> Result<(), Unreadable> {
    let counts = tx.sealed_counts().await?;
    let mut forms: BTreeMap<SealedForm, i64> = BTreeMap::new();
    for count in &counts {
        *forms.entry(count.form).or_default() += count.blobs;
    }
    let known = keys.keys();
    for (form, blobs) in forms {
        match form {
            SealedForm::V4(key) if !known.contains(&key) => return Err(Unreadable::MissingKey { key, blobs }),
            SealedForm::V4(_) => {}
            form => return Err(Unreadable::OldForm { form, blobs }),
        }
    }
    for count in counts {
        let (SealedForm::V4(key), column) = (count.form, count.column) else { continue };
        if let Some(cell) = tx.sealed_sample(column, key).await?
            && keys.open(&cell.blob, column.cell(&cell.row_id)).is_err()
        {
            return Err(Unreadable::WrongKey { key, column });
        }
    }
    Ok(())
}
