//! Responses kept for clients that repeat a request with the same `Idempotency-Key`.

use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};

/// What identifies a request: the actor, method, path and the client's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Actor id with its kind, so that two principals never meet.
    pub actor: String,
    /// Method and path with the client's key.
    pub key: String,
    /// SHA-256 of the body, hex.
    pub request_hash: String,
}

/// A response as it was first given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// JSON body; `None` when it held a secret and must not be shown again.
    pub body: Option<String>,
}

/// Outcome of claiming a key inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyClaim {
    /// First use: the caller runs the request and stores its response in this transaction.
    Fresh,
    /// Seen with the same body: replay the response.
    Replay(StoredResponse),
    /// Seen with another body: the client made a mistake.
    Mismatch,
}

/// Keeps responses for a day.
#[async_trait]
pub trait IdempotencyStore: Send {
    /// Claims the key; waits while another transaction holds it.
    async fn claim_idempotency(
        &mut self,
        key: &IdempotencyKey,
        expires_at: Timestamp,
    ) -> Result<IdempotencyClaim, StoreError>;
    /// Stores the response of a fresh claim.
    async fn store_idempotent_response(
        &mut self,
        key: &IdempotencyKey,
        response: &StoredResponse,
    ) -> Result<(), StoreError>;
    /// Drops what expired before `now`; returns how many rows.
    async fn purge_idempotency(&mut self, now: Timestamp) -> Result<u64, StoreError>;
}
