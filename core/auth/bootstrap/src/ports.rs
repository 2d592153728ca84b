//! What the first administrator needs from a store.

use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};

/// Remembers that there was a first administrator.
#[async_trait]
pub trait FirstAdminStore: Send {
    /// When the first administrator was made; `None` while one may be made.
    async fn first_admin_at(&mut self) -> Result<Option<Timestamp>, StoreError>;
    /// Notes it, or, with `None`, that another one may be made. Hold the identity lock.
    async fn set_first_admin_at(&mut self, at: Option<Timestamp>) -> Result<(), StoreError>;
}
