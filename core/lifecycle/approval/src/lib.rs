//! Two-person approval: what one person asks for and another must grant.
//!
//! A certificate under a profile with `requires_approval` is issued once for each approved request, and such a profile
//! changes only by one. [`ApprovalRequest`] is a state machine whose moves are methods; stores load it under a lock,
//! move it and write it back. Effects (a job that goes on, a profile that changes) happen in the transaction of the
//! decision.
//!
//! Locks are taken in one order: certificate or profile, then the request, then the job.

mod decide;
mod error;
mod expire;
mod issuance;
mod jobs;
mod machine;
mod model;
mod party;
mod ports;
mod profile_edit;
mod tell;
mod view;

pub use decide::{approve, reject, withdraw};
pub use error::ApprovalError;
pub use expire::{ExpirySettings, expire_due};
pub use issuance::{ApprovalSettings, Subject, call_off, consume, request_issuance, usable_approval};
pub use jobs::{approve_job, cancel_job, reject_job};
pub use model::{
    ApprovalFilter, ApprovalKind, ApprovalRequest, ApprovalState, Comment, Consumption, Decidable, Decision, Event,
};
pub use party::{Party, Standing};
pub use ports::ApprovalStore;
pub use profile_edit::{ProfileEdit, edit_profile};
pub use view::{Mine, Wanted, ask, comment, get_approval, list_approvals};
