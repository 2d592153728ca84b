//! Owners.

use crate::edge::{Gate, Route};
use certctl_inventory::Owner;
use certctl_kernel::{Timestamp, timestamp};
use certctl_rbac::Permission;
use serde::Serialize;
use utoipa::ToSchema;

mod create;
mod delete;
mod get;
mod list;
mod update;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::OwnerRead), list),
        crate::route!(Gate::Permission(Permission::OwnerEdit), create),
        crate::route!(Gate::Permission(Permission::OwnerRead), get),
        crate::route!(Gate::Permission(Permission::OwnerEdit), update),
        crate::route!(Gate::Permission(Permission::OwnerDelete), delete),
    ]
}

/// A person who answers for certificates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Owner)]
pub(crate) struct OwnerBody {
    id: String,
    name: String,
    /// Where notifications go, or empty.
    email: String,
    team_id: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Owner> for OwnerBody {
    fn from(owner: Owner) -> Self {
        Self {
            id: owner.id,
            name: owner.name,
            email: owner.email,
            team_id: owner.team_id,
            created_at: owner.created_at,
            updated_at: owner.updated_at,
        }
    }
}
