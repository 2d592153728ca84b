//! Managed certificates and their versions.

use crate::paging::{Filters, KeyKind, ListSql, containing, key_of, scope_keys};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_inventory::{
    Certificate, CertificateFilter, CertificateSort, CertificateSortKey, CertificateStatus, CertificateStore,
    CertificateVersion,
};
use certctl_kernel::{ListQuery, Page, SortOrder, StoreError, Timestamp};
use serde_json::json;
use tokio_postgres::Row;

const CERTIFICATE: &str = "c.id, c.tenant_id, c.name, c.common_name, c.sans, c.environment, c.owner_id, c.team_id, \
     c.issuer_id, c.renewal_policy_id, c.certificate_profile_id, c.status, c.expires_at, c.next_renewal_at, c.tags, \
     ARRAY(SELECT t.target_id FROM inventory.certificate_targets t WHERE t.certificate_id = c.id \
           ORDER BY t.target_id) AS target_ids, \
     c.current_version_id, c.last_renewal_at, c.last_deployment_at, c.revoked_at, c.revocation_reason, c.source, \
     c.row_version, c.created_at, c.updated_at, c.archived_at";

fn certificate(row: &Row) -> Result<Certificate, StoreError> {
    let status = CertificateStatus::parse(row.get(11))
        .ok_or_else(|| StoreError::Internal { reason: "a stored certificate status is not one".to_owned() })?;
    let tags = serde_json::from_value(row.get(14))
        .map_err(|_| StoreError::Internal { reason: "stored tags are not a map of text".to_owned() })?;
    Ok(Certificate {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        common_name: row.get(3),
        sans: row.get(4),
        environment: row.get(5),
        owner_id: row.get(6),
        team_id: row.get(7),
        issuer_id: row.get(8),
        renewal_policy_id: row.get(9),
        certificate_profile_id: row.get(10),
        status,
        expires_at: row.get(12),
        next_renewal_at: row.get(13),
        tags,
        target_ids: row.get(15),
        current_version_id: row.get(16),
        last_renewal_at: row.get(17),
        last_deployment_at: row.get(18),
        revoked_at: row.get(19),
        revocation_reason: row.get(20),
        source: row.get(21),
        row_version: row.get(22),
        created_at: row.get(23),
        updated_at: row.get(24),
        archived_at: row.get(25),
    })
}

const VERSION: &str = "v.id, v.certificate_id, v.issuer_id, v.ca_id, v.seq, v.serial_number, v.not_before, \
     v.not_after, v.fingerprint_sha256, v.pem_chain, v.csr_pem, v.key_algorithm, v.key_size, v.profile_id, v.source, \
     v.job_id, v.requested_by, v.spki_sha256, v.subject_dn, v.issuer_dn, v.sans, v.revocation_exempt, v.created_at";

#[expect(clippy::unnecessary_wraps, reason = "readers of pages may fail; this one can't")]
fn version(row: &Row) -> Result<CertificateVersion, StoreError> {
    Ok(CertificateVersion {
        id: row.get(0),
        certificate_id: row.get(1),
        issuer_id: row.get(2),
        ca_id: row.get(3),
        seq: row.get(4),
        serial_number: row.get(5),
        not_before: row.get(6),
        not_after: row.get(7),
        fingerprint_sha256: row.get(8),
        pem_chain: row.get(9),
        csr_pem: row.get(10),
        key_algorithm: row.get(11),
        key_size: row.get(12),
        profile_id: row.get(13),
        source: row.get(14),
        job_id: row.get(15),
        requested_by: row.get(16),
        spki_sha256: row.get(17),
        subject_dn: row.get(18),
        issuer_dn: row.get(19),
        sans: row.get(20),
        revocation_exempt: row.get(21),
        created_at: row.get(22),
    })
}

impl PgUnitOfWork {
    async fn one_version(
        &self,
        condition: &str,
        params: crate::unit_of_work::Params<'_>,
    ) -> Result<Option<CertificateVersion>, StoreError> {
        let sql = format!("SELECT {VERSION} FROM inventory.certificate_versions v WHERE {condition}");
        self.query_opt(&sql, params).await?.as_ref().map(version).transpose()
    }
}

/// The changed row must be there: the caller has read it in this transaction.
fn not_there(id: &str) -> StoreError {
    StoreError::Internal { reason: format!("certificate {id} to be changed does not exist") }
}

fn found(changed: u64, id: &str) -> Result<(), StoreError> {
    if changed == 0 { Err(not_there(id)) } else { Ok(()) }
}

#[async_trait]
impl CertificateStore for PgUnitOfWork {
    async fn certificate(&mut self, id: &str) -> Result<Option<Certificate>, StoreError> {
        let sql = format!("SELECT {CERTIFICATE} FROM inventory.certificates c WHERE c.id = $1");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(certificate).transpose()
    }

    async fn certificate_for_update(&mut self, id: &str) -> Result<Option<Certificate>, StoreError> {
        let sql = format!("SELECT {CERTIFICATE} FROM inventory.certificates c WHERE c.id = $1 FOR UPDATE OF c");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(certificate).transpose()
    }

    async fn insert_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError> {
        let inserted = self
            .execute(
                "INSERT INTO inventory.certificates (id, tenant_id, name, common_name, sans, environment, owner_id, \
                   team_id, issuer_id, renewal_policy_id, certificate_profile_id, status, state_entered_at, tags, \
                   source, row_version, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $16, $13, $14, $15, $16, $17) \
                 ON CONFLICT DO NOTHING",
                &[
                    &certificate.id,
                    &certificate.tenant_id,
                    &certificate.name,
                    &certificate.common_name,
                    &certificate.sans,
                    &certificate.environment,
                    &certificate.owner_id,
                    &certificate.team_id,
                    &certificate.issuer_id,
                    &certificate.renewal_policy_id,
                    &certificate.certificate_profile_id,
                    &certificate.status.as_str(),
                    &json!(certificate.tags),
                    &certificate.source,
                    &certificate.row_version,
                    &certificate.created_at,
                    &certificate.updated_at,
                ],
            )
            .await?;
        if inserted > 0 {
            return Ok(());
        }
        let holder = "SELECT id FROM inventory.certificates \
             WHERE id = $1 OR (tenant_id = $3 AND lower(name) = lower($2)) ORDER BY (id = $1) DESC LIMIT 1";
        Err(self.taken(holder, &certificate.id, &certificate.name, &certificate.tenant_id).await)
    }

    async fn update_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError> {
        let other = "SELECT id FROM inventory.certificates \
             WHERE tenant_id = $3 AND lower(name) = lower($2) AND id <> $1";
        self.free_name(other, &certificate.id, &certificate.name, &certificate.tenant_id).await?;
        let changed = self
            .execute(
                "UPDATE inventory.certificates SET name = $2, common_name = $3, sans = $4, environment = $5, \
                   owner_id = $6, team_id = $7, issuer_id = $8, renewal_policy_id = $9, certificate_profile_id = $10, \
                   tags = $11, row_version = row_version + 1, updated_at = $12 WHERE id = $1",
                &[
                    &certificate.id,
                    &certificate.name,
                    &certificate.common_name,
                    &certificate.sans,
                    &certificate.environment,
                    &certificate.owner_id,
                    &certificate.team_id,
                    &certificate.issuer_id,
                    &certificate.renewal_policy_id,
                    &certificate.certificate_profile_id,
                    &json!(certificate.tags),
                    &certificate.updated_at,
                ],
            )
            .await?;
        found(changed, &certificate.id)
    }

    async fn set_certificate_status(
        &mut self,
        id: &str,
        from: &[CertificateStatus],
        to: CertificateStatus,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let from: Vec<&str> = from.iter().map(|status| status.as_str()).collect();
        let changed = self
            .execute(
                "UPDATE inventory.certificates SET status = $3, \
                   state_entered_at = CASE WHEN status = $3 THEN state_entered_at ELSE $4 END, \
                   row_version = row_version + 1, updated_at = $4 WHERE id = $1 AND status = ANY($2)",
                &[&id, &from, &to.as_str(), &now],
            )
            .await?;
        Ok(changed > 0)
    }

    async fn record_version(
        &mut self,
        version: &CertificateVersion,
        next_renewal_at: Option<Timestamp>,
    ) -> Result<i32, StoreError> {
        // Callers hold the certificate's row; where one does not, the unique number refuses the second version.
        let row = self
            .query_opt(
                "WITH held AS MATERIALIZED ( \
                   UPDATE inventory.certificates SET status = 'Active', \
                     state_entered_at = CASE WHEN status = 'Active' THEN state_entered_at ELSE $22 END, \
                     current_version_id = $1, expires_at = $7, last_renewal_at = $22, next_renewal_at = $23, \
                     revoked_at = NULL, revocation_reason = NULL, row_version = row_version + 1, updated_at = $22 \
                   WHERE id = $2 RETURNING id) \
                 INSERT INTO inventory.certificate_versions (id, certificate_id, issuer_id, ca_id, seq, \
                   serial_number, not_before, not_after, fingerprint_sha256, pem_chain, csr_pem, key_algorithm, \
                   key_size, profile_id, source, job_id, requested_by, spki_sha256, subject_dn, issuer_dn, sans, \
                   revocation_exempt, created_at) \
                 SELECT $1, held.id, $3, $4, \
                   coalesce((SELECT max(v.seq) FROM inventory.certificate_versions v WHERE v.certificate_id = $2), 0) \
                     + 1, \
                   $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22 FROM held RETURNING seq",
                &[
                    &version.id,
                    &version.certificate_id,
                    &version.issuer_id,
                    &version.ca_id,
                    &version.serial_number,
                    &version.not_before,
                    &version.not_after,
                    &version.fingerprint_sha256,
                    &version.pem_chain,
                    &version.csr_pem,
                    &version.key_algorithm,
                    &version.key_size,
                    &version.profile_id,
                    &version.source,
                    &version.job_id,
                    &version.requested_by,
                    &version.spki_sha256,
                    &version.subject_dn,
                    &version.issuer_dn,
                    &version.sans,
                    &version.revocation_exempt,
                    &version.created_at,
                    &next_renewal_at,
                ],
            )
            .await?;
        row.map(|row| row.get(0)).ok_or_else(|| not_there(&version.certificate_id))
    }

    async fn mark_revoked(&mut self, id: &str, at: Timestamp, reason: &str) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE inventory.certificates SET status = 'Revoked', state_entered_at = $2, revoked_at = $2, \
                   revocation_reason = $3, next_renewal_at = NULL, row_version = row_version + 1, updated_at = $2 \
                 WHERE id = $1",
                &[&id, &at, &reason],
            )
            .await?;
        found(changed, id)
    }

    async fn archive_certificate(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE inventory.certificates SET status = 'Archived', state_entered_at = $2, archived_at = $2, \
                   next_renewal_at = NULL, row_version = row_version + 1, updated_at = $2 WHERE id = $1",
                &[&id, &at],
            )
            .await?;
        found(changed, id)
    }

    async fn versions(
        &mut self,
        certificate_id: &str,
        list: &ListQuery,
    ) -> Result<Page<CertificateVersion>, StoreError> {
        let sql = ListSql {
            columns: VERSION,
            from: "inventory.certificate_versions v",
            key: "v.seq",
            kind: KeyKind::Number,
            id: "v.id",
            descending: true,
        };
        let filters = Filters::default().with("v.certificate_id = ?", "text", Some(certificate_id));
        self.page(&sql, &filters, certctl_inventory::versions_fingerprint(certificate_id), list, version, |row| {
            (row.seq.to_string(), row.id.clone())
        })
        .await
    }

    async fn version(&mut self, id: &str) -> Result<Option<CertificateVersion>, StoreError> {
        self.one_version("v.id = $1", &[&id]).await
    }

    async fn latest_version(&mut self, certificate_id: &str) -> Result<Option<CertificateVersion>, StoreError> {
        self.one_version("v.certificate_id = $1 ORDER BY v.seq DESC LIMIT 1", &[&certificate_id]).await
    }

    async fn unexpired_versions(
        &mut self,
        certificate_id: &str,
        now: Timestamp,
    ) -> Result<Vec<CertificateVersion>, StoreError> {
        let sql = format!(
            "SELECT {VERSION} FROM inventory.certificate_versions v \
             WHERE v.certificate_id = $1 AND v.not_after > $2 ORDER BY v.seq DESC"
        );
        self.query(&sql, &[&certificate_id, &now]).await?.iter().map(version).collect()
    }

    async fn version_by_serial(
        &mut self,
        issuer_id: &str,
        serial: &str,
    ) -> Result<Option<CertificateVersion>, StoreError> {
        self.one_version("v.issuer_id = $1 AND v.serial_number = $2", &[&issuer_id, &serial]).await
    }

    async fn certificates_page(
        &mut self,
        filter: &CertificateFilter,
        sort: CertificateSort,
        list: &ListQuery,
    ) -> Result<Page<Certificate>, StoreError> {
        let (key, kind) = match sort.key {
            CertificateSortKey::CreatedAt => ("c.created_at", KeyKind::Time),
            CertificateSortKey::UpdatedAt => ("c.updated_at", KeyKind::Time),
            CertificateSortKey::ExpiresAt => ("coalesce(c.expires_at, 'infinity')", KeyKind::Time),
            CertificateSortKey::CommonName => ("c.common_name", KeyKind::Text),
            CertificateSortKey::Name => ("c.name", KeyKind::Text),
            CertificateSortKey::Status => ("c.status", KeyKind::Text),
            CertificateSortKey::Environment => ("c.environment", KeyKind::Text),
        };
        let sql = ListSql {
            columns: CERTIFICATE,
            from: "inventory.certificates c",
            key,
            kind,
            id: "c.id",
            descending: sort.order == SortOrder::Descending,
        };
        let filters = Filters::default()
            .with("c.status = ?", "text", filter.status.map(CertificateStatus::as_str))
            .with(
                "('issuer:' || c.issuer_id = ANY(?) OR 'profile:' || c.certificate_profile_id = ANY(?))",
                "text[]",
                filter.within.as_deref().map(scope_keys),
            )
            .with("c.environment = ?", "text", filter.environment.as_deref())
            .with("c.owner_id = ?", "text", filter.owner_id.as_deref())
            .with("c.team_id = ?", "text", filter.team_id.as_deref())
            .with("c.issuer_id = ?", "text", filter.issuer_id.as_deref())
            .with("c.certificate_profile_id = ?", "text", filter.profile_id.as_deref())
            .with("c.source = ?", "text", filter.source.as_deref())
            .with(
                "EXISTS (SELECT FROM inventory.certificate_targets m WHERE m.certificate_id = c.id \
                   AND m.target_id = ?)",
                "text",
                filter.target_id.as_deref(),
            )
            .with(
                "EXISTS (SELECT FROM inventory.certificate_targets m JOIN fleet.targets t ON t.id = m.target_id \
                   WHERE m.certificate_id = c.id AND t.agent_id = ?)",
                "text",
                filter.agent_id.as_deref(),
            )
            .with("c.expires_at < ?", "timestamptz", filter.expires_before)
            .with("c.expires_at > ?", "timestamptz", filter.expires_after)
            .with("c.created_at > ?", "timestamptz", filter.created_after)
            .with("c.updated_at > ?", "timestamptz", filter.updated_after)
            .with("(? AND c.status <> 'Archived')", "boolean", filter.hide_archived.then_some(true))
            .with("c.search LIKE lower(?)", "text", filter.q.as_deref().map(containing));
        self.page(&sql, &filters, filter.fingerprint(sort), list, certificate, |row| {
            let text = match sort.key {
                CertificateSortKey::CreatedAt => key_of(Some(row.created_at)),
                CertificateSortKey::UpdatedAt => key_of(Some(row.updated_at)),
                CertificateSortKey::ExpiresAt => key_of(row.expires_at),
                CertificateSortKey::CommonName => row.common_name.clone(),
                CertificateSortKey::Name => row.name.clone(),
                CertificateSortKey::Status => row.status.as_str().to_owned(),
                CertificateSortKey::Environment => row.environment.clone(),
            };
            (text, row.id.clone())
        })
        .await
    }
}
