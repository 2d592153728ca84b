//! Whether there was a first administrator.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_bootstrap::FirstAdminStore;
use certctl_kernel::{DEFAULT_TENANT, StoreError, Timestamp};

#[async_trait]
impl FirstAdminStore for PgUnitOfWork {
    async fn first_admin_at(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT first_admin_at FROM iam.tenants WHERE id = $1";
        Ok(self.query_one(sql, &[&DEFAULT_TENANT]).await?.get(0))
    }

    async fn set_first_admin_at(&mut self, at: Option<Timestamp>) -> Result<(), StoreError> {
        let sql = "UPDATE iam.tenants SET first_admin_at = $2 WHERE id = $1";
        self.execute(sql, &[&DEFAULT_TENANT, &at]).await.map(|_| ())
    }
}
