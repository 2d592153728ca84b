//! Certificate profiles: what may be issued, and the rules a profile itself must keep.
//!
//! Whether a request fits a profile is asked here ([`Profile::allows_key`], [`Profile::name_violations`]); what
//! follows from the answer is the business of issuance.

mod model;
mod names;
mod patch;
mod ports;
mod validation;

pub use model::{AcmeAuthMode, Eku, KeyAlgorithm, KeyRule, Profile};
pub use names::{NameKind, RequestedName};
pub use patch::Patch;
pub use ports::{ProfileFilter, ProfileStore, ProfileUsage};
pub use validation::{CSR_ATTRIBUTES, check_profile};
