//! Work handed out to agents, and certificates moved by their dates.

use crate::jobs::unreadable;
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_approval::Subject;
use certctl_deployment::{ClaimedTarget, ClaimedWork, DeploymentRecord, Leases, WorkState, WorkStore};
use certctl_inventory::CertificateStatus;
use certctl_jobs::{JobStatus, JobType};
use certctl_kernel::{Id, IdKind, StoreError, Timestamp};
use certctl_renewal::{DueCertificate, RenewalStore, StatusChange};
use serde_json::{Value, json};
use tokio_postgres::Row;

/// Deployments that the agent `$1` may claim at `$2`.
const DUE: &str = "FROM work.jobs j JOIN fleet.targets t ON t.id = j.target_id \
       JOIN inventory.certificates c ON c.id = j.certificate_id \
     WHERE j.executor = 'agent' AND j.agent_id = $1 AND j.status = 'Pending' AND j.type = 'Deployment' \
       AND j.scheduled_at <= $2 AND j.attempts < j.max_attempts AND t.enabled AND t.retired_at IS NULL \
       AND c.status NOT IN ('Revoked', 'Archived')";

/// Requests that the agent `$1` may lease at `$2`: of certificates on its targets, with nobody at them.
const WAITING: &str = "FROM work.jobs j \
     WHERE j.certificate_id IN (SELECT a.certificate_id FROM inventory.certificate_targets a \
         JOIN fleet.targets t ON t.id = a.target_id WHERE t.agent_id = $1 AND t.enabled AND t.retired_at IS NULL) \
       AND j.type IN ('Issuance', 'Renewal') AND j.completed_at IS NULL AND j.status = 'AwaitingCSR' \
       AND j.scheduled_at <= $2 AND (j.lease_expires_at IS NULL OR j.lease_expires_at <= $2)";

fn claimed(row: &Row) -> Result<ClaimedWork, StoreError> {
    let (kind, status): (&str, &str) = (row.get(1), row.get(2));
    let target_id: Option<Id> = row.get(9);
    Ok(ClaimedWork {
        job_id: row.get(0),
        kind: JobType::parse(kind).ok_or_else(|| unreadable(kind))?,
        status: JobStatus::parse(status).ok_or_else(|| unreadable(status))?,
        attempts: row.get(3),
        certificate_id: row.get(4),
        common_name: row.get(5),
        sans: row.get(6),
        version_id: row.get(7),
        fingerprint_sha256: row.get(8),
        target: target_id.map(|id| ClaimedTarget {
            id,
            kind: row.get(10),
            config: row.get(11),
            sealed_config: row.get(12),
        }),
    })
}

#[async_trait]
impl WorkStore for PgUnitOfWork {
    async fn create_missing_deployment_jobs(
        &mut self,
        certificate_id: &str,
        version_id: &str,
        target_id: Option<&str>,
        now: Timestamp,
        requested_by: &str,
    ) -> Result<Vec<Id>, StoreError> {
        let targets: Vec<Id> = self
            .query(
                "SELECT t.id FROM inventory.certificate_targets a JOIN fleet.targets t ON t.id = a.target_id \
                 WHERE a.certificate_id = $1 AND ($2::text IS NULL OR t.id = $2) AND t.enabled \
                   AND t.retired_at IS NULL AND NOT EXISTS (SELECT FROM work.jobs j WHERE j.certificate_id = $1 \
                     AND j.target_id = t.id AND j.type = 'Deployment' AND j.completed_at IS NULL) ORDER BY t.id",
                &[&certificate_id, &target_id],
            )
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Id> = targets.iter().map(|_| self.fresh_id(IdKind::Job)).collect();
        self.execute(
            "WITH made AS (INSERT INTO work.jobs (id, type, certificate_id, version_id, target_id, agent_id, executor, \
                 status, state_entered_at, max_attempts, scheduled_at, requested_by, trigger, created_at) \
               SELECT n.id, 'Deployment', $1, $2, t.id, t.agent_id, 'agent', 'Pending', $3, p.max_retries + 1, $3, $4, \
                 'manual', $3 \
               FROM unnest($5::text[], $6::text[]) n (id, target_id) JOIN fleet.targets t ON t.id = n.target_id \
                 JOIN inventory.certificates c ON c.id = $1 \
                 JOIN policy.renewal_policies p ON p.id = c.renewal_policy_id RETURNING id, target_id) \
             UPDATE inventory.certificate_targets a SET desired_version_id = $2, state = 'pending', \
               state_entered_at = $3, last_error = NULL, last_job_id = m.id \
             FROM made m WHERE a.certificate_id = $1 AND a.target_id = m.target_id",
            &[&certificate_id, &version_id, &now, &requested_by, &ids, &targets],
        )
        .await?;
        Ok(ids)
    }

    async fn work_state(&mut self, agent_id: &str, now: Timestamp) -> Result<Option<WorkState>, StoreError> {
        let sql = format!(
            "SELECT a.retired_at IS NOT NULL, EXISTS (SELECT {DUE}) OR EXISTS (SELECT {WAITING}) \
             FROM fleet.agents a WHERE a.id = $1"
        );
        let row = self.query_opt(&sql, &[&agent_id, &now]).await?;
        Ok(row.map(|row| WorkState { retired: row.get(0), waiting: row.get(1) }))
    }

    async fn claim_work(&mut self, agent_id: &str, leases: Leases, limit: i64) -> Result<Vec<ClaimedWork>, StoreError> {
        // Both claims and their facts in one statement. The requests get what the deployments leave of the limit.
        let sql = format!(
            "WITH due AS (SELECT j.id {DUE} ORDER BY j.scheduled_at, j.id LIMIT $5 FOR UPDATE OF j SKIP LOCKED), \
             begun AS (UPDATE work.jobs j SET status = 'Running', state_entered_at = $2, started_at = $2, \
                 attempts = j.attempts + 1, lease_owner = 'agent:' || $1, lease_expires_at = $3, \
                 row_version = j.row_version + 1 FROM due WHERE j.id = due.id RETURNING j.*), \
             marked AS (UPDATE inventory.certificate_targets a SET state = 'deploying', state_entered_at = $2, \
                 last_job_id = b.id, last_error = NULL \
               FROM begun b WHERE a.certificate_id = b.certificate_id AND a.target_id = b.target_id), \
             waiting AS (SELECT j.id {WAITING} ORDER BY j.created_at, j.id \
               LIMIT (SELECT $5 - count(*) FROM begun) FOR UPDATE OF j SKIP LOCKED), \
             leased AS (UPDATE work.jobs j SET agent_id = $1, lease_expires_at = $4, row_version = j.row_version + 1 \
               FROM waiting WHERE j.id = waiting.id RETURNING j.*), \
             work AS (SELECT 0 AS turn, b.* FROM begun b UNION ALL SELECT 1, l.* FROM leased l) \
             SELECT w.id, w.type, w.status, w.attempts, w.certificate_id, c.common_name, c.sans, w.version_id, \
               v.fingerprint_sha256, t.id, t.type, t.config, t.sealed_config \
             FROM work w JOIN inventory.certificates c ON c.id = w.certificate_id \
               LEFT JOIN inventory.certificate_versions v ON v.id = w.version_id \
               LEFT JOIN fleet.targets t ON t.id = w.target_id ORDER BY w.turn, w.created_at, w.id"
        );
        let rows = self
            .query(&sql, &[&agent_id, &leases.now, &leases.deployment_until, &leases.request_until, &limit])
            .await?;
        rows.iter().map(claimed).collect()
    }

    async fn agent_serves(&mut self, agent_id: &str, certificate_id: &str) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "SELECT EXISTS (SELECT FROM inventory.certificate_targets a JOIN fleet.targets t ON t.id = a.target_id \
                   WHERE a.certificate_id = $2 AND t.agent_id = $1 AND t.retired_at IS NULL)",
                &[&agent_id, &certificate_id],
            )
            .await?;
        Ok(row.get(0))
    }

    async fn requests_for_agent(&mut self, agent_id: &str) -> Result<Vec<Id>, StoreError> {
        let rows = self
            .query(
                "SELECT j.certificate_id FROM work.jobs j \
                 WHERE j.certificate_id IN (SELECT a.certificate_id FROM inventory.certificate_targets a \
                     JOIN fleet.targets t ON t.id = a.target_id WHERE t.agent_id = $1 AND t.retired_at IS NULL) \
                   AND j.type IN ('Issuance', 'Renewal') AND j.completed_at IS NULL AND j.status = 'AwaitingCSR' \
                   AND (j.agent_id IS NULL OR j.agent_id = $1) ORDER BY j.certificate_id LIMIT 2",
                &[&agent_id],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn record_deployment(&mut self, record: &DeploymentRecord) -> Result<(), StoreError> {
        let steps: Vec<Value> = record
            .steps
            .iter()
            .map(|step| json!({"step": step.step, "ok": step.ok, "ms": step.ms, "detail": step.detail}))
            .collect();
        self.execute(
            "WITH kept AS (INSERT INTO work.deployments (id, job_id, certificate_id, version_id, target_id, agent_id, \
                 outcome, verified, steps, old_fingerprint, new_fingerprint, served_fingerprint, target_address, error, \
                 started_at, finished_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
               ON CONFLICT (job_id) DO UPDATE SET outcome = excluded.outcome, verified = excluded.verified, \
                 steps = excluded.steps, old_fingerprint = excluded.old_fingerprint, \
                 new_fingerprint = excluded.new_fingerprint, served_fingerprint = excluded.served_fingerprint, \
                 target_address = excluded.target_address, error = excluded.error, started_at = excluded.started_at, \
                 finished_at = excluded.finished_at), \
             standing AS (UPDATE inventory.certificate_targets a SET deployed_version_id = $4, deployed_at = $16, \
                 state_entered_at = $16, state = CASE WHEN $8 THEN 'verified' ELSE 'deployed' END, last_error = NULL, \
                 verified_at = CASE WHEN $8 THEN $16 END, observed_fingerprint = coalesce($12, a.observed_fingerprint) \
               WHERE $17 AND a.certificate_id = $3 AND a.target_id = $5 AND a.last_job_id = $2) \
             UPDATE inventory.certificates SET last_deployment_at = greatest(last_deployment_at, $16), \
               updated_at = $16, row_version = row_version + 1 WHERE $17 AND id = $3",
            &[
                &record.id,
                &record.job_id,
                &record.certificate_id,
                &record.version_id,
                &record.target_id,
                &record.agent_id,
                &record.outcome,
                &record.verified,
                &Value::Array(steps),
                &record.old_fingerprint,
                &record.new_fingerprint,
                &record.served_fingerprint,
                &record.target_address,
                &record.error,
                &record.started_at,
                &record.finished_at,
                &record.succeeded,
            ],
        )
        .await
        .map(|_| ())
    }
}

fn status(row: &Row, column: usize) -> Result<CertificateStatus, StoreError> {
    let text: &str = row.get(column);
    CertificateStatus::parse(text).ok_or_else(|| unreadable(text))
}

#[async_trait]
impl RenewalStore for PgUnitOfWork {
    async fn age_certificates(&mut self, now: Timestamp, limit: i64) -> Result<Vec<StatusChange>, StoreError> {
        const MOVE: &str = "UPDATE inventory.certificates c SET state_entered_at = $1, updated_at = $1, \
             row_version = c.row_version + 1, status =";
        const TELL: &str = "FROM old WHERE c.id = old.id RETURNING c.id, old.status, c.status, c.expires_at";
        let expired = format!(
            "WITH old AS (SELECT c.id, c.status FROM inventory.certificates c \
               WHERE c.status IN ('Active', 'Expiring') AND c.expires_at <= $1 \
               ORDER BY c.expires_at, c.id LIMIT $2 FOR UPDATE OF c SKIP LOCKED) {MOVE} 'Expired' {TELL}"
        );
        // Hours, not days: a day of a session's zone may have 23. The bound on expires_at is the largest window there
        // is, and lets the index serve.
        let expiring = format!(
            "WITH old AS (SELECT c.id, c.status FROM inventory.certificates c \
               JOIN inventory.certificate_versions v ON v.id = c.current_version_id \
               JOIN policy.renewal_policies p ON p.id = c.renewal_policy_id \
               WHERE c.status = 'Active' AND c.expires_at > $1 AND c.expires_at <= $1 + interval '8760 hours' \
                 AND c.expires_at - least(make_interval(hours => 24 * p.renewal_window_days), \
                   (v.not_after - v.not_before) / 3) <= $1 \
               ORDER BY c.expires_at, c.id LIMIT $2 FOR UPDATE OF c SKIP LOCKED) {MOVE} 'Expiring' {TELL}"
        );
        let mut changes = Vec::new();
        for sql in [expired, expiring] {
            for row in self.query(&sql, &[&now, &limit]).await? {
                changes.push(StatusChange {
                    certificate_id: row.get(0),
                    from: status(&row, 1)?,
                    to: status(&row, 2)?,
                    expires_at: row.get(3),
                });
            }
        }
        Ok(changes)
    }

    async fn due_certificates(&mut self, now: Timestamp, limit: i64) -> Result<Vec<DueCertificate>, StoreError> {
        let rows = self
            .query(
                "SELECT c.id, c.status, c.expires_at, c.next_renewal_at, p.max_retries, \
                   coalesce(f.requires_approval, false), c.common_name, c.sans, c.owner_id, c.team_id, c.issuer_id, c.certificate_profile_id \
                 FROM inventory.certificates c JOIN policy.renewal_policies p ON p.id = c.renewal_policy_id \
                   JOIN ca.issuers i ON i.id = c.issuer_id \
                   LEFT JOIN policy.certificate_profiles f ON f.id = c.certificate_profile_id \
                 WHERE c.next_renewal_at <= $1 AND c.status NOT IN ('Archived', 'Revoked') \
                   AND c.status IN ('Active', 'Expiring', 'Expired', 'Failed') AND p.auto_renew AND i.enabled \
                   AND (c.certificate_profile_id IS NULL OR f.enabled) \
                   AND NOT EXISTS (SELECT FROM approval.requests r WHERE r.certificate_id = c.id \
                     AND r.kind = 'cert_issuance' AND r.state = 'pending') \
                   AND EXISTS (SELECT FROM inventory.certificate_targets a JOIN fleet.targets t ON t.id = a.target_id \
                     WHERE a.certificate_id = c.id AND t.enabled AND t.retired_at IS NULL) \
                   AND NOT EXISTS (SELECT FROM work.jobs j WHERE j.certificate_id = c.id \
                     AND j.type IN ('Issuance', 'Renewal') AND j.completed_at IS NULL) \
                 ORDER BY c.expires_at, c.id LIMIT $2 FOR UPDATE OF c SKIP LOCKED",
                &[&now, &limit],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let requires_approval: bool = row.get(5);
                let profile_id: Option<Id> = row.get(11);
                let gated = match profile_id {
                    Some(profile_id) if requires_approval => Some(Subject {
                        certificate_id: row.get(0),
                        common_name: row.get(6),
                        sans: row.get(7),
                        owner_id: row.get(8),
                        team_id: row.get(9),
                        issuer_id: row.get(10),
                        profile_id,
                    }),
                    _ => None,
                };
                Ok(DueCertificate {
                    certificate_id: row.get(0),
                    status: status(row, 1)?,
                    expires_at: row.get(2),
                    due_at: row.get(3),
                    max_retries: row.get(4),
                    gated,
                })
            })
            .collect()
    }

    async fn has_answering_target(&mut self, certificate_id: &str) -> Result<bool, StoreError> {
        let row = self
            .query_one(
                "SELECT EXISTS (SELECT FROM inventory.certificate_targets a JOIN fleet.targets t ON t.id = a.target_id \
                   WHERE a.certificate_id = $1 AND t.enabled AND t.retired_at IS NULL)",
                &[&certificate_id],
            )
            .await?;
        Ok(row.get(0))
    }

    async fn purge_housekeeping(&mut self, now: Timestamp, runs_before: Timestamp) -> Result<i64, StoreError> {
        let row = self
            .query_one(
                "WITH keys AS (DELETE FROM platform.idempotency_keys WHERE expires_at < $1 RETURNING 1), \
                 runs AS (DELETE FROM platform.scheduler_runs WHERE finished_at < $2 RETURNING 1) \
                 SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM runs)",
                &[&now, &runs_before],
            )
            .await?;
        Ok(row.get(0))
    }
}
