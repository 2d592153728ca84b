//! Two-person approval: what waits for a second person, and the decisions.

use crate::edge::{ApiError, Gate, Route};
use actix_web::http::StatusCode;
use certctl_approval::{ApprovalError, ApprovalRequest, Comment};
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

mod approve;
mod comment;
mod get;
mod list;
mod reject;
mod withdraw;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Objects(Permission::ApprovalRead), list),
        crate::route!(Gate::Objects(Permission::ApprovalRead), get),
        crate::route!(Gate::Objects(Permission::ApprovalApprove), approve),
        crate::route!(Gate::Objects(Permission::ApprovalReject), reject),
        // Whoever asked may take back and comment, whatever else it may do; the use cases see to that.
        crate::route!(Gate::Authenticated, withdraw),
        crate::route!(Gate::Authenticated, comment),
    ]
}

impl From<ApprovalError> for ApiError {
    fn from(error: ApprovalError) -> Self {
        let message = error.to_string();
        match error {
            ApprovalError::TwoPersons(_) => Self::new(StatusCode::FORBIDDEN, "two_person_integrity", message),
            ApprovalError::NotRequester => Self::new(StatusCode::FORBIDDEN, "not_requester", message),
            ApprovalError::Domain(error) => error.into(),
        }
    }
}

/// Why a request is granted or refused; may be left out.
#[derive(Deserialize, ToSchema)]
#[schema(as = DecisionInput)]
pub(crate) struct DecisionInput {
    /// No control characters other than line breaks and tabs.
    #[serde(default)]
    #[schema(max_length = 2000, pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$")]
    note: Option<String>,
}

/// What was decided.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecisionTaken {
    id: String,
    decided_by: String,
    #[schema(schema_with = crate::openapi::values::approval_state)]
    action: &'static str,
}

impl From<ApprovalRequest> for DecisionTaken {
    fn from(request: ApprovalRequest) -> Self {
        Self {
            action: request.state.as_str(),
            decided_by: request.decision.map(|decision| decision.by.id).unwrap_or_default(),
            id: request.id,
        }
    }
}

/// Something that a second person must grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub(crate) struct ApprovalBody {
    id: String,
    #[schema(schema_with = crate::openapi::values::approval_kind)]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    certificate_id: Option<String>,
    /// The job that waits for the decision; an operator's own certificate request has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    job_id: Option<String>,
    profile_id: String,
    requested_by: String,
    /// `APIKey`, `User` or `System`.
    requested_by_type: &'static str,
    #[schema(schema_with = crate::openapi::values::approval_state)]
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    decided_by: Option<String>,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    decided_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    decision_note: Option<String>,
    /// Facts for people, such as `common_name`.
    metadata: BTreeMap<String, String>,
    /// What is to be approved: the certificate's facts, or the profile as it is to be.
    #[schema(value_type = Object)]
    payload: Map<String, Value>,
    /// What a change of a profile would change: member → [before, after].
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false, nullable = false)]
    payload_diff: Option<Map<String, Value>>,
    /// Version of the profile that the change was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    base_version: Option<i64>,
    /// The one key that may be certified, SHA-256 of its `SubjectPublicKeyInfo` in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    spki_sha256: Option<String>,
    /// While pending: until when it can be decided; once approved: until when the approval can be used.
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When a certificate was issued by it; an approval serves once.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    consumed_at: Option<Timestamp>,
    /// The version that was issued by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    consumed_version_id: Option<String>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<ApprovalRequest> for ApprovalBody {
    fn from(request: ApprovalRequest) -> Self {
        let payload_diff = request.payload_diff();
        let (decided_by, decided_at, decision_note) = match request.decision {
            Some(decision) => (Some(decision.by.id), Some(decision.at), decision.note),
            None => (None, None, None),
        };
        let (consumed_at, consumed_version_id) = match request.consumed {
            Some(consumed) => (Some(consumed.at), Some(consumed.version_id)),
            None => (None, None),
        };
        Self {
            id: request.id,
            kind: request.kind.as_str(),
            certificate_id: request.certificate_id,
            job_id: request.job_id,
            profile_id: request.profile_id,
            requested_by: request.requester.id,
            requested_by_type: request.requester.kind.as_str(),
            state: request.state.as_str(),
            decided_by,
            decided_at,
            decision_note,
            metadata: request.metadata,
            payload: request.payload,
            payload_diff,
            base_version: request.base_version,
            spki_sha256: request.spki_sha256,
            expires_at: request.expires_at,
            consumed_at,
            consumed_version_id,
            created_at: request.created_at,
            updated_at: request.updated_at,
        }
    }
}

/// A remark on a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApprovalComment)]
pub(crate) struct CommentBody {
    author: String,
    author_type: String,
    text: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Comment> for CommentBody {
    fn from(comment: Comment) -> Self {
        Self { author: comment.author, author_type: comment.author_type, text: comment.text, created_at: comment.at }
    }
}

/// What is answered where a second person must grant first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AwaitsApproval {
    /// Always `pending_approval`.
    status: &'static str,
    /// The request that waits for a decision.
    pending_approval_id: String,
    /// What happens next.
    message: &'static str,
}

impl AwaitsApproval {
    /// The answer for a request that waits.
    pub(crate) fn new(request: ApprovalRequest, message: &'static str) -> Self {
        Self { status: "pending_approval", pending_approval_id: request.id, message }
    }
}
