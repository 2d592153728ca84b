//! The audit trail.

use crate::edge::{Gate, Route};
use certctl_audit::AuditRecord;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

mod get;
mod list;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuditRead), list),
        crate::route!(Gate::Permission(Permission::AuditRead), get),
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
        }
    }
}
