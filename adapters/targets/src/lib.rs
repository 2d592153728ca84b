//! Target connectors: how certificates get into the products that serve them. One module a product; what they share,
//! above all the file transaction, stands beside them.

mod catalogue;
pub mod command;
pub mod files;
mod host;
mod nginx;
pub mod preflight;
pub mod probe;
mod schema;
mod serving;
mod steps;

pub use catalogue::{Catalogue, connector, validate_target_config};
pub use host::{DEFAULT_COMMANDS, Host, Observer};
pub use nginx::Nginx;
pub use schema::parse_duration;
