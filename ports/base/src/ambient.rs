//! What use cases need at every step: time, randomness and identifiers.

use crate::{Clock, Random};
use certctl_kernel::{Id, IdKind, Timestamp};
use std::sync::Arc;

/// Time and randomness, handed to use cases together.
#[derive(Clone)]
pub struct Ambient {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Ambient {
    /// The current instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh identifier.
    pub fn id(&self, kind: IdKind) -> Id {
        self.random.id(kind, self.clock.as_ref())
    }

    /// `N` random octets.
    pub fn octets<const N: usize>(&self) -> [u8; N] {
        let mut buffer = [0u8; N];
        self.random.fill(&mut buffer);
        buffer
    }
}
