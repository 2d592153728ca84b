//! Renewal: when a certificate is due, and what starts it.

mod instant;
mod ports;
mod renew;
mod scan;

pub use instant::{renewal_instant, renewal_window};
pub use ports::{DueCertificate, RenewalStore, StatusChange};
pub use renew::{Ordered, renew};
pub use scan::{PurgeSettings, ScanSettings, purge, renewal_scan};
