//! Behaviour of the stores against a real PostgreSQL.

mod audit;
mod ca;
mod certificates;
mod cluster;
mod edge;
mod edge_auth;
mod edge_inventory;
mod iam;
mod issuers;
mod migrate;
mod org;
mod pki;
mod platform;
mod policy;
mod schema;
mod status;
mod support;
