//! Revocation and what is published about it: CRLs and OCSP answers.

mod bulk;
mod crl;
mod ocsp;
mod ports;
mod reason;
mod responder;
mod revoke;
mod unhold;

pub use bulk::{
    BulkPlan, BulkRevoke, BulkTotals, Candidate, Chunk, ChunkOutcome, Criteria, plan_bulk_revocation,
    record_bulk_revocation, revoke_chunk,
};
pub use crl::{Freshness, StatusSettings, publish_crl, published_crl, record_crl_failure};
pub use ocsp::{Answer, answer, responder_for};
pub use ports::{
    BulkStore, CrlCounters, CrlEvent, CrlLine, CrlOverview, CrlState, LiveVersion, LockedCertificate, PublishedCrl,
    ResponderRecord, Revocation, SerialStatus, StatusStore,
};
pub use reason::RevocationReason;
pub use responder::{Replace, Responder, ResponderKeys, ensure_responder, stored_responder};
pub use revoke::{Revoke, Revoked, revoke};
pub use unhold::{Unheld, unhold};
