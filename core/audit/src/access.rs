//! The request log: who asked what of the API. It tells of use and not of change, so it is not sealed, is kept for a
//! shorter time, and is written off the hot path.

use async_trait::async_trait;
use certctl_kernel::{ActorType, StoreError, Timestamp};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessEntry {
    /// When it was answered.
    pub at: Timestamp,
    /// Its id.
    pub request_id: String,
    /// Who asked; `anonymous` where nobody signed in.
    pub actor_id: String,
    /// The kind of actor.
    pub actor_type: ActorType,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Path template of the route; empty where there is none.
    pub route: String,
    /// HTTP status.
    pub status: u16,
    /// Time to the answer, in milliseconds.
    pub latency_ms: f64,
    /// SHA-256 of a JSON body, hex; empty without one.
    pub body_hash: String,
    /// The permission that the gate asked for.
    pub permission: Option<String>,
    /// The client's address.
    pub source_ip: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The entry stands for so many requests.
    pub sampled: u32,
}

/// Takes entries of the request log, and turns its days over.
#[async_trait]
pub trait AccessLogStore: Send {
    /// Stores a batch.
    async fn append_access(&mut self, entries: &[AccessEntry]) -> Result<(), StoreError>;
    /// Makes the days from `now` on, and drops those that ended before `before`; gives how many it made or dropped.
    async fn turn_access_log(&mut self, now: Timestamp, before: Timestamp) -> Result<u64, StoreError>;
}
