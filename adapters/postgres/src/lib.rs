//! PostgreSQL: every store trait over tokio-postgres and deadpool. The only place with SQL.

mod agents;
mod approvals;
mod audit;
mod audit_log;
mod audit_verifications;
mod ca;
mod certificates;
mod error;
mod iam;
mod issuers;
mod jobs;
mod listener;
mod migrate;
mod org;
mod paging;
mod platform;
mod policy;
mod pool;
mod rate_limits;
mod rbac;
mod secrets;
mod stats;
mod status;
mod targets;
mod unit_of_work;
mod work;

pub use listener::{Listener, Notice};
pub use migrate::{MigrationStatus, check, migrate};
pub use pool::{ConnectError, PoolSettings, Postgres, TlsMode};
pub use rate_limits::PgRateLimits;
