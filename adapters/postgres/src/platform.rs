//! Idempotency keys and loop runs.

use crate::unit_of_work::PgUnitOfWork;
use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};
use certctl_unit_of_work::{IdempotencyClaim, IdempotencyKey, IdempotencyStore, LoopRun, LoopRunStore, StoredResponse};

#[async_trait]
impl IdempotencyStore for PgUnitOfWork {
    async fn claim_idempotency(
        &mut self,
        key: &IdempotencyKey,
        expires_at: Timestamp,
    ) -> Result<IdempotencyClaim, StoreError> {
        // The insert waits for a concurrent holder of the same key: it then sees that one's committed response.
        let fresh = self
            .execute(
                "INSERT INTO platform.idempotency_keys (actor, key, request_hash, expires_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (actor, key) DO NOTHING",
                &[&key.actor, &key.key, &key.request_hash, &expires_at],
            )
            .await?;
        if fresh == 1 {
            return Ok(IdempotencyClaim::Fresh);
        }
        let row = self
            .query_one(
                "SELECT request_hash, status, body FROM platform.idempotency_keys WHERE actor = $1 AND key = $2",
                &[&key.actor, &key.key],
            )
            .await?;
        if row.get::<_, String>(0) != key.request_hash {
            return Ok(IdempotencyClaim::Mismatch);
        }
        let status: i16 = row.get(1);
        Ok(IdempotencyClaim::Replay(StoredResponse { status: u16::try_from(status).unwrap_or(200), body: row.get(2) }))
    }

    async fn store_idempotent_response(
        &mut self,
        key: &IdempotencyKey,
        response: &StoredResponse,
    ) -> Result<(), StoreError> {
        let status = i16::try_from(response.status).unwrap_or(200);
        self.execute(
            "UPDATE platform.idempotency_keys SET status = $3, body = $4 WHERE actor = $1 AND key = $2",
            &[&key.actor, &key.key, &status, &response.body],
        )
        .await
        .map(|_| ())
    }

    async fn purge_idempotency(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM platform.idempotency_keys WHERE expires_at < $1", &[&now]).await
    }
}

#[async_trait]
impl LoopRunStore for PgUnitOfWork {
    async fn try_lead(&mut self, loop_name: &str) -> Result<bool, StoreError> {
        let row = self
            .query_one("SELECT pg_try_advisory_xact_lock(hashtextextended('certctl.loop.' || $1, 0))", &[&loop_name])
            .await?;
        Ok(row.get(0))
    }

    async fn record_loop_run(&mut self, run: &LoopRun) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO platform.scheduler_runs (loop_name, replica, started_at, finished_at, items, error) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[&run.loop_name, &run.replica, &run.started_at, &run.finished_at, &run.items, &run.error],
        )
        .await
        .map(|_| ())
    }

    async fn last_successful_run(&mut self, loop_name: &str) -> Result<Option<Timestamp>, StoreError> {
        let row = self
            .query_one(
                "SELECT max(finished_at) FROM platform.scheduler_runs WHERE loop_name = $1 AND error IS NULL",
                &[&loop_name],
            )
            .await?;
        Ok(row.get(0))
    }
}

impl crate::Postgres {
    /// The audit log's origin, its own for ever, made by whoever asks first.
    pub async fn audit_origin(&self, fresh: [u8; 16]) -> Result<String, StoreError> {
        let offered = format!("certctl-audit/{}", data_encoding::HEXLOWER.encode(&fresh));
        self.setting_or_insert("audit.origin", &offered).await
    }

    /// The salt of the installation's encryption keys, made by whoever asks first.
    pub async fn installation_salt(&self, fresh: [u8; 16]) -> Result<[u8; 16], StoreError> {
        let offered = data_encoding::HEXLOWER.encode(&fresh);
        let kept = self.setting_or_insert("encryption.salt", &offered).await?;
        let octets = data_encoding::HEXLOWER.decode(kept.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
        octets.ok_or_else(|| StoreError::Internal { reason: "platform.settings holds a damaged salt".to_owned() })
    }
}
