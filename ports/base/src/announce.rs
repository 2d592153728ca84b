//! Telling every replica that cached facts changed.

use async_trait::async_trait;
use certctl_kernel::StoreError;

/// What changed; each replica drops the caches that hold it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Principals, credentials, roles or grants.
    Access,
    /// An issuer's configuration or its CA certificates; carries the issuer id.
    Issuer(String),
    /// The revocation state of a serial under a CA: (CA id, serial).
    Revocation(String, String),
    /// An approval request moved, and someone is to be told; carries its id.
    Approval(String),
    /// The keys that session cookies are signed with.
    SessionKeys,
    /// An identity provider's configuration; carries its id.
    IdentityProvider(String),
}

/// Announces with the commit of the transaction, and not at all when it is discarded.
#[async_trait]
pub trait Announcer: Send {
    /// Queues the announcement.
    async fn announce(&mut self, change: Change) -> Result<(), StoreError>;
    /// Queues many.
    async fn announce_all(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        for change in changes {
            self.announce(change).await?;
        }
        Ok(())
    }
}
