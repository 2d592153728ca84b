//! The audit trail.

use crate::edge::{Gate, Route};
use certctl_audit::AuditRecord;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

mod checkpoint;
mod consistency;
mod export;
mod get;
mod list;
mod proof;
mod sign;
mod tile;
mod verify;
mod verify_status;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuditRead), list),
        crate::route!(Gate::Permission(Permission::AuditRead), get),
        crate::route!(Gate::Permission(Permission::AuditExport), export),
        crate::route!(Gate::Permission(Permission::AuditRead), checkpoint),
        crate::route!(Gate::Permission(Permission::AuditExport), sign),
        crate::route!(Gate::Permission(Permission::AuditRead), proof),
        crate::route!(Gate::Permission(Permission::AuditRead), consistency),
        crate::route!(Gate::Permission(Permission::AuditRead), tile),
        crate::route!(Gate::Permission(Permission::AuditRead), verify_status),
        crate::route!(Gate::Permission(Permission::AuditExport), verify),
    ]
}

/// Something that happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub(crate) struct AuditEventBody {
    id: String,
    actor: String,
    /// `User`, `System`, `Agent`, `APIKey` or `Anonymous`.
    actor_type: String,
    action: String,
    resource_type: String,
    resource_id: String,
    /// Facts of the event; secrets and personal data are replaced before it is stored.
    #[schema(value_type = Object)]
    details: Value,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// `cert_lifecycle`, `auth` or `config`.
    event_category: String,
    /// The request it belongs to.
    request_id: String,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
    /// Its number in the sealed log; absent until it is sealed, which takes about a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

impl From<AuditRecord> for AuditEventBody {
    fn from(record: AuditRecord) -> Self {
        Self {
            id: record.id,
            actor: record.actor_id,
            actor_type: record.actor_type,
            action: record.action,
            resource_type: record.resource_type,
            resource_id: record.resource_id,
            details: record.details,
            timestamp: record.at,
            event_category: record.category,
            request_id: record.request_id,
            source_ip: record.source_ip,
            seq: record.seq,
        }
    }
}

/// A signed note as a response.
fn note(text: String) -> actix_web::HttpResponse {
    actix_web::HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body(text)
}

/// Hashes in Base64.
fn encoded(hashes: &[certctl_audit_log::Hash]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

/// A verification of the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
pub(crate) struct RunBody {
    id: i64,
    /// `incremental` or `full`.
    mode: &'static str,
    requested_by: String,
    /// `running`, `ok`, `break` or `error`.
    result: &'static str,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// First event that it looks at.
    from_seq: u64,
    /// One past the last.
    to_seq: u64,
    /// Next event: how far it came.
    position: u64,
    /// Events whose rows were archived, so that only their leaves could be looked at.
    archived: u64,
    /// Root of the tree of `to_seq` events, Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    root_hash: Option<String>,
    /// The first thing that does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_break: Option<FindingBody>,
}

/// Something that does not hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditFinding)]
pub(crate) struct FindingBody {
    /// `event_changed`, `event_missing`, `gap`, `node_changed`, `checkpoint_changed`, `checkpoint_untrusted`,
    /// `truncated`, `forked`, `event_not_sealed`, `archive_unproven` or `error`.
    code: String,
    /// Number of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// Id of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    detail: String,
}

impl From<certctl_audit_log::Run> for RunBody {
    fn from(run: certctl_audit_log::Run) -> Self {
        Self {
            id: run.id,
            mode: run.mode.as_str(),
            requested_by: run.requested_by,
            result: run.result.as_str(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            from_seq: run.from_seq,
            to_seq: run.to_seq,
            position: run.position,
            archived: run.archived,
            root_hash: run.root.map(|root| root.to_string()),
            first_break: run.finding.map(|finding| FindingBody {
                code: finding.code,
                seq: finding.seq,
                event_id: finding.event_id,
                detail: finding.detail,
            }),
        }
    }
}
