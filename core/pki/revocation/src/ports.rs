//! The store of revocations and of what is published about them.

use crate::{Candidate, Criteria, RevocationReason};
use async_trait::async_trait;
use certctl_inventory::CertificateStatus;
use certctl_kernel::{StoreError, Timestamp};

/// One revoked serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// `cr-…`
    pub id: String,
    /// The managed certificate.
    pub certificate_id: String,
    /// The version that carries the serial.
    pub version_id: String,
    /// The issuer that signed it.
    pub issuer_id: String,
    /// The CA generation that signed it, when the issuer is ours.
    pub ca_id: Option<String>,
    /// Serial number, 40 hex digits.
    pub serial_number: String,
    /// Why.
    pub reason: RevocationReason,
    /// Actor id.
    pub revoked_by: String,
    /// When.
    pub revoked_at: Timestamp,
    /// Since when the certificate is not to be trusted, when that is earlier.
    pub invalidity_date: Option<Timestamp>,
    /// Free text.
    pub comment: String,
    /// End of the certificate's validity; after it the CRL drops the entry.
    pub not_after: Timestamp,
    /// Whether the version is left out of CRLs because it is short-lived.
    pub revocation_exempt: bool,
}

/// A line of a CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlLine {
    /// Serial number, 40 hex digits.
    pub serial_number: String,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// Since when it is not to be trusted.
    pub invalidity_date: Option<Timestamp>,
}

/// The counters behind a CA's CRL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CrlCounters {
    /// Number of the newest CRL; 0 when there is none.
    pub last_number: i64,
    /// Grows with each committed revocation.
    pub revision: i64,
    /// `thisUpdate` of the newest CRL.
    pub last_this_update: Option<Timestamp>,
}

/// A published CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedCrl {
    /// The CA generation that signed it.
    pub ca_id: String,
    /// The issuer.
    pub issuer_id: String,
    /// The CRL.
    pub der: Vec<u8>,
    /// cRLNumber.
    pub number: i64,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// When it was made.
    pub generated_at: Timestamp,
    /// How long making it took.
    pub duration_ms: i32,
    /// How many entries it has.
    pub revoked_count: i32,
    /// The revision it was built from.
    pub built_from: i64,
}

/// A published CRL and whether revocations have been committed that it does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlState {
    /// The CRL.
    pub crl: PublishedCrl,
    /// True when a newer one must be made.
    pub dirty: bool,
}

/// One attempt at making a CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlEvent {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: i32,
    /// Whether a CRL was published.
    pub succeeded: bool,
    /// Its number; 0 on failure.
    pub crl_number: i64,
    /// How many entries it has.
    pub revoked_count: i32,
    /// Why it failed.
    pub error: Option<String>,
}

/// What an administrator sees of one CA's CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlOverview {
    /// The issuer.
    pub issuer_id: String,
    /// The published CRL without its octets; none before the first.
    pub crl: Option<CrlState>,
    /// The newest attempts, newest first, at most five.
    pub events: Vec<CrlEvent>,
}

/// An OCSP responder's certificate and sealed key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponderRecord {
    /// The CA generation that certified it.
    pub ca_id: String,
    /// Counts from 1 for each CA generation.
    pub generation: i32,
    /// The issuer.
    pub issuer_id: String,
    /// The certificate.
    pub cert_der: Vec<u8>,
    /// Its serial number.
    pub cert_serial: String,
    /// The key's algorithm, such as `ECDSA-P256`.
    pub key_alg: String,
    /// The sealed private key.
    pub sealed_key: Vec<u8>,
    /// SHA-256 of the public key's DER, hex.
    pub spki_sha256: String,
    /// First instant of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// Serial of the one it follows.
    pub rotated_from: Option<String>,
}

/// What the database knows of a serial under a CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialStatus {
    /// Issued and not revoked.
    Good,
    /// Revoked.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why.
        reason: RevocationReason,
    },
    /// Never issued by this CA.
    Unknown,
}

/// A certificate whose row is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedCertificate {
    /// Its id.
    pub id: String,
    /// Its common name.
    pub common_name: String,
    /// Its status, in wire spelling.
    pub status: String,
}

/// A version that has not expired and is not revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveVersion {
    /// Its id.
    pub id: String,
    /// The managed certificate.
    pub certificate_id: String,
    /// The issuer that signed it.
    pub issuer_id: String,
    /// The CA generation that signed it, when the issuer is ours.
    pub ca_id: Option<String>,
    /// Serial number, 40 hex digits.
    pub serial_number: String,
    /// SHA-256 of the key's `SubjectPublicKeyInfo`, hex.
    pub spki_sha256: String,
    /// End of its validity.
    pub not_after: Timestamp,
    /// Whether it is left out of CRLs.
    pub revocation_exempt: bool,
}

/// Reads and changes many certificates at once; each call is one statement, however many they are.
#[async_trait]
pub trait BulkStore: Send {
    /// Every certificate that meets the criteria, ordered by id.
    async fn revocation_candidates(
        &mut self,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<Vec<Candidate>, StoreError>;
    /// Locks those that are neither revoked nor archived, in the order of their ids.
    async fn lock_revocable(&mut self, ids: &[String]) -> Result<Vec<LockedCertificate>, StoreError>;
    /// Their versions that have not expired at `now` and are not revoked.
    async fn live_versions(&mut self, ids: &[String], now: Timestamp) -> Result<Vec<LiveVersion>, StoreError>;
    /// Marks them revoked.
    async fn mark_all_revoked(&mut self, ids: &[String], at: Timestamp, reason: &str) -> Result<(), StoreError>;
    /// Cancels their open jobs; tells how many.
    async fn cancel_jobs_of(&mut self, ids: &[String], reason: &str, now: Timestamp) -> Result<u64, StoreError>;
    /// Those whose issuance waits for an approval.
    async fn with_pending_approval(&mut self, ids: &[String]) -> Result<Vec<String>, StoreError>;
}

/// Revocations, CRLs and responders.
#[async_trait]
pub trait StatusStore: Send {
    /// Stores the revocations and counts one revision for each CA they touch.
    async fn insert_revocations(&mut self, revocations: &[Revocation], now: Timestamp) -> Result<(), StoreError>;
    /// Every revocation of the certificate.
    async fn revocations_of(&mut self, certificate_id: &str) -> Result<Vec<Revocation>, StoreError>;
    /// Changes the reason of the revocations and counts one revision for each CA they touch.
    async fn change_revocation_reason(
        &mut self,
        ids: &[String],
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Ends the revocations, which were holds, and counts one revision for each CA they touch.
    async fn lift_revocations(&mut self, ids: &[String], now: Timestamp) -> Result<(), StoreError>;
    /// Gives a certificate its status after a hold.
    async fn mark_unheld(
        &mut self,
        certificate_id: &str,
        status: CertificateStatus,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Ids of the other certificates with a version that carries one of the keys.
    async fn certificates_with_keys(
        &mut self,
        spki_sha256: &[String],
        except_certificate_id: &str,
    ) -> Result<Vec<String>, StoreError>;
    /// What is known of serials under a CA, in their order; one statement.
    async fn serial_statuses(
        &mut self,
        issuer_id: &str,
        ca_id: &str,
        serials: &[String],
    ) -> Result<Vec<SerialStatus>, StoreError>;

    /// Waits until this transaction alone may publish status objects of the CA, on any replica.
    async fn lock_status(&mut self, ca_id: &str) -> Result<(), StoreError>;
    /// The published CRL of a CA.
    async fn crl(&mut self, ca_id: &str) -> Result<Option<CrlState>, StoreError>;
    /// The counters; reading them before the lines makes sure that no revocation is lost between two CRLs.
    async fn crl_counters(&mut self, ca_id: &str) -> Result<CrlCounters, StoreError>;
    /// The lines of the next CRL: in force, not exempt, and not expired at `listed_since`.
    async fn crl_lines(&mut self, ca_id: &str, listed_since: Option<Timestamp>) -> Result<Vec<CrlLine>, StoreError>;
    /// Publishes: number, CRL and event in one statement. Fails with a conflict when the number is not the highest.
    async fn publish_crl(&mut self, crl: &PublishedCrl, started_at: Timestamp) -> Result<(), StoreError>;
    /// Remembers a failed attempt.
    async fn record_crl_failure(&mut self, issuer_id: &str, ca_id: &str, event: &CrlEvent) -> Result<(), StoreError>;
    /// Ids of issuers whose CRL is missing, shows too little, or whose `next_update` or half-life lies before `now`.
    async fn issuers_with_stale_crls(&mut self, now: Timestamp) -> Result<Vec<String>, StoreError>;
    /// One row for each local CA, ordered by issuer id.
    async fn crl_overview(&mut self) -> Result<Vec<CrlOverview>, StoreError>;
    /// Forgets attempts older than `before`.
    async fn purge_crl_events(&mut self, before: Timestamp) -> Result<u64, StoreError>;

    /// The newest responder of a CA.
    async fn ocsp_responder(&mut self, ca_id: &str) -> Result<Option<ResponderRecord>, StoreError>;
    /// Stores a new responder.
    async fn insert_ocsp_responder(&mut self, responder: &ResponderRecord, now: Timestamp) -> Result<(), StoreError>;
    /// Ids of issuers with a CA in force whose newest responder ends before `deadline`.
    async fn issuers_with_ending_responders(&mut self, deadline: Timestamp) -> Result<Vec<String>, StoreError>;
}
