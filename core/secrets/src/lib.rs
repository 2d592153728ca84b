//! What is sealed in the database, under which key, and how it moves to another one.

mod catalogue;
mod check;
mod installation;
mod ports;
mod reseal;

pub use catalogue::SealedColumn;
pub use check::{Unreadable, check};
pub use installation::{InstallationSecretStore, installation_secret};
pub use ports::{SealedCell, SealedCount, SecretStore};
pub use reseal::{BatchReport, Failure, reseal_batch, try_batch};
