//! Revocation and what is published about it: CRLs and OCSP answers.

mod crl;
mod ocsp;
mod ports;
mod reason;
mod responder;
mod revoke;

pub use crl::{Freshness, StatusSettings, publish_crl, published_crl, record_crl_failure};
pub use ocsp::{Answer, answer, responder_for};
pub use ports::{
    CrlCounters, CrlEvent, CrlLine, CrlOverview, CrlState, PublishedCrl, ResponderRecord, Revocation, SerialStatus,
    StatusStore,
};
pub use reason::RevocationReason;
pub use responder::{Replace, Responder, ResponderKeys, ensure_responder, stored_responder};
pub use revoke::{Revoke, Revoked, revoke};
