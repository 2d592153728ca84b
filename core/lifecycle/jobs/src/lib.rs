//! Jobs: what is to be done for a certificate, by whom, how often it was tried, and how it ended.
//!
//! [`Job`] is a state machine whose moves are methods; stores load a job under a lock, move it and write it back, so
//! the rules stand in one place. Claims, which pick many jobs at once, obey the same rules in their store.

mod failure;
mod machine;
mod manage;
mod model;
mod ports;
mod sweep;
mod verify;

pub use failure::{ErrorClass, JobFailure, backoff, fail, settled_status};
pub use machine::IllegalTransition;
pub use manage::{cancel_job, get_job, list_jobs, visible_jobs};
pub use model::{Job, JobFilter, JobStatus, JobType, NewJob, Trigger, Verification, VerificationStatus};
pub use ports::JobStore;
pub use sweep::{SweepSettings, reap_timeouts, retry_due};
pub use verify::{VerificationReport, record_verification, verification};
