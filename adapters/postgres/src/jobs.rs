//! Jobs.

use crate::paging::{Filters, KeyKind, ListSql, key_of, scope_keys};
use crate::unit_of_work::{Params, PgUnitOfWork};
use async_trait::async_trait;
use certctl_inventory::CertificateStatus;
use certctl_jobs::{Job, JobFilter, JobStatus, JobStore, JobType, Trigger, Verification};
use certctl_kernel::{Id, IdKind, ListQuery, Page, StoreError, Timestamp, timestamp};
use serde_json::Value;
use tokio_postgres::Row;

/// A job with its newest verification.
const JOB: &str = "j.id, j.tenant_id, j.type, j.certificate_id, j.version_id, j.target_id, j.agent_id, j.status, \
     j.attempts, j.max_attempts, j.last_error, j.retryable, j.error_class, j.scheduled_at, j.started_at, \
     j.completed_at, j.created_at, j.state_entered_at, j.lease_owner, j.lease_expires_at, j.requested_by, j.trigger, \
     j.row_version, (SELECT jsonb_build_object('id', v.id, 'at', v.at, 'success', v.result = 'success', \
       'expected', v.expected_fingerprint, 'actual', v.fingerprint, 'error', v.error) \
       FROM work.job_verifications v WHERE v.job_id = j.id ORDER BY v.at DESC, v.id DESC LIMIT 1)";

pub(crate) fn unreadable(what: &str) -> StoreError {
    StoreError::Internal { reason: format!("the database holds {what}, which this version does not know") }
}

fn seen(job_id: &str, value: &Value) -> Result<Verification, StoreError> {
    let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
    Ok(Verification {
        id: text("id"),
        job_id: job_id.to_owned(),
        at: timestamp::parse(&text("at")).ok_or_else(|| unreadable("a verification without a time"))?,
        success: value["success"] == true,
        expected_fingerprint: text("expected"),
        actual_fingerprint: text("actual"),
        error: value["error"].as_str().map(ToOwned::to_owned),
    })
}

fn job(row: &Row) -> Result<Job, StoreError> {
    let id: String = row.get(0);
    let (kind, status, trigger): (&str, &str, &str) = (row.get(2), row.get(7), row.get(21));
    let verification: Option<Value> = row.get(23);
    Ok(Job {
        tenant_id: row.get(1),
        kind: JobType::parse(kind).ok_or_else(|| unreadable(kind))?,
        certificate_id: row.get(3),
        version_id: row.get(4),
        target_id: row.get(5),
        agent_id: row.get(6),
        status: JobStatus::parse(status).ok_or_else(|| unreadable(status))?,
        attempts: row.get(8),
        max_attempts: row.get(9),
        last_error: row.get(10),
        retryable: row.get(11),
        error_class: row.get(12),
        scheduled_at: row.get(13),
        started_at: row.get(14),
        completed_at: row.get(15),
        created_at: row.get(16),
        state_entered_at: row.get(17),
        lease_owner: row.get(18),
        lease_expires_at: row.get(19),
        requested_by: row.get(20),
        trigger: Trigger::parse(trigger).ok_or_else(|| unreadable(trigger))?,
        row_version: row.get(22),
        verification: verification.map(|value| seen(&id, &value)).transpose()?,
        id,
    })
}

impl PgUnitOfWork {
    async fn one_job(&self, rest: &str, params: Params<'_>) -> Result<Option<Job>, StoreError> {
        let sql = format!("SELECT {JOB} FROM work.jobs j WHERE {rest}");
        self.query_opt(&sql, params).await?.as_ref().map(job).transpose()
    }

    async fn some_jobs(&self, rest: &str, params: Params<'_>) -> Result<Vec<Job>, StoreError> {
        let sql = format!("SELECT {JOB} FROM work.jobs j WHERE {rest}");
        self.query(&sql, params).await?.iter().map(job).collect()
    }
}

#[async_trait]
impl JobStore for PgUnitOfWork {
    async fn job(&mut self, id: &str) -> Result<Option<Job>, StoreError> {
        self.one_job("j.id = $1", &[&id]).await
    }

    async fn job_for_update(&mut self, id: &str) -> Result<Option<Job>, StoreError> {
        self.one_job("j.id = $1 FOR UPDATE OF j", &[&id]).await
    }

    async fn insert_job(&mut self, job: &Job) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO work.jobs (id, tenant_id, type, certificate_id, version_id, target_id, agent_id, executor, \
               status, state_entered_at, attempts, max_attempts, last_error, error_class, retryable, scheduled_at, \
               started_at, completed_at, lease_owner, lease_expires_at, requested_by, trigger, row_version, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'agent', $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
               $20, $21, $22, $23)",
            &[
                &job.id,
                &job.tenant_id,
                &job.kind.as_str(),
                &job.certificate_id,
                &job.version_id,
                &job.target_id,
                &job.agent_id,
                &job.status.as_str(),
                &job.state_entered_at,
                &job.attempts,
                &job.max_attempts,
                &job.last_error,
                &job.error_class,
                &job.retryable,
                &job.scheduled_at,
                &job.started_at,
                &job.completed_at,
                &job.lease_owner,
                &job.lease_expires_at,
                &job.requested_by,
                &job.trigger.as_str(),
                &job.row_version,
                &job.created_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn save_job(&mut self, job: &Job) -> Result<bool, StoreError> {
        // A deployment that ends without success leaves its attachment failed, whoever ended it.
        let row = self
            .query_one(
                "WITH saved AS (UPDATE work.jobs SET version_id = $3, agent_id = $4, status = $5, \
                     state_entered_at = $6, attempts = $7, last_error = $8, error_class = $9, retryable = $10, \
                     scheduled_at = $11, started_at = $12, completed_at = $13, lease_owner = $14, \
                     lease_expires_at = $15, row_version = row_version + 1 \
                   WHERE id = $1 AND row_version = $2 \
                   RETURNING id, type, status, certificate_id, target_id, last_error, state_entered_at), \
                 told AS (UPDATE inventory.certificate_targets a SET state = 'failed', \
                     state_entered_at = s.state_entered_at, last_error = s.last_error \
                   FROM saved s WHERE s.type = 'Deployment' AND s.status IN ('Failed', 'Cancelled') \
                     AND a.certificate_id = s.certificate_id AND a.target_id = s.target_id AND a.last_job_id = s.id \
                     AND a.state IN ('pending', 'deploying')) \
                 SELECT count(*) FROM saved",
                &[
                    &job.id,
                    &job.row_version,
                    &job.version_id,
                    &job.agent_id,
                    &job.status.as_str(),
                    &job.state_entered_at,
                    &job.attempts,
                    &job.last_error,
                    &job.error_class,
                    &job.retryable,
                    &job.scheduled_at,
                    &job.started_at,
                    &job.completed_at,
                    &job.lease_owner,
                    &job.lease_expires_at,
                ],
            )
            .await?;
        Ok(row.get::<_, i64>(0) == 1)
    }

    async fn awaiting_csr_job_for_update(
        &mut self,
        certificate_id: &str,
        agent_id: Option<&str>,
        job_id: Option<&str>,
    ) -> Result<Option<Job>, StoreError> {
        self.one_job(
            "j.certificate_id = $1 AND j.type IN ('Issuance', 'Renewal') AND j.completed_at IS NULL \
             AND j.status = 'AwaitingCSR' AND ($2::text IS NULL OR j.agent_id IS NULL OR j.agent_id = $2) \
             AND ($3::text IS NULL OR j.id = $3) FOR UPDATE OF j",
            &[&certificate_id, &agent_id, &job_id],
        )
        .await
    }

    async fn open_request(&mut self, certificate_id: &str) -> Result<Option<Job>, StoreError> {
        self.one_job(
            "j.certificate_id = $1 AND j.type IN ('Issuance', 'Renewal') AND j.completed_at IS NULL",
            &[&certificate_id],
        )
        .await
    }

    async fn complete_job(&mut self, id: &str, version_id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                "UPDATE work.jobs SET status = 'Completed', version_id = $2, \
                   attempts = least(attempts + CASE status WHEN 'AwaitingCSR' THEN 1 ELSE 0 END, max_attempts), \
                   started_at = CASE status WHEN 'AwaitingCSR' THEN $3 ELSE started_at END, completed_at = $3, \
                   state_entered_at = $3, lease_owner = NULL, lease_expires_at = NULL, last_error = NULL, \
                   error_class = NULL, row_version = row_version + 1 \
                 WHERE id = $1 AND status IN ('AwaitingCSR', 'Running') AND type IN ('Issuance', 'Renewal')",
                &[&id, &version_id, &now],
            )
            .await?;
        Ok(changed == 1)
    }

    async fn cancel_open_jobs(
        &mut self,
        certificate_id: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.execute(
            "UPDATE work.jobs SET status = 'Cancelled', last_error = $2, completed_at = $3, state_entered_at = $3, \
               retryable = false, lease_owner = NULL, lease_expires_at = NULL, row_version = row_version + 1 \
             WHERE certificate_id = $1 AND completed_at IS NULL",
            &[&certificate_id, &reason, &now],
        )
        .await
    }

    async fn create_deployment_jobs(
        &mut self,
        certificate_id: &str,
        version_id: &str,
        now: Timestamp,
        requested_by: &str,
    ) -> Result<Vec<Id>, StoreError> {
        let targets = self
            .query(
                "SELECT t.id, t.enabled AND t.retired_at IS NULL FROM inventory.certificate_targets a \
                 JOIN fleet.targets t ON t.id = a.target_id WHERE a.certificate_id = $1 ORDER BY t.id",
                &[&certificate_id],
            )
            .await?;
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let in_service: Vec<String> = targets.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect();
        let ids: Vec<Id> = in_service.iter().map(|_| self.fresh_id(IdKind::Job)).collect();
        // The insertion asks for the count of what was called off, which makes the calling off come first: the unique
        // rule allows one deployment that has not ended a certificate and target.
        self.execute(
            "WITH off AS (UPDATE work.jobs SET status = 'Cancelled', completed_at = $3, state_entered_at = $3, \
                 last_error = 'superseded by version ' || $2, retryable = false, lease_owner = NULL, \
                 lease_expires_at = NULL, row_version = row_version + 1 \
               WHERE certificate_id = $1 AND type = 'Deployment' AND completed_at IS NULL RETURNING id), \
             made AS (INSERT INTO work.jobs (id, type, certificate_id, version_id, target_id, agent_id, executor, \
                 status, state_entered_at, max_attempts, scheduled_at, requested_by, trigger, created_at) \
               SELECT n.id, 'Deployment', $1, $2, t.id, t.agent_id, 'agent', 'Pending', $3, p.max_retries + 1, $3, $4, \
                 'issuance', $3 \
               FROM unnest($5::text[], $6::text[]) n (id, target_id) JOIN fleet.targets t ON t.id = n.target_id \
                 JOIN inventory.certificates c ON c.id = $1 \
                 JOIN policy.renewal_policies p ON p.id = c.renewal_policy_id \
               WHERE (SELECT count(*) FROM off) >= 0 RETURNING id, target_id) \
             UPDATE inventory.certificate_targets a SET desired_version_id = $2, state = 'pending', \
               state_entered_at = $3, last_error = NULL, \
               last_job_id = coalesce((SELECT m.id FROM made m WHERE m.target_id = a.target_id), a.last_job_id) \
             WHERE a.certificate_id = $1",
            &[&certificate_id, &version_id, &now, &requested_by, &ids, &in_service],
        )
        .await?;
        Ok(ids)
    }

    async fn leave_renewal(
        &mut self,
        certificate_id: &str,
        to: CertificateStatus,
        next_renewal_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                "UPDATE inventory.certificates SET status = $2, state_entered_at = $4, \
                   next_renewal_at = coalesce($3, next_renewal_at), updated_at = $4, row_version = row_version + 1 \
                 WHERE id = $1 AND status = 'RenewalInProgress'",
                &[&certificate_id, &to.as_str(), &next_renewal_at, &now],
            )
            .await?;
        Ok(changed == 1)
    }

    async fn jobs_page(&mut self, filter: &JobFilter, list: &ListQuery) -> Result<Page<Job>, StoreError> {
        let sql = ListSql {
            columns: JOB,
            from: "work.jobs j",
            key: "j.created_at",
            kind: KeyKind::Time,
            id: "j.id",
            descending: true,
        };
        let filters = Filters::default()
            .with("j.status = ?", "text", filter.status.map(JobStatus::as_str))
            .with("j.type = ?", "text", filter.kind.map(JobType::as_str))
            .with("j.certificate_id = ?", "text", filter.certificate_id.as_deref())
            .with("j.target_id = ?", "text", filter.target_id.as_deref())
            .with("j.agent_id = ?", "text", filter.agent_id.as_deref())
            .with(
                "EXISTS (SELECT FROM inventory.certificates c WHERE c.id = j.certificate_id \
                   AND ('issuer:' || c.issuer_id = ANY(?) OR 'profile:' || c.certificate_profile_id = ANY(?)))",
                "text[]",
                filter.within.as_deref().map(scope_keys),
            );
        self.page(&sql, &filters, filter.fingerprint(), list, job, |row| (key_of(Some(row.created_at)), row.id.clone()))
            .await
    }

    async fn insert_verification(&mut self, seen: &Verification) -> Result<(), StoreError> {
        // A target that could not be asked tells nothing of what it serves: its state stays.
        self.execute(
            "WITH seen AS (INSERT INTO work.job_verifications (id, job_id, at, result, expected_fingerprint, \
                 fingerprint, error) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING result, fingerprint) \
             UPDATE inventory.certificate_targets a SET observed_fingerprint = s.fingerprint, state_entered_at = $3, \
               state = CASE s.result WHEN 'success' THEN 'verified' ELSE 'drifted' END, \
               verified_at = CASE s.result WHEN 'success' THEN $3 ELSE a.verified_at END \
             FROM seen s, work.jobs j WHERE j.id = $2 AND s.fingerprint <> '' \
               AND a.certificate_id = j.certificate_id AND a.target_id = j.target_id AND a.last_job_id = j.id \
               AND a.state IN ('deployed', 'verified', 'drifted')",
            &[
                &seen.id,
                &seen.job_id,
                &seen.at,
                &if seen.success { "success" } else { "failed" },
                &seen.expected_fingerprint,
                &seen.actual_fingerprint,
                &seen.error,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn retries_due(&mut self, now: Timestamp, limit: i64) -> Result<Vec<Job>, StoreError> {
        self.some_jobs(
            "j.retryable AND j.scheduled_at <= $1 ORDER BY j.scheduled_at, j.id LIMIT $2 FOR UPDATE OF j SKIP LOCKED",
            &[&now, &limit],
        )
        .await
    }

    async fn unanswered_requests(&mut self, before: Timestamp, limit: i64) -> Result<Vec<Job>, StoreError> {
        self.some_jobs(
            "j.status = 'AwaitingCSR' AND j.state_entered_at < $1 \
             ORDER BY j.state_entered_at, j.id LIMIT $2",
            &[&before, &limit],
        )
        .await
    }

    async fn abandoned_jobs(
        &mut self,
        now: Timestamp,
        heard_after: Timestamp,
        limit: i64,
    ) -> Result<Vec<(Job, bool)>, StoreError> {
        let sql = format!(
            "SELECT {JOB}, coalesce(h.last_heartbeat_at, j.started_at) < $2 FROM work.jobs j \
             LEFT JOIN fleet.agent_heartbeats h ON h.agent_id = j.agent_id \
             WHERE j.status = 'Running' AND (j.lease_expires_at <= $1 \
               OR coalesce(h.last_heartbeat_at, j.started_at) < $2) ORDER BY j.lease_expires_at, j.id LIMIT $3"
        );
        let rows = self.query(&sql, &[&now, &heard_after, &limit]).await?;
        rows.iter().map(|row| Ok((job(row)?, row.get(24)))).collect()
    }
}
