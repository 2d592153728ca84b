//! Behaviour of the stores against a real PostgreSQL.

mod agents;
mod audit;
mod audit_log;
mod ca;
mod certificates;
mod cluster;
mod edge;
mod edge_auth;
mod edge_fleet;
mod edge_inventory;
mod fleet;
mod iam;
mod issuers;
mod jobs;
mod migrate;
mod org;
mod pki;
mod platform;
mod policy;
mod rate_limits;
mod schema;
mod stats;
mod status;
mod support;
mod targets;
