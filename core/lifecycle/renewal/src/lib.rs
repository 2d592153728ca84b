//! Renewal: when a certificate is due, and what starts it.

mod instant;

pub use instant::{renewal_instant, renewal_window};
