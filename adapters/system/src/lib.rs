//! The host's clock and randomness, sealing at rest with a keyring, and checkpoints in files.

mod archive_folder;
mod clock;
mod keyring;
mod legacy;
mod random;
mod witness;

pub use archive_folder::ArchiveFolder;
pub use clock::SystemClock;
pub use keyring::{Keyring, KeyringError, MasterKey, Strength};
pub use random::SystemRandom;
pub use witness::FileWitness;
