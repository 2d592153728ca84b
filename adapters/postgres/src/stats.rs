//! Figures, each counted in one statement.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};
use certctl_stats::{
    ApprovalCounts, CertificateCounts, DatedCount, FleetCounts, Inventory, JobCounts, JobDay, StatsStore, StatusCount,
};
use time::{Date, Duration};
use tokio_postgres::Row;

/// The state of a certificate as its dates give it at `$1`; `$2` is when "expiring" begins to be said of it.
const DATED_STATUS: &str = "CASE WHEN status NOT IN ('Active', 'Expiring', 'Expired') THEN status \
     WHEN status = 'Expired' OR expires_at <= $1 THEN 'Expired' WHEN expires_at <= $2 THEN 'Expiring' ELSE 'Active' END";

fn dated(row: &Row) -> DatedCount {
    DatedCount { date: row.get(0), count: row.get(1) }
}

/// The instants between which the days `from` to `to` lie.
fn span(from: Date, to: Date) -> (Timestamp, Timestamp) {
    (from.midnight().assume_utc(), to.saturating_add(Duration::DAY).midnight().assume_utc())
}

#[async_trait]
impl StatsStore for PgUnitOfWork {
    async fn inventory_counts(
        &mut self,
        now: Timestamp,
        expiring: Duration,
        silent: Duration,
    ) -> Result<Inventory, StoreError> {
        let row = self
            .query_one(
                "SELECT c.*, f.*, j.*, a.* FROM \
                   (SELECT count(*), \
                      count(*) FILTER (WHERE status NOT IN ('Revoked', 'Expired') AND expires_at > $1 \
                        AND expires_at <= $2), \
                      count(*) FILTER (WHERE status <> 'Revoked' AND (status = 'Expired' OR expires_at <= $1)), \
                      count(*) FILTER (WHERE status = 'Revoked') \
                    FROM inventory.certificates WHERE status <> 'Archived') c, \
                   (SELECT count(*), count(*) FILTER (WHERE h.last_heartbeat_at >= $3) \
                    FROM fleet.agents a LEFT JOIN fleet.agent_heartbeats h ON h.agent_id = a.id \
                    WHERE a.retired_at IS NULL) f, \
                   (SELECT count(*) FILTER (WHERE status IN ('Pending', 'AwaitingCSR', 'AwaitingApproval', 'Running')), \
                      count(*) FILTER (WHERE status = 'Completed'), count(*) FILTER (WHERE status = 'Failed'), \
                      coalesce(sum(attempts - (status IN ('Running', 'Completed'))::int) FILTER (WHERE attempts > 0), 0), \
                      coalesce(extract(epoch FROM $1 - min(scheduled_at) FILTER (WHERE status = 'Pending'))::float8, 0) \
                    FROM work.jobs) j, \
                   (SELECT count(*) FILTER (WHERE state = 'pending'), \
                      coalesce(extract(epoch FROM $1 - min(created_at) FILTER (WHERE state = 'pending'))::float8, 0), \
                      count(*) FILTER (WHERE state = 'approved' AND decided_by_type <> 'System'), \
                      count(*) FILTER (WHERE state = 'rejected'), count(*) FILTER (WHERE state = 'expired'), \
                      count(*) FILTER (WHERE state = 'withdrawn'), \
                      count(*) FILTER (WHERE state = 'approved' AND decided_by_type = 'System') \
                    FROM approval.requests) a",
                &[&now, &(now + expiring), &(now - silent)],
            )
            .await?;
        let count = |column: usize| row.get::<_, i64>(column);
        Ok(Inventory {
            certificates: CertificateCounts {
                total: count(0),
                expiring: count(1),
                expired: count(2),
                revoked: count(3),
            },
            fleet: FleetCounts { total: count(4), online: count(5) },
            jobs: JobCounts {
                pending: count(6),
                completed: count(7),
                failed: count(8),
                failed_attempts: count(9),
                oldest_pending_seconds: row.get::<_, f64>(10).max(0.0),
            },
            approvals: ApprovalCounts {
                pending: count(11),
                oldest_pending_seconds: row.get::<_, f64>(12).max(0.0),
                approved: count(13),
                rejected: count(14),
                expired: count(15),
                withdrawn: count(16),
                bypassed: count(17),
            },
        })
    }

    async fn certificates_by_status(
        &mut self,
        now: Timestamp,
        expiring: Duration,
    ) -> Result<Vec<StatusCount>, StoreError> {
        let sql = format!("SELECT {DATED_STATUS}, count(*) FROM inventory.certificates GROUP BY 1 ORDER BY 1");
        let rows = self.query(&sql, &[&now, &(now + expiring)]).await?;
        Ok(rows.iter().map(|row| StatusCount { status: row.get(0), count: row.get(1) }).collect())
    }

    async fn expirations(&mut self, from: Date, to: Date) -> Result<Vec<DatedCount>, StoreError> {
        let (from, to) = span(from, to);
        let rows = self
            .query(
                "SELECT (expires_at AT TIME ZONE 'UTC')::date, count(*) FROM inventory.certificates \
                 WHERE coalesce(expires_at, 'infinity') >= $1 AND coalesce(expires_at, 'infinity') < $2 \
                   AND status NOT IN ('Revoked', 'Archived') GROUP BY 1 ORDER BY 1",
                &[&from, &to],
            )
            .await?;
        Ok(rows.iter().map(dated).collect())
    }

    async fn jobs_ended(&mut self, from: Date, to: Date) -> Result<Vec<JobDay>, StoreError> {
        let (from, to) = span(from, to);
        let rows = self
            .query(
                "SELECT (completed_at AT TIME ZONE 'UTC')::date, count(*) FILTER (WHERE status = 'Completed'), \
                   count(*) FILTER (WHERE status = 'Failed') \
                 FROM work.jobs WHERE completed_at >= $1 AND completed_at < $2 GROUP BY 1 ORDER BY 1",
                &[&from, &to],
            )
            .await?;
        Ok(rows.iter().map(|row| JobDay { date: row.get(0), completed: row.get(1), failed: row.get(2) }).collect())
    }

    async fn versions_issued(&mut self, from: Date, to: Date) -> Result<Vec<DatedCount>, StoreError> {
        let (from, to) = span(from, to);
        let rows = self
            .query(
                "SELECT (created_at AT TIME ZONE 'UTC')::date, count(*) FROM inventory.certificate_versions \
                 WHERE created_at >= $1 AND created_at < $2 GROUP BY 1 ORDER BY 1",
                &[&from, &to],
            )
            .await?;
        Ok(rows.iter().map(dated).collect())
    }
}
