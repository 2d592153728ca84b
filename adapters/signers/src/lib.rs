//! Signing keys: in memory over ring, read from files, and on PKCS#11 tokens.

mod files;
mod pkcs11;
mod ring_keys;

pub use files::{KeyFileError, load_key_file};
pub use pkcs11::Tokens;
pub use ring_keys::RingKeys;
