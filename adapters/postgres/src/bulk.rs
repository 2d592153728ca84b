//! Many certificates at once.

use crate::paging::{Filters, scope_keys};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};
use certctl_revocation::{BulkStore, Candidate, Criteria, LiveVersion, LockedCertificate};

/// The end of a text as a pattern of `LIKE`, taken literally.
fn ending(text: &str) -> String {
    format!("%{}", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

#[async_trait]
impl BulkStore for PgUnitOfWork {
    async fn revocation_candidates(
        &mut self,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, StoreError> {
        let filters = Filters::default()
            .with("c.id = ANY(?)", "text[]", criteria.certificate_ids.as_deref())
            .with(
                "('issuer:' || c.issuer_id = ANY(?) OR 'profile:' || c.certificate_profile_id = ANY(?))",
                "text[]",
                criteria.within.as_deref().map(scope_keys),
            )
            .with("c.certificate_profile_id = ?", "text", criteria.profile_id.as_deref())
            .with("c.owner_id = ?", "text", criteria.owner_id.as_deref())
            .with("c.issuer_id = ?", "text", criteria.issuer_id.as_deref())
            .with("c.team_id = ?", "text", criteria.team_id.as_deref())
            .with("c.source = ?", "text", criteria.source.as_deref())
            .with(
                "EXISTS (SELECT FROM inventory.certificate_targets m JOIN fleet.targets t ON t.id = m.target_id \
                   WHERE m.certificate_id = c.id AND t.agent_id = ?)",
                "text",
                criteria.agent_id.as_deref(),
            )
            .with(
                "EXISTS (SELECT FROM inventory.certificate_versions s WHERE s.certificate_id = c.id \
                   AND s.serial_number = ANY(?))",
                "text[]",
                criteria.serials.as_deref(),
            )
            .with(
                "EXISTS (SELECT FROM inventory.certificate_versions s WHERE s.certificate_id = c.id \
                   AND s.spki_sha256 = ?)",
                "text",
                criteria.spki_sha256.as_deref(),
            )
            .with("lower(c.common_name) LIKE ?", "text", criteria.common_name_suffix.as_deref().map(ending))
            .with("c.created_at > ?", "timestamptz", criteria.created_after)
            .with("c.created_at < ?", "timestamptz", criteria.created_before);
        let (conditions, mut parameters) = filters.render();
        parameters.push(&now);
        let sql = format!(
            "SELECT c.id, c.status NOT IN ('Revoked', 'Archived') AND EXISTS \
               (SELECT FROM inventory.certificate_versions v WHERE v.certificate_id = c.id AND v.not_after > ${} \
                AND NOT EXISTS (SELECT FROM status.revocations r WHERE r.version_id = v.id AND r.removed_at IS NULL)) \
             FROM inventory.certificates c WHERE {conditions} ORDER BY c.id",
            parameters.len()
        );
        let rows = self.query(&sql, &parameters).await?;
        Ok(rows.iter().map(|row| Candidate { id: row.get(0), revocable: row.get(1) }).collect())
    }

    async fn lock_revocable(&mut self, ids: &[String]) -> Result<Vec<LockedCertificate>, StoreError> {
        let rows = self
            .query(
                "SELECT id, common_name, status FROM inventory.certificates \
                 WHERE id = ANY($1) AND status NOT IN ('Revoked', 'Archived') ORDER BY id FOR UPDATE",
                &[&ids],
            )
            .await?;
        let certificate = |row: &tokio_postgres::Row| LockedCertificate {
            id: row.get(0),
            common_name: row.get(1),
            status: row.get(2),
        };
        Ok(rows.iter().map(certificate).collect())
    }

    async fn live_versions(&mut self, ids: &[String], now: Timestamp) -> Result<Vec<LiveVersion>, StoreError> {
        let rows = self
            .query(
                "SELECT v.id, v.certificate_id, v.issuer_id, v.ca_id, v.serial_number, v.spki_sha256, v.not_after, \
                 v.revocation_exempt FROM inventory.certificate_versions v \
                 WHERE v.certificate_id = ANY($1) AND v.not_after > $2 AND NOT EXISTS \
                 (SELECT FROM status.revocations r WHERE r.version_id = v.id AND r.removed_at IS NULL) \
                 ORDER BY v.certificate_id, v.seq DESC",
                &[&ids, &now],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| LiveVersion {
                id: row.get(0),
                certificate_id: row.get(1),
                issuer_id: row.get(2),
                ca_id: row.get(3),
                serial_number: row.get(4),
                spki_sha256: row.get(5),
                not_after: row.get(6),
                revocation_exempt: row.get(7),
            })
            .collect())
    }

    async fn mark_all_revoked(&mut self, ids: &[String], at: Timestamp, reason: &str) -> Result<(), StoreError> {
        self.execute(
            "UPDATE inventory.certificates SET status = 'Revoked', state_entered_at = $2, revoked_at = $2, \
               revocation_reason = $3, next_renewal_at = NULL, row_version = row_version + 1, updated_at = $2 \
             WHERE id = ANY($1)",
            &[&ids, &at, &reason],
        )
        .await
        .map(|_| ())
    }

    async fn cancel_jobs_of(&mut self, ids: &[String], reason: &str, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE work.jobs SET status = 'Cancelled', last_error = $2, completed_at = $3, state_entered_at = $3, \
               retryable = false, lease_owner = NULL, lease_expires_at = NULL, row_version = row_version + 1 \
             WHERE certificate_id = ANY($1) AND completed_at IS NULL",
            &[&ids, &reason, &now],
        )
        .await
    }

    async fn with_pending_approval(&mut self, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = self
            .query(
                "SELECT DISTINCT certificate_id FROM approval.requests WHERE certificate_id = ANY($1) AND state = 'pending' \
                 ORDER BY certificate_id",
                &[&ids],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
