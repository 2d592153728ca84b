//! Behaviour of the stores against a real PostgreSQL.

mod audit;
mod cluster;
mod iam;
mod migrate;
mod platform;
mod schema;
mod support;
