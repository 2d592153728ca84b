//! Targets, and what should stand on them.

use crate::jobs::unreadable;
use crate::paging::{Filters, KeyKind, ListSql, containing, key_of};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_deployment::{
    Attachment, AttachmentState, DeploymentStore, LastJob, Retired, Target, TargetFilter, TargetUsage,
};
use certctl_jobs::JobStatus;
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};
use tokio_postgres::Row;

const TARGET: &str = "t.id, t.tenant_id, t.name, t.type, t.agent_id, t.config, t.sealed_config, t.config_version, \
     t.enabled, t.last_tested_at, t.test_status, t.source, t.retired_at, t.retired_reason, t.row_version, \
     t.created_at, t.updated_at";
const TARGET_COLUMNS: usize = 17;

fn target(row: &Row) -> Target {
    Target {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        kind: row.get(3),
        agent_id: row.get(4),
        config: row.get(5),
        sealed_config: row.get(6),
        config_version: row.get(7),
        enabled: row.get(8),
        last_tested_at: row.get(9),
        test_status: row.get(10),
        source: row.get(11),
        retired_at: row.get(12),
        retired_reason: row.get(13),
        row_version: row.get(14),
        created_at: row.get(15),
        updated_at: row.get(16),
    }
}

fn attachment(row: &Row) -> Result<Attachment, StoreError> {
    let at = |offset: usize| TARGET_COLUMNS + offset;
    let state: &str = row.get(at(0));
    let job_id: Option<Id> = row.get(at(8));
    let last_job = match job_id {
        None => None,
        Some(id) => {
            let status: &str = row.get(at(9));
            Some(LastJob {
                id,
                status: JobStatus::parse(status).ok_or_else(|| unreadable(status))?,
                attempts: row.get(at(10)),
                last_error: row.get(at(11)),
                completed_at: row.get(at(12)),
            })
        }
    };
    Ok(Attachment {
        target: target(row),
        state: AttachmentState::parse(state).ok_or_else(|| unreadable(state))?,
        desired_version_id: row.get(at(1)),
        deployed_version_id: row.get(at(2)),
        deployed_fingerprint: row.get(at(3)),
        deployed_at: row.get(at(4)),
        verified_at: row.get(at(5)),
        observed_fingerprint: row.get(at(6)),
        last_error: row.get(at(7)),
        last_job,
        last_outcome: row.get(at(13)),
    })
}

#[async_trait]
impl DeploymentStore for PgUnitOfWork {
    async fn target(&mut self, id: &str) -> Result<Option<Target>, StoreError> {
        let sql = format!("SELECT {TARGET} FROM fleet.targets t WHERE t.id = $1");
        Ok(self.query_opt(&sql, &[&id]).await?.as_ref().map(target))
    }

    async fn target_for_update(&mut self, id: &str) -> Result<Option<Target>, StoreError> {
        let sql = format!("SELECT {TARGET} FROM fleet.targets t WHERE t.id = $1 FOR UPDATE");
        Ok(self.query_opt(&sql, &[&id]).await?.as_ref().map(target))
    }

    async fn targets_by_id(&mut self, ids: &[Id]) -> Result<Vec<Target>, StoreError> {
        // Held, so that none is taken out of service before the caller has attached it.
        let sql = format!("SELECT {TARGET} FROM fleet.targets t WHERE t.id = ANY($1) ORDER BY t.id FOR SHARE");
        Ok(self.query(&sql, &[&ids]).await?.iter().map(target).collect())
    }

    async fn insert_target(&mut self, target: &Target) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO fleet.targets (id, tenant_id, name, type, agent_id, config, sealed_config, config_version, \
               enabled, last_tested_at, test_status, source, row_version, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            &[
                &target.id,
                &target.tenant_id,
                &target.name,
                &target.kind,
                &target.agent_id,
                &target.config,
                &target.sealed_config,
                &target.config_version,
                &target.enabled,
                &target.last_tested_at,
                &target.test_status,
                &target.source,
                &target.row_version,
                &target.created_at,
                &target.updated_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn update_target(&mut self, target: &Target) -> Result<(), StoreError> {
        self.execute(
            "UPDATE fleet.targets SET name = $2, type = $3, agent_id = $4, config = $5, sealed_config = $6, \
               config_version = $7, enabled = $8, last_tested_at = $9, test_status = $10, updated_at = $11, \
               row_version = row_version + 1 WHERE id = $1",
            &[
                &target.id,
                &target.name,
                &target.kind,
                &target.agent_id,
                &target.config,
                &target.sealed_config,
                &target.config_version,
                &target.enabled,
                &target.last_tested_at,
                &target.test_status,
                &target.updated_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn retire_target(&mut self, id: &str, reason: Option<&str>, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "WITH off AS (UPDATE work.jobs SET status = 'Cancelled', last_error = 'the target was removed', \
                 completed_at = $3, state_entered_at = $3, retryable = false, lease_owner = NULL, \
                 lease_expires_at = NULL, row_version = row_version + 1 \
               WHERE target_id = $1 AND completed_at IS NULL), \
             free AS (DELETE FROM inventory.certificate_targets WHERE target_id = $1) \
             UPDATE fleet.targets SET retired_at = $3, retired_reason = $2, updated_at = $3, \
               row_version = row_version + 1 WHERE id = $1",
            &[&id, &reason, &at],
        )
        .await
        .map(|_| ())
    }

    async fn target_usage(&mut self, id: &str) -> Result<TargetUsage, StoreError> {
        let row = self
            .query_one(
                "SELECT (SELECT count(*) FROM inventory.certificate_targets WHERE target_id = $1), \
                   (SELECT count(*) FROM work.jobs WHERE target_id = $1 AND completed_at IS NULL)",
                &[&id],
            )
            .await?;
        Ok(TargetUsage { certificates: row.get(0), open_jobs: row.get(1) })
    }

    async fn set_target_test_result(&mut self, id: &str, status: &str, at: Timestamp) -> Result<(), StoreError> {
        self.execute(
            "UPDATE fleet.targets SET test_status = $2, last_tested_at = $3, updated_at = $3, \
               row_version = row_version + 1 WHERE id = $1",
            &[&id, &status, &at],
        )
        .await
        .map(|_| ())
    }

    async fn targets_page(&mut self, filter: &TargetFilter, list: &ListQuery) -> Result<Page<Target>, StoreError> {
        let sql = ListSql {
            columns: TARGET,
            from: "fleet.targets t",
            key: "t.created_at",
            kind: KeyKind::Time,
            id: "t.id",
            descending: true,
        };
        let retired = match filter.retired {
            Retired::Hide => Some(false),
            Retired::Only => Some(true),
            Retired::All => None,
        };
        let filters = Filters::default()
            .with("(t.retired_at IS NOT NULL) = ?", "boolean", retired)
            .with("t.agent_id = ?", "text", filter.agent_id.as_deref())
            .with("t.type = ?", "text", filter.kind.as_deref())
            .with("(t.id ILIKE ? OR t.name ILIKE ?)", "text", filter.q.as_deref().map(containing));
        self.page(
            &sql,
            &filters,
            filter.fingerprint(),
            list,
            |row| Ok(target(row)),
            |row| (key_of(Some(row.created_at)), row.id.clone()),
        )
        .await
    }

    async fn attach_targets(
        &mut self,
        certificate_id: &str,
        target_ids: &[Id],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "WITH gone AS (DELETE FROM inventory.certificate_targets \
               WHERE certificate_id = $1 AND target_id <> ALL($2) RETURNING target_id), \
             off AS (UPDATE work.jobs j SET status = 'Cancelled', last_error = 'the target was detached', \
                 completed_at = $3, state_entered_at = $3, retryable = false, lease_owner = NULL, \
                 lease_expires_at = NULL, row_version = row_version + 1 \
               FROM gone WHERE j.certificate_id = $1 AND j.target_id = gone.target_id AND j.completed_at IS NULL) \
             INSERT INTO inventory.certificate_targets (certificate_id, target_id, desired_version_id, state, \
               state_entered_at) \
             SELECT c.id, n.target_id, c.current_version_id, 'pending', $3 \
             FROM inventory.certificates c, unnest($2::text[]) n (target_id) WHERE c.id = $1 \
             ON CONFLICT (certificate_id, target_id) DO NOTHING",
            &[&certificate_id, &target_ids, &now],
        )
        .await
        .map(|_| ())
    }

    async fn attachments_page(
        &mut self,
        certificate_id: &str,
        list: &ListQuery,
    ) -> Result<Page<Attachment>, StoreError> {
        let columns = format!(
            "{TARGET}, a.state, a.desired_version_id, a.deployed_version_id, v.fingerprint_sha256, a.deployed_at, \
             a.verified_at, a.observed_fingerprint, a.last_error, j.id AS job_id, j.status, j.attempts, \
             j.last_error AS job_error, j.completed_at, d.outcome"
        );
        let sql = ListSql {
            columns: &columns,
            from: "inventory.certificate_targets a JOIN fleet.targets t ON t.id = a.target_id \
                   LEFT JOIN inventory.certificate_versions v ON v.id = a.deployed_version_id \
                   LEFT JOIN work.jobs j ON j.id = a.last_job_id LEFT JOIN work.deployments d ON d.job_id = j.id",
            key: "t.id",
            kind: KeyKind::Text,
            id: "t.id",
            descending: false,
        };
        let filters = Filters::default().with("a.certificate_id = ?", "text", Some(certificate_id));
        self.page(&sql, &filters, format!("deployments:{certificate_id}"), list, attachment, |row| {
            (row.target.id.clone(), row.target.id.clone())
        })
        .await
    }
}
