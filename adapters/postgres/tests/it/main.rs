//! Behaviour of the stores against a real PostgreSQL.

mod cluster;
mod migrate;
mod support;
