//! The pipeline: request id, limits, authentication, gate, errors, replies.

pub mod access;
mod access_log;
mod body;
mod client_address;
pub(crate) mod cookies;
mod correlation;
mod cors;
mod cx;
mod error;
pub(crate) mod headers;
pub(crate) mod limits;
mod list;
pub mod pipeline;
mod query;
mod reply;
pub mod route;
pub mod server;
pub(crate) mod sessions;
mod usage;

pub use access_log::{AccessLog, AccessLogWriter, access_log};
pub(crate) use body::{BodyDigest, JsonBody, SecretJson, SecretOctets, SecretText};
pub use client_address::TrustedProxies;
pub(crate) use cx::Cx;
pub use error::{ApiError, ErrorBody, FieldErrorBody};
pub(crate) use list::PageBody;
pub use pipeline::outer;
pub(crate) use query::QueryParams;
pub(crate) use reply::Reply;
pub(crate) use route::Documentation;
pub use route::{Gate, Presence, Route};
pub use sessions::Sessions;
pub use usage::PermissionUsage;
