//! `GET /api/v1/auth/actors/{type}/{id}/scope-down`

use super::actor_in;
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use certctl_kernel::{Timestamp, timestamp};
use serde::Serialize;
use time::Duration;
use utoipa::ToSchema;

const DAYS: u32 = 90;
const MOST_DAYS: u32 = 3650;

/// The least roles that would have done.
#[derive(Serialize, ToSchema)]
#[schema(as = ScopeDown)]
pub(crate) struct ScopeDownBody {
    actor_id: String,
    actor_type: &'static str,
    /// From when use counts.
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    current_roles: Vec<String>,
    /// Roles that give all that was used and the least beyond it; never more than is held now.
    suggested_roles: Vec<String>,
    used: Vec<UsedPermission>,
    /// What would no longer be held.
    given_up: Vec<&'static str>,
    /// What was used and no single role within the present rights gives; while there is any, keep the present roles.
    uncovered: Vec<&'static str>,
    /// Whether the suggestion is worth taking: it covers all that was used and differs from what is held.
    useful: bool,
}

/// A permission that was used.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsedPermission {
    permission: &'static str,
    #[serde(with = "timestamp::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    last_used: Timestamp,
    count: i64,
}

/// Suggests fewer roles from the permissions that a principal used.
#[utoipa::path(
    get, path = "/api/v1/auth/actors/{type}/{id}/scope-down", tag = "auth",
    params(
        ("type" = String, Path, description = "`User`, `Agent` or `APIKey`."),
        ("id" = String, Path, description = "Id of the principal."),
        ("days" = Option<u32>, Query, minimum = 1, maximum = 3650, description = "How far back use counts; 90 when left out."),
    ),
    responses((status = 200, body = ScopeDownBody), (status = 304, description = "Nothing changed.")),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let (actor, caller) = (actor_in(&cx)?, cx.caller()?);
    let days = match params.text("days") {
        None => DAYS,
        Some(text) => text
            .parse()
            .ok()
            .filter(|days| (1..=MOST_DAYS).contains(days))
            .ok_or_else(|| ApiError::invalid("days", "out_of_range", "must be from 1 to 3650"))?,
    };
    params.finish()?;
    let now = cx.ambient().now();
    let since = now - Duration::days(i64::from(days));
    let found = cx.read(async |tx| Ok(certctl_rbac::suggest_scope_down(tx, caller, &actor, since, now).await?)).await?;
    cx.list(&ScopeDownBody {
        actor_id: actor.id,
        actor_type: actor.kind.as_str(),
        since,
        useful: found.useful(),
        current_roles: found.current,
        suggested_roles: found.suggested,
        used: found
            .used
            .into_iter()
            .map(|entry| UsedPermission {
                permission: entry.permission.as_str(),
                last_used: entry.last_used,
                count: entry.count,
            })
            .collect(),
        given_up: found.given_up.iter().map(|permission| permission.as_str()).collect(),
        uncovered: found.uncovered.iter().map(|permission| permission.as_str()).collect(),
    })
}
