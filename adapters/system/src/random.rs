//! Randomness of the operating system.

use certctl_ports::Random;
use ring::rand::SecureRandom as _;

/// The operating system's generator.
#[derive(Debug, Clone)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    /// Opens the generator.
    #[expect(clippy::disallowed_methods, reason = "this is the Random that everything else draws from")]
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        if self.0.fill(buffer).is_err() {
            // Without randomness there is no safe way on, not even through an error that somebody might handle.
            eprintln!("fatal: the operating system gives no randomness");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_keeps_the_contract() {
        certctl_ports::contract::random(&super::SystemRandom::new());
    }
}
