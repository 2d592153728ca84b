//! Ports that several domains need: time, randomness, sealing at rest, signing keys and rate limits. Each trait's doc comment is
//! its contract; [`contract`] holds the kit that a real adapter and an in-memory fake both pass.

mod ambient;
mod announce;
mod clock;
pub mod contract;
pub mod fakes;
mod random;
mod rate_limit;
mod sealing;
mod signing;

pub use ambient::Ambient;
pub use announce::{Announcer, Change};
pub use clock::Clock;
pub use random::Random;
pub use rate_limit::{Bucket, Decision, Quota, RateLimits, Verdict};
pub use sealing::{KeyId, SEALED_HEAD, SealContext, SealError, SealedForm, Sealer, SealingKeys};
pub use signing::{KeyAlgorithm, KeyError, KeyGenerator, SignatureAlgorithm, SigningKey};
