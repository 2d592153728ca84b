//! What a provider's groups are worth.

use crate::edge::{ApiError, BodyDigest, Cx, Gate, PageBody, Reply, Route};
use actix_web::HttpResponse;
use certctl_kernel::{ListQuery, Page, Timestamp, timestamp};
use certctl_oidc::{EditMapping, GroupMapping, NewMapping, update_mapping};
use certctl_rbac::{Permission, parse_scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod create;
mod delete;
mod get;
mod import;
mod list;
mod patch;
mod update;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuthOidcList), list),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), create),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), import),
        crate::route!(Gate::Permission(Permission::AuthOidcList), get),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), update),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), patch),
        crate::route!(Gate::Permission(Permission::AuthOidcEdit), delete),
    ]
}

/// Members of a provider's group hold a role.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupMapping)]
pub(crate) struct MappingBody {
    id: String,
    provider_id: String,
    group_name: String,
    role_id: String,
    tenant_id: String,
    /// `global`, `profile` or `issuer`.
    scope_type: &'static str,
    /// Id of the profile or issuer; absent where the role holds everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope_id: Option<String>,
    /// For people: what an opaque group id stands for.
    description: String,
    created_by: String,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<GroupMapping> for MappingBody {
    fn from(mapping: GroupMapping) -> Self {
        Self {
            id: mapping.id,
            provider_id: mapping.provider_id,
            group_name: mapping.group_name,
            role_id: mapping.role_id,
            tenant_id: mapping.tenant_id,
            scope_type: mapping.scope.kind().as_str(),
            scope_id: mapping.scope.id().map(ToOwned::to_owned),
            description: mapping.description,
            created_by: mapping.created_by,
            created_at: mapping.created_at,
        }
    }
}

/// A mapping with its validator.
fn reply(mapping: GroupMapping, with: fn(MappingBody) -> Reply<MappingBody>) -> Reply<MappingBody> {
    let (created_at, version) = (mapping.created_at, mapping.row_version);
    with(MappingBody::from(mapping)).version(created_at, version)
}

/// Mappings, with where the page stands in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupMappingList)]
pub(crate) struct MappingList {
    mappings: Vec<MappingBody>,
    total: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    page: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    per_page: Option<u32>,
    /// Where the next page starts, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next_cursor: Option<String>,
}

impl MappingList {
    fn new(query: &ListQuery, page: Page<GroupMapping>) -> Self {
        let page = PageBody::new(query, page, MappingBody::from);
        Self {
            mappings: page.data,
            total: page.total,
            page: page.page,
            per_page: page.per_page.or(page.page_size),
            next_cursor: page.next_cursor,
        }
    }
}

/// What a group is to be worth.
#[derive(Deserialize, ToSchema)]
pub(crate) struct GroupWorth {
    /// As the provider names it, octet by octet.
    #[serde(default)]
    #[schema(required = true, min_length = 1)]
    group_name: String,
    /// Id of the role; the caller must hold all that it permits, and `auth.role.assign`.
    #[serde(default)]
    #[schema(required = true)]
    role_id: String,
    /// `global` (when left out), `profile` or `issuer`.
    #[serde(default)]
    scope_type: Option<String>,
    /// Id of the profile or issuer.
    #[serde(default)]
    scope_id: Option<String>,
    /// For people.
    #[serde(default)]
    description: Option<String>,
}

impl GroupWorth {
    fn mapping(self) -> Result<NewMapping, ApiError> {
        Ok(NewMapping {
            group_name: self.group_name,
            role_id: self.role_id,
            scope: parse_scope(self.scope_type.as_deref(), self.scope_id.as_deref())?,
            description: self.description.unwrap_or_default(),
        })
    }
}

/// Changes a mapping.
async fn edit(cx: &Cx, digest: &BodyDigest, command: EditMapping) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    cx.change(digest, async |tx| Ok(reply(update_mapping(tx, cx.ambient(), caller, command).await?, Reply::ok))).await
}
