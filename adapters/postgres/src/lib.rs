//! PostgreSQL: every store trait over tokio-postgres and deadpool. The only place with SQL.

mod audit;
mod error;
mod iam;
mod listener;
mod migrate;
mod platform;
mod pool;
mod unit_of_work;

pub use listener::{Listener, Notice};
pub use migrate::{MigrationStatus, check, migrate};
pub use pool::{ConnectError, PoolSettings, Postgres, TlsMode};
