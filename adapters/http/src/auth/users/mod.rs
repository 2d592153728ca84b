//! People.

use crate::edge::{Gate, PageBody, Route};
use certctl_kernel::{ListQuery, Page, Timestamp, timestamp};
use certctl_rbac::Permission;
use certctl_user::User;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod deactivate;
mod export;
mod get;
mod list;
mod purge;
mod reactivate;

/// The operations of this room.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        crate::route!(Gate::Permission(Permission::AuthUserRead), list),
        crate::route!(Gate::Authenticated, get),
        crate::route!(Gate::Permission(Permission::AuthUserDeactivate), deactivate),
        crate::route!(Gate::Permission(Permission::AuthUserDeactivate), reactivate),
        crate::route!(Gate::Permission(Permission::AuthUserDeactivate), purge),
        crate::route!(Gate::Authenticated, export),
    ]
}

/// Nothing needs to be said.
#[derive(Deserialize, ToSchema)]
#[schema(as = UserActionInput)]
pub(crate) struct NoInput {}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    id: String,
    tenant_id: String,
    /// As the provider told it at the last sign-in; empty where it tells none.
    email: String,
    display_name: String,
    /// The provider's name for the person; empty once personal data was removed, and for emergency accounts.
    oidc_subject: String,
    /// Empty for emergency accounts.
    oidc_provider_id: String,
    /// `active`, `deactivated` or `purged`.
    state: &'static str,
    /// Groups that the last sign-in told of.
    idp_groups: Vec<String>,
    /// Absent for who never signed in.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_login_at: Option<Timestamp>,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When the person was shut out.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    deactivated_at: Option<Timestamp>,
    /// When personal data was removed.
    #[serde(with = "timestamp::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    purged_at: Option<Timestamp>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            state: user.state().as_str(),
            id: user.id,
            tenant_id: user.tenant_id,
            email: user.email,
            display_name: user.display_name,
            oidc_subject: user.oidc_subject.unwrap_or_default(),
            oidc_provider_id: user.oidc_provider_id.unwrap_or_default(),
            idp_groups: user.idp_groups,
            last_login_at: user.last_login_at,
            created_at: user.created_at,
            updated_at: user.updated_at,
            deactivated_at: user.deactivated_at,
            purged_at: user.purged_at,
        }
    }
}

/// People, with where the page stands in the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserList {
    users: Vec<UserBody>,
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

impl UserList {
    fn new(query: &ListQuery, page: Page<User>) -> Self {
        let page = PageBody::new(query, page, UserBody::from);
        Self {
            users: page.data,
            total: page.total,
            page: page.page,
            per_page: page.per_page.or(page.page_size),
            next_cursor: page.next_cursor,
        }
    }
}
