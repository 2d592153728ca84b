//! The log before independent judges, and exports as somebody checks them who has no server.

mod judges;
mod offline;
mod support;
