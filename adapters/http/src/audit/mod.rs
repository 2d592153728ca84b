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
mod get;
mod list;
mod proof;
mod sign;
mod tile;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuditRead), list),
        crate::route!(Gate::Permission(Permission::AuditRead), get),
        crate::route!(Gate::Permission(Permission::AuditRead), checkpoint),
        crate::route!(Gate::Permission(Permission::AuditExport), sign),
        crate::route!(Gate::Permission(Permission::AuditRead), proof),
        crate::route!(Gate::Permission(Permission::AuditRead), consistency),
        crate::route!(Gate::Permission(Permission::AuditRead), tile),
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
