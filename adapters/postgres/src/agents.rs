//! Agents and their heartbeats.

use crate::jobs::unreadable;
use crate::paging::{Filters, KeyKind, ListSql, containing, key_of};
use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_agents::{Agent, AgentFilter, AgentStatus, AgentStore, Heard, Heartbeat, RetirementCounts};
use certctl_kernel::{Id, ListQuery, Page, StoreError, Timestamp};
use tokio_postgres::Row;

const AGENT: &str = "a.id, a.tenant_id, a.name, a.hostname, h.status, h.last_heartbeat_at, a.registered_at, a.os, \
     a.architecture, a.ip_address, a.version, a.retired_at, a.retired_reason, a.row_version, a.updated_at";
const FROM: &str = "fleet.agents a JOIN fleet.agent_heartbeats h ON h.agent_id = a.id";

fn agent(row: &Row) -> Result<Agent, StoreError> {
    let status: &str = row.get(4);
    Ok(Agent {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        hostname: row.get(3),
        status: AgentStatus::parse(status).ok_or_else(|| unreadable(status))?,
        last_heartbeat_at: row.get(5),
        registered_at: row.get(6),
        os: row.get(7),
        architecture: row.get(8),
        ip_address: row.get(9),
        version: row.get(10),
        retired_at: row.get(11),
        retired_reason: row.get(12),
        row_version: row.get(13),
        updated_at: row.get(14),
    })
}

impl PgUnitOfWork {
    async fn one_agent(&self, id: &str, lock: &str) -> Result<Option<Agent>, StoreError> {
        let sql = format!("SELECT {AGENT} FROM {FROM} WHERE a.id = $1 {lock}");
        self.query_opt(&sql, &[&id]).await?.as_ref().map(agent).transpose()
    }
}

#[async_trait]
impl AgentStore for PgUnitOfWork {
    async fn agent(&mut self, id: &str) -> Result<Option<Agent>, StoreError> {
        self.one_agent(id, "").await
    }

    async fn agent_held(&mut self, id: &str) -> Result<Option<Agent>, StoreError> {
        self.one_agent(id, "FOR SHARE OF a").await
    }

    async fn agent_for_update(&mut self, id: &str) -> Result<Option<Agent>, StoreError> {
        // Leaves room for the key checks of rows that refer to the agent: a claim must not wait for a retirement that
        // waits for the claim.
        self.one_agent(id, "FOR NO KEY UPDATE OF a").await
    }

    async fn insert_agent(&mut self, agent: &Agent) -> Result<(), StoreError> {
        self.execute(
            "WITH made AS (INSERT INTO fleet.agents (id, tenant_id, name, hostname, os, architecture, ip_address, \
                 version, registered_at, row_version, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9, $9) RETURNING id) \
             INSERT INTO fleet.agent_heartbeats (agent_id, status, state_entered_at, last_heartbeat_at) \
             SELECT id, $11, $9, $12 FROM made",
            &[
                &agent.id,
                &agent.tenant_id,
                &agent.name,
                &agent.hostname,
                &agent.os,
                &agent.architecture,
                &agent.ip_address,
                &agent.version,
                &agent.registered_at,
                &agent.row_version,
                &agent.status.as_str(),
                &agent.last_heartbeat_at,
            ],
        )
        .await
        .map(|_| ())
    }

    async fn note_heartbeat(&mut self, id: &str, beat: &Heartbeat, at: Timestamp) -> Result<Heard, StoreError> {
        // One statement; the descriptive row is written only when what the agent tells of itself is new.
        let row = self
            .query_opt(
                "WITH known AS (SELECT id, retired_at FROM fleet.agents WHERE id = $1), \
                 noted AS (UPDATE fleet.agent_heartbeats h SET last_heartbeat_at = greatest(h.last_heartbeat_at, $2), \
                     status = 'Online', \
                     state_entered_at = CASE h.status WHEN 'Online' THEN h.state_entered_at ELSE $2 END \
                   FROM known k WHERE h.agent_id = k.id AND k.retired_at IS NULL), \
                 told AS (UPDATE fleet.agents a SET version = coalesce(nullif($3, ''), version), \
                     hostname = coalesce(nullif($4, ''), hostname), os = coalesce(nullif($5, ''), os), \
                     architecture = coalesce(nullif($6, ''), architecture), \
                     ip_address = coalesce(nullif($7, ''), ip_address), updated_at = $2, row_version = row_version + 1 \
                   WHERE a.id = $1 AND a.retired_at IS NULL \
                     AND (a.version, a.hostname, a.os, a.architecture, a.ip_address) \
                     <> (coalesce(nullif($3, ''), version), coalesce(nullif($4, ''), hostname), \
                         coalesce(nullif($5, ''), os), coalesce(nullif($6, ''), architecture), \
                         coalesce(nullif($7, ''), ip_address))) \
                 SELECT retired_at IS NOT NULL FROM known",
                &[&id, &at, &beat.version, &beat.hostname, &beat.os, &beat.architecture, &beat.ip_address],
            )
            .await?;
        Ok(match row.map(|row| row.get::<_, bool>(0)) {
            None => Heard::Unknown,
            Some(true) => Heard::Retired,
            Some(false) => Heard::Noted,
        })
    }

    async fn mark_silent(&mut self, before: Timestamp, now: Timestamp, limit: i64) -> Result<Vec<Id>, StoreError> {
        // The condition stands at the update, too: a heartbeat that arrived meanwhile is seen when its row is locked.
        let rows = self
            .query(
                "UPDATE fleet.agent_heartbeats h SET status = 'Offline', state_entered_at = $2 \
                 WHERE h.agent_id IN (SELECT s.agent_id FROM fleet.agent_heartbeats s \
                     JOIN fleet.agents a ON a.id = s.agent_id AND a.retired_at IS NULL \
                     WHERE s.status = 'Online' AND coalesce(s.last_heartbeat_at, s.state_entered_at) < $1 \
                     ORDER BY s.agent_id LIMIT $3) \
                   AND h.status = 'Online' AND coalesce(h.last_heartbeat_at, h.state_entered_at) < $1 \
                 RETURNING h.agent_id",
                &[&before, &now, &limit],
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn retirement_counts(&mut self, id: &str) -> Result<RetirementCounts, StoreError> {
        let row = self
            .query_one(
                "WITH mine AS (SELECT id FROM fleet.targets WHERE agent_id = $1 AND retired_at IS NULL) \
                 SELECT (SELECT count(*) FROM mine), \
                   (SELECT count(DISTINCT c.id) FROM inventory.certificate_targets t \
                      JOIN mine ON mine.id = t.target_id \
                      JOIN inventory.certificates c ON c.id = t.certificate_id AND c.status <> 'Archived'), \
                   (SELECT count(*) FROM work.jobs j WHERE j.completed_at IS NULL \
                      AND (j.agent_id = $1 OR j.target_id IN (SELECT id FROM mine)))",
                &[&id],
            )
            .await?;
        Ok(RetirementCounts { active_targets: row.get(0), active_certificates: row.get(1), pending_jobs: row.get(2) })
    }

    async fn retire_agent(&mut self, id: &str, reason: Option<&str>, at: Timestamp) -> Result<(), StoreError> {
        // Certificate before job, as everywhere.
        let held = "SELECT c.id FROM inventory.certificates c WHERE c.id IN (SELECT j.certificate_id FROM work.jobs j \
             WHERE j.agent_id = $1 AND j.completed_at IS NULL AND j.type IN ('Issuance', 'Renewal')) \
             ORDER BY c.id FOR UPDATE OF c";
        self.query(held, &[&id]).await?;
        self.execute(
            "UPDATE fleet.agents SET retired_at = $2, retired_reason = $3, updated_at = $2, \
               row_version = row_version + 1 WHERE id = $1",
            &[&id, &at, &reason],
        )
        .await?;
        self.execute(
            "UPDATE fleet.targets SET retired_at = $2, retired_reason = $3, updated_at = $2, \
               row_version = row_version + 1 WHERE agent_id = $1 AND retired_at IS NULL",
            &[&id, &at, &reason],
        )
        .await?;
        self.execute(
            "WITH off AS (UPDATE work.jobs SET status = 'Cancelled', last_error = 'the agent was retired', \
                 completed_at = $2, state_entered_at = $2, retryable = false, lease_owner = NULL, \
                 lease_expires_at = NULL, row_version = row_version + 1 \
               WHERE agent_id = $1 AND completed_at IS NULL RETURNING id, type, certificate_id, target_id), \
             failed AS (UPDATE inventory.certificate_targets t SET state = 'failed', state_entered_at = $2, \
                 last_error = 'the agent was retired' FROM off \
               WHERE t.last_job_id = off.id AND t.state IN ('pending', 'deploying')) \
             UPDATE inventory.certificates c SET state_entered_at = $2, updated_at = $2, \
               row_version = row_version + 1, status = CASE \
                 WHEN c.revoked_at IS NOT NULL THEN 'Revoked' WHEN c.expires_at IS NULL THEN 'Failed' \
                 WHEN c.expires_at <= $2 THEN 'Expired' WHEN c.next_renewal_at <= $2 THEN 'Expiring' ELSE 'Active' END \
             FROM off WHERE off.type IN ('Issuance', 'Renewal') AND c.id = off.certificate_id \
               AND c.status = 'RenewalInProgress'",
            &[&id, &at],
        )
        .await
        .map(|_| ())
    }

    async fn agents_page(&mut self, filter: &AgentFilter, list: &ListQuery) -> Result<Page<Agent>, StoreError> {
        let sql = ListSql {
            columns: AGENT,
            from: FROM,
            key: "a.registered_at",
            kind: KeyKind::Time,
            id: "a.id",
            descending: true,
        };
        let filters = Filters::default()
            .with("(? AND a.retired_at IS NULL)", "boolean", Some(true))
            .with("h.status = ?", "text", filter.status.map(AgentStatus::as_str))
            .with(
                "(a.id ILIKE ? OR a.name ILIKE ? OR a.hostname ILIKE ?)",
                "text",
                filter.q.as_deref().map(containing),
            );
        self.page(&sql, &filters, filter.fingerprint(), list, agent, |row| {
            (key_of(Some(row.registered_at)), row.id.clone())
        })
        .await
    }

    async fn retired_agents_page(&mut self, list: &ListQuery) -> Result<Page<Agent>, StoreError> {
        let sql = ListSql {
            columns: AGENT,
            from: FROM,
            key: "a.retired_at",
            kind: KeyKind::Time,
            id: "a.id",
            descending: true,
        };
        let filters = Filters::default().with("(? AND a.retired_at IS NOT NULL)", "boolean", Some(true));
        self.page(&sql, &filters, "retired-agents".to_owned(), list, agent, |row| {
            (key_of(row.retired_at), row.id.clone())
        })
        .await
    }
}
