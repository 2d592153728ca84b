//! The host's clock and randomness, and sealing at rest with a keyring.

mod clock;
mod keyring;
mod random;

pub use clock::SystemClock;
pub use keyring::{Keyring, KeyringError, MasterKey, Strength};
pub use random::SystemRandom;
