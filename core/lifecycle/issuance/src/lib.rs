//! Issuing: from a certificate request to a recorded version, in one transaction.
//!
//! The order is fixed: row locked, state checked, decision, rehearsal, signature, read back, recorded. The leaf may
//! leave the process only after the transaction has committed.

mod hierarchy;
mod issue;
mod orphan;
mod ports;
mod preview;
mod test;

pub use hierarchy::{CreateCa, RetireCa, activate_ca, create_ca, get_ca, list_cas, retire_ca};
pub use issue::{IssueFromCsr, Outcome, issue_from_csr, record_refusal};
pub use orphan::record_orphan;
pub use ports::{IssuanceFacts, IssuanceStore};
pub use preview::{Preview, PreviewIssuance, Subject as PreviewSubject, preview_issuance};
pub use test::{record_failed_test, test_issuer};
