//! Requests as data.

use crate::Party;
use certctl_kernel::{Id, Timestamp};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The wire and database spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// Parses the exact wire spelling.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    };
}

wire_enum! {
    /// What is asked for.
    ApprovalKind {
        /// One issuance of a certificate.
        CertIssuance = "cert_issuance",
        /// A change of a profile.
        ProfileEdit = "profile_edit",
    }
}

wire_enum! {
    /// States of a request; all but the first are final.
    ApprovalState {
        /// Waits for a decision.
        Pending = "pending",
        /// Granted; an issuance may follow once.
        Approved = "approved",
        /// Refused.
        Rejected = "rejected",
        /// Nobody decided in time.
        Expired = "expired",
        /// Taken back, or what it was for was called off.
        Withdrawn = "withdrawn",
    }
}

wire_enum! {
    /// What people are told of a request.
    Event {
        /// It waits for a decision.
        Requested = "requested",
        /// It was granted.
        Approved = "approved",
        /// It was refused.
        Rejected = "rejected",
        /// Nobody decided in time.
        Expired = "expired",
        /// It was granted without a second person.
        Bypassed = "bypassed",
        /// It was taken back.
        Withdrawn = "withdrawn",
        /// Somebody commented.
        Commented = "commented",
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Who decided.
    pub by: Party,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub note: Option<String>,
}

/// The one use of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumption {
    /// When.
    pub at: Timestamp,
    /// The version that was issued.
    pub version_id: Id,
}

/// Something that a second person must grant.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalRequest {
    /// `apr-…`
    pub id: Id,
    /// Tenant.
    pub tenant_id: String,
    /// What is asked for.
    pub kind: ApprovalKind,
    /// The certificate to be issued.
    pub certificate_id: Option<Id>,
    /// The job that waits for the decision.
    pub job_id: Option<Id>,
    /// The profile that demands it.
    pub profile_id: Id,
    /// Who asks.
    pub requester: Party,
    /// State.
    pub state: ApprovalState,
    /// When it entered its state.
    pub state_entered_at: Timestamp,
    /// How it ended.
    pub decision: Option<Decision>,
    /// Facts for people.
    pub metadata: BTreeMap<String, String>,
    /// What is to be approved: the certificate's facts, or the profile as it is to be.
    pub payload: Map<String, Value>,
    /// The profile as it was when its change was asked for.
    pub base: Option<Map<String, Value>>,
    /// Row version of that profile.
    pub base_version: Option<i64>,
    /// SHA-256 of the one key that may be certified, where it is known already.
    pub spki_sha256: Option<String>,
    /// While pending: until when it can be decided; once approved: until when the approval can be used.
    pub expires_at: Timestamp,
    /// The one use of the approval.
    pub consumed: Option<Consumption>,
    /// Bumped by each update.
    pub row_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl ApprovalRequest {
    /// What the change would change: field → [before, after]; nothing for an issuance.
    pub fn payload_diff(&self) -> Option<Map<String, Value>> {
        self.base.as_ref().map(|base| certctl_profile::document_changes(base, &self.payload))
    }
}

/// A remark on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Who wrote it.
    pub author: String,
    /// The author's kind, in wire spelling.
    pub author_type: String,
    /// What.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// What a party may decide at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decidable {
    /// Who decides.
    pub by: Party,
    /// Profiles for which it may decide; `None` for all.
    pub profiles: Option<Vec<Id>>,
    /// Now.
    pub now: Timestamp,
}

/// Filters of the list; all that are set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// State.
    pub state: Option<ApprovalState>,
    /// What is asked for.
    pub kind: Option<ApprovalKind>,
    /// Certificate.
    pub certificate_id: Option<Id>,
    /// Id of the asking actor.
    pub requested_by: Option<String>,
    /// Only what this party, or its person, asked for.
    pub asked_by: Option<Party>,
    /// Only what this party may decide.
    pub decidable: Option<Decidable>,
    /// Only requests of these profiles.
    pub within: Option<Vec<Id>>,
}

impl ApprovalFilter {
    /// Binds a cursor to this list; the present is no part of it.
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        ("approvals", self.state, self.kind, &self.certificate_id, &self.requested_by).hash(&mut hasher);
        (&self.asked_by, &self.within).hash(&mut hasher);
        self.decidable.as_ref().map(|decidable| (&decidable.by, &decidable.profiles)).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
