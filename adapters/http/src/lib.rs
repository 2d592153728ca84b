//! The HTTP edge: one declarative route table from which routing, authorization and the OpenAPI document come.
//!
//! `edge` holds the pipeline every request passes; each resource has a folder with one file an operation.

mod audit;
mod auth;
pub mod edge;
pub mod openapi;
mod pki;
mod probes;
pub mod routes;
mod state;

pub use auth::{Bootstrap, KeyAuthenticator};
pub use edge::server::{AppConfig, configure};
pub use pki::StatusService;
pub use state::{AppState, Backends, HttpSettings, RateLimitSettings};
