//! The HTTP edge: one declarative route table from which routing, authorization and the OpenAPI document come.
//!
//! `edge` holds the pipeline every request passes; each resource has a folder with one file an operation.

mod agents;
mod approvals;
mod audit;
mod auth;
mod certificates;
pub mod edge;
mod input;
mod issuers;
mod jobs;
mod metrics;
pub mod openapi;
mod owners;
mod pages;
mod pki;
mod probes;
mod profiles;
mod renewal_policies;
pub mod routes;
mod search;
mod state;
mod stats;
mod targets;
mod teams;

pub use auth::{Bootstrap, Breakglass, KeyAuthenticator, Oidc, OidcSettings};
pub use edge::server::{AppConfig, configure};
pub use pki::StatusService;
pub use state::{AppState, Backends, Hsts, HttpSettings, RateLimitSettings};
