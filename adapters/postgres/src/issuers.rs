//! Issuers.

use crate::paging::{Filters, KeyKind, ListSql, containing, key_of};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_inventory::{Issuer, IssuerFilter, IssuerStore, IssuerUsage};
use certctl_kernel::{ListQuery, Page, StoreError, Timestamp};
use tokio_postgres::Row;

const ISSUER: &str = "i.id, i.tenant_id, i.name, i.type, i.config, i.sealed_config, i.enabled, i.last_tested_at, \
     i.test_status, i.source, i.hierarchy_mode, i.issuing_ca_id, i.config_version, i.row_version, i.created_at, \
     i.updated_at";

#[expect(clippy::unnecessary_wraps, reason = "readers of pages may fail; this one can't")]
fn issuer(row: &Row) -> Result<Issuer, StoreError> {
    Ok(Issuer {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        kind: row.get(3),
        config: row.get(4),
        sealed_config: row.get(5),
        enabled: row.get(6),
        last_tested_at: row.get(7),
        test_status: row.get(8),
        source: row.get(9),
        hierarchy_mode: row.get(10),
        issuing_ca_id: row.get(11),
        config_version: row.get(12),
        row_version: row.get(13),
        created_at: row.get(14),
        updated_at: row.get(15),
    })
}

#[async_trait]
impl IssuerStore for PgUnitOfWork {
    async fn issuer(&mut self, id: &str) -> Result<Option<Issuer>, StoreError> {
        let row = self.query_opt(&format!("SELECT {ISSUER} FROM ca.issuers i WHERE i.id = $1"), &[&id]).await?;
        row.as_ref().map(issuer).transpose()
    }

    async fn issuer_for_update(&mut self, id: &str) -> Result<Option<Issuer>, StoreError> {
        let row =
            self.query_opt(&format!("SELECT {ISSUER} FROM ca.issuers i WHERE i.id = $1 FOR UPDATE"), &[&id]).await?;
        row.as_ref().map(issuer).transpose()
    }

    async fn insert_issuer(&mut self, issuer: &Issuer) -> Result<(), StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO ca.issuers (id, tenant_id, name, type, config, sealed_config, enabled, last_tested_at, \
                   test_status, source, hierarchy_mode, issuing_ca_id, config_version, row_version, created_at, \
                   updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
                 ON CONFLICT DO NOTHING",
                &[
                    &issuer.id,
                    &issuer.tenant_id,
                    &issuer.name,
                    &issuer.kind,
                    &issuer.config,
                    &issuer.sealed_config,
                    &issuer.enabled,
                    &issuer.last_tested_at,
                    &issuer.test_status,
                    &issuer.source,
                    &issuer.hierarchy_mode,
                    &issuer.issuing_ca_id,
                    &issuer.config_version,
                    &issuer.row_version,
                    &issuer.created_at,
                    &issuer.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(());
        }
        let holder = "SELECT id FROM ca.issuers WHERE id = $1 OR (tenant_id = $3 AND lower(name) = lower($2)) \
             ORDER BY (id = $1) DESC LIMIT 1";
        Err(self.taken(holder, &issuer.id, &issuer.name, &issuer.tenant_id).await)
    }

    async fn update_issuer(&mut self, issuer: &Issuer) -> Result<(), StoreError> {
        let other = "SELECT id FROM ca.issuers WHERE tenant_id = $3 AND lower(name) = lower($2) AND id <> $1";
        self.free_name(other, &issuer.id, &issuer.name, &issuer.tenant_id).await?;
        self.execute(
            "UPDATE ca.issuers SET name = $2, config = $3, sealed_config = $4, enabled = $5, last_tested_at = $6, \
               test_status = $7, hierarchy_mode = $8, config_version = $9, row_version = row_version + 1, \
               updated_at = $10 WHERE id = $1",
            &[
                &issuer.id,
                &issuer.name,
                &issuer.config,
                &issuer.sealed_config,
                &issuer.enabled,
                &issuer.last_tested_at,
                &issuer.test_status,
                &issuer.hierarchy_mode,
                &issuer.config_version,
                &issuer.updated_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn delete_issuer(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM ca.issuers WHERE id = $1", &[&id]).await.map(|_| ())
    }

    async fn issuer_usage(&mut self, id: &str) -> Result<IssuerUsage, StoreError> {
        let row = self
            .query_one(
                "SELECT (SELECT count(*) FROM inventory.certificates WHERE issuer_id = $1), \
                   (SELECT count(*) FROM inventory.certificate_versions WHERE issuer_id = $1), \
                   (SELECT count(*) FROM iam.grants WHERE scope_type = 'issuer' AND scope_id = $1) \
                     + (SELECT count(*) FROM iam.role_permissions WHERE scope_type = 'issuer' AND scope_id = $1)",
                &[&id],
            )
            .await?;
        Ok(IssuerUsage { certificates: row.get(0), versions: row.get(1), grants: row.get(2) })
    }

    async fn issuers_page(&mut self, filter: &IssuerFilter, list: &ListQuery) -> Result<Page<Issuer>, StoreError> {
        let sql = ListSql {
            columns: ISSUER,
            from: "ca.issuers i",
            key: "i.created_at",
            kind: KeyKind::Time,
            id: "i.id",
            descending: true,
        };
        let filters = Filters::default()
            .with("(i.id ILIKE ? OR i.name ILIKE ?)", "text", filter.q.as_deref().map(containing))
            .with("i.type = ?", "text", filter.kind.as_deref())
            .with("i.enabled = ?", "boolean", filter.enabled)
            .with("i.id = ANY(?)", "text[]", filter.ids.clone());
        self.page(&sql, &filters, filter.fingerprint(), list, issuer, |row| {
            (key_of(Some(row.created_at)), row.id.clone())
        })
        .await
    }

    async fn set_issuer_test_result(&mut self, id: &str, status: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ca.issuers SET test_status = $2, last_tested_at = $3, row_version = row_version + 1, \
               updated_at = $3 WHERE id = $1",
            &[&id, &status, &at],
        )
        .await
        .map(|_| ())
    }

    async fn set_issuing_ca(&mut self, issuer_id: &str, ca_id: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE ca.issuers SET issuing_ca_id = $2, row_version = row_version + 1, updated_at = $3 WHERE id = $1",
            &[&issuer_id, &ca_id, &at],
        )
        .await
        .map(|_| ())
    }
}
