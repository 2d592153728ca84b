//! PostgreSQL: every store trait over tokio-postgres and deadpool. The only place with SQL.

mod audit;
mod ca;
mod certificates;
mod error;
mod iam;
mod issuers;
mod listener;
mod migrate;
mod org;
mod paging;
mod platform;
mod policy;
mod pool;
mod status;
mod unit_of_work;

pub use listener::{Listener, Notice};
pub use migrate::{MigrationStatus, check, migrate};
pub use pool::{ConnectError, PoolSettings, Postgres, TlsMode};
