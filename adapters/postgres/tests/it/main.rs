//! Behaviour of the stores against a real PostgreSQL.

mod audit;
mod cluster;
mod edge;
mod edge_auth;
mod iam;
mod migrate;
mod platform;
mod schema;
mod support;
