//! Signing keys held in memory, over ring.

mod files;
mod ring_keys;

pub use files::{KeyFileError, load_key_file};
pub use ring_keys::RingKeys;
