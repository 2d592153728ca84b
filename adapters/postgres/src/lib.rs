//! PostgreSQL: every store trait over tokio-postgres and deadpool. The only place with SQL.

mod agents;
mod approvals;
mod audit;
mod audit_export;
mod audit_log;
mod audit_retention;
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
mod runtime_role;
mod secrets;
mod sessions;
mod stats;
mod status;
mod targets;
mod unit_of_work;
mod work;

pub use listener::{Listener, Notice};
pub use migrate::{MigrationStatus, check, migrate};
pub use pool::{ConnectError, PoolSettings, Postgres, TlsMode};
pub use rate_limits::PgRateLimits;
pub use runtime_role::{grants, make_runtime_role, may_change_trail};
