//! Teams.

use crate::edge::{Gate, Route};
use certctl_inventory::Team;
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
        crate::route!(Gate::Permission(Permission::TeamRead), list),
        crate::route!(Gate::Permission(Permission::TeamEdit), create),
        crate::route!(Gate::Permission(Permission::TeamRead), get),
        crate::route!(Gate::Permission(Permission::TeamEdit), update),
        crate::route!(Gate::Permission(Permission::TeamDelete), delete),
    ]
}

/// A unit that owns certificates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Team)]
pub(crate) struct TeamBody {
    id: String,
    name: String,
    description: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Team> for TeamBody {
    fn from(team: Team) -> Self {
        Self {
            id: team.id,
            name: team.name,
            description: team.description,
            created_at: team.created_at,
            updated_at: team.updated_at,
        }
    }
}
