//! Issuers. Today there is one kind: the local CA, whose key is sealed in the database or lies in an operator's file.

mod authority;
mod files;
mod local;
mod metrics;
mod registry;

pub use registry::{LocalIssuerSettings, LocalIssuers};
