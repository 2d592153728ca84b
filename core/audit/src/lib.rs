//! The audit trail: typed events, their categories, and redaction before storage.
//!
//! A use case that changes state records its event through [`AuditLog`] in the transaction of the change: both
//! commit or neither does. Sealing into a tamper-evident log happens later, off the hot path.

mod access;
mod action;
mod event;
mod redaction;

pub use access::{AccessEntry, AccessLogStore};
pub use action::{Action, Category};
pub use event::{AuditEvent, AuditFilter, AuditLog, AuditRecord, AuditStore};
pub use redaction::redact;
