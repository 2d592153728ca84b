//! Figures about the whole: what there is, in which state, and how it moved from day to day.
//!
//! All are counted by the store in one aggregate each; nothing here walks rows.

mod figures;
mod ports;
mod queries;

pub use figures::{
    ApprovalCounts, CertificateCounts, DatedCount, FleetCounts, Inventory, JobCounts, JobDay, StatusCount, success_rate,
};
pub use ports::StatsStore;
pub use queries::{
    ACTIVE_WITHIN, DEFAULT_DAYS, EXPIRING_WITHIN, MAX_DAYS, certificates_by_status, expirations, inventory, issued,
    jobs_ended,
};
