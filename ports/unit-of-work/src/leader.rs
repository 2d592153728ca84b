//! Scheduler loops that must run on one replica at a time.

use async_trait::async_trait;
use certctl_kernel::{StoreError, Timestamp};

/// One finished run of a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopRun {
    /// The loop's name.
    pub loop_name: String,
    /// The replica that ran it.
    pub replica: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Rows it worked on.
    pub items: i64,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Keeps the history of loop runs.
#[async_trait]
pub trait LoopRunStore: Send {
    /// Tries to become the one replica that runs `loop_name`, for the life of this transaction.
    async fn try_lead(&mut self, loop_name: &str) -> Result<bool, StoreError>;
    /// Records a finished run.
    async fn record_loop_run(&mut self, run: &LoopRun) -> Result<(), StoreError>;
    /// When the loop last ended well.
    async fn last_successful_run(&mut self, loop_name: &str) -> Result<Option<Timestamp>, StoreError>;
}
