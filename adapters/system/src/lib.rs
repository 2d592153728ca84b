//! The host's clock and randomness, sealing at rest with a keyring, passwords, and checkpoints in files.

mod archive_folder;
mod clock;
mod keyring;
mod legacy;
mod passwords;
mod random;
mod witness;

pub use archive_folder::ArchiveFolder;
pub use clock::SystemClock;
pub use keyring::{Keyring, KeyringError, MasterKey, Strength};
pub use passwords::PasswordPool;
pub use random::SystemRandom;
pub use witness::FileWitness;
