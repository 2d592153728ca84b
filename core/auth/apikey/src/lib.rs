//! API keys: their format, how they are recognised, and their life.

mod authenticate;
mod environment;
mod format;
mod lifecycle;
mod ports;
mod update;

pub use authenticate::{AuthenticatedKey, TOUCH_INTERVAL, authenticate};
pub use environment::{EnvironmentKey, SeedReport, seed_environment_keys};
pub use format::{KeyMaterial, hash_of, mint};
pub use lifecycle::{
    CreateKey, MintedKey, RotateKey, create_key, delete_key, issue_agent_key, list_actors, list_keys,
    revoke_agent_keys, rotate_key,
};
pub use ports::{Credential, CredentialKind, IamStore, KeySource, NewKey, StoredKey};
pub use update::{End, UpdateKey, tell_of_ended_keys, update_key};
