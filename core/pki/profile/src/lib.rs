//! Certificate profiles: what may be issued, and the rules a profile itself must keep.
//!
//! Whether a request fits a profile is asked here ([`Profile::allows_key`], [`Profile::name_violations`]); what
//! follows from the answer is the business of issuance.

mod commands;
mod document;
mod model;
mod names;
mod patch;
mod ports;
mod validation;

pub use commands::{
    CreateProfile, KeyRuleInput, PlannedUpdate, ProfileInput, UpdateProfile, create_profile, delete_profile,
    get_profile, list_profiles, plan_update, save_update, visible_profiles,
};
pub use document::{apply_document, document, document_changes};
pub use model::{AcmeAuthMode, Eku, KeyAlgorithm, KeyRule, Profile};
pub use names::{NameKind, RequestedName};
pub use patch::Patch;
pub use ports::{ProfileFilter, ProfileStore, ProfileUsage};
pub use validation::{CSR_ATTRIBUTES, check_profile};
