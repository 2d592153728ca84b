//! `GET /api/v1/auth/users`

use super::UserList;
use crate::edge::{ApiError, BodyDigest, Cx, QueryParams, Reply};
use crate::search;
use actix_web::HttpResponse;
use certctl_user::{UserFilter, UserState, list_users};

/// People, oldest first; that they were looked at is recorded.
#[utoipa::path(
    get, path = "/api/v1/auth/users", tag = "auth",
    params(
        ("q" = Option<String>, Query, description = "Part of the id, address or name, two characters at least."),
        ("oidc_provider_id" = Option<String>, Query, description = "Only people of this provider."),
        ("state" = Option<String>, Query, description = "`active`, `deactivated` or `purged`."),
        ("page" = Option<u32>, Query, description = "Page number from 1."),
        ("per_page" = Option<u32>, Query, description = "Rows a page, up to 500."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
    ),
    responses((status = 200, body = UserList)),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let states = UserState::ALL.map(|state| (state.as_str(), state));
    let filter = UserFilter {
        q: search::term(&mut params)?,
        oidc_provider_id: params.text("oidc_provider_id"),
        state: params.choice("state", &states)?,
    };
    let list = params.list(&filter.fingerprint())?;
    params.finish()?;
    cx.change(&BodyDigest::default(), async |tx| {
        Ok(Reply::ok(UserList::new(&list, list_users(tx, caller, &filter, &list).await?)))
    })
    .await
}
