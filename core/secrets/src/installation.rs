//! Secrets of the installation itself: each is made once, by whoever asks first, and is the same for every replica.

use crate::SealedColumn;
use async_trait::async_trait;
use certctl_kernel::{DomainError, Secret, StoreError};
use certctl_ports::{Ambient, Sealer};

/// Keeps them, sealed.
#[async_trait]
pub trait InstallationSecretStore: Send {
    /// The sealed secret of this name.
    async fn installation_secret(&mut self, id: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Lets one transaction at a time make secrets; held until it ends.
    async fn lock_installation_secrets(&mut self) -> Result<(), StoreError>;
    /// Keeps a secret of a name that has none.
    async fn insert_installation_secret(&mut self, id: &str, sealed: &[u8]) -> Result<(), StoreError>;
}

/// The secret of this name, `N` octets; makes it when there is none, for which the transaction must be saved. Several
/// callers at once get the same.
pub async fn installation_secret<const N: usize>(
    tx: &mut (impl InstallationSecretStore + ?Sized),
    ambient: &Ambient,
    sealer: &dyn Sealer,
    id: &str,
) -> Result<Secret<[u8; N]>, DomainError> {
    if let Some(sealed) = tx.installation_secret(id).await? {
        return open(sealer, id, &sealed);
    }
    tx.lock_installation_secrets().await?;
    if let Some(sealed) = tx.installation_secret(id).await? {
        return open(sealer, id, &sealed);
    }
    let fresh = Secret::new(ambient.octets::<N>());
    let sealed = sealer
        .seal(fresh.expose(), SealedColumn::INSTALLATION_SECRET.cell(id))
        .map_err(|error| DomainError::Internal { reason: format!("the secret {id} can't be sealed: {error}") })?;
    tx.insert_installation_secret(id, &sealed).await?;
    Ok(fresh)
}

fn open<const N: usize>(sealer: &dyn Sealer, id: &str, sealed: &[u8]) -> Result<Secret<[u8; N]>, DomainError> {
    let opened = sealer
        .open(sealed, SealedColumn::INSTALLATION_SECRET.cell(id))
        .map_err(|error| DomainError::Internal { reason: format!("the secret {id} can't be opened: {error}") })?;
    let octets = <[u8; N]>::try_from(opened.as_slice())
        .map_err(|_| DomainError::Internal { reason: format!("the secret {id} does not have {N} octets") })?;
    Ok(Secret::new(octets))
}
