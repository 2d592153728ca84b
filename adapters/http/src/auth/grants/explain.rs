//! `GET /api/v1/auth/explain`

use super::GrantBody;
use crate::auth::roles::known;
use crate::edge::{ApiError, Cx, QueryParams};
use actix_web::HttpResponse;
use certctl_kernel::Timestamp;
use certctl_rbac::{Deciding, Explain, check_actor, parse_scope};
use serde::Serialize;
use utoipa::ToSchema;

/// Why something is allowed, or why not.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExplanationBody {
    actor_id: String,
    actor_type: &'static str,
    permission: &'static str,
    /// `global`, `profile` or `issuer`.
    scope_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope_id: Option<String>,
    allowed: bool,
    /// The answer in a sentence.
    reason: String,
    /// The grant that allows it; absent when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    decided_by: Option<DecidingBody>,
    /// Grants that would give it at another time or in another scope; empty when it is allowed.
    near_misses: Vec<NearMissBody>,
}

/// A grant and the entry of its role.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecidingBody {
    grant: GrantBody,
    /// Where the role has the permission: `global`, `profile` or `issuer`.
    permission_scope_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    permission_scope_id: Option<String>,
}

/// A grant that does not give it, and why.
#[derive(Serialize, ToSchema)]
pub(crate) struct NearMissBody {
    #[serde(flatten)]
    deciding: DecidingBody,
    /// `expired` or `other_scope`.
    obstacle: &'static str,
}

impl DecidingBody {
    fn new(found: Deciding, now: Timestamp) -> Self {
        Self {
            permission_scope_type: found.permitted_in.kind().as_str(),
            permission_scope_id: found.permitted_in.id().map(ToOwned::to_owned),
            grant: GrantBody::new(found.grant, now),
        }
    }
}

/// Names the grant that decides. Everybody may ask about itself; about others only who holds `auth.role.list`.
#[utoipa::path(
    get, path = "/api/v1/auth/explain", tag = "auth",
    params(
        ("permission" = String, Query, description = "Name of the permission, such as `cert.revoke`."),
        ("scope_type" = Option<String>, Query, description = "`global` (when left out), `profile` or `issuer`."),
        ("scope_id" = Option<String>, Query, description = "Id of the profile or issuer."),
        ("actor_type" = Option<String>, Query, description = "Another principal's kind; with `actor_id`."),
        ("actor_id" = Option<String>, Query, description = "Another principal's id; with `actor_type`."),
    ),
    responses(
        (status = 200, body = ExplanationBody),
        (status = 304, description = "Nothing changed."),
        (status = 403, body = crate::edge::ErrorBody, description = "About another principal, without `auth.role.list`."),
        (status = 404, body = crate::edge::ErrorBody, description = "There is no such principal."),
    ),
)]
pub(crate) async fn handler(cx: Cx, mut params: QueryParams) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let name = params.text("permission").ok_or_else(|| ApiError::invalid("permission", "required", "is required"))?;
    let (scope_type, scope_id) = (params.text("scope_type"), params.text("scope_id"));
    let actor = match (params.text("actor_type"), params.text("actor_id")) {
        (None, None) => caller.context.actor.clone(),
        (Some(kind), Some(id)) => check_actor(&kind, &id)
            .map_err(|_| ApiError::invalid("actor_type", "unknown_value", "must be one of User, Agent, APIKey"))?,
        (None, Some(_)) => return Err(ApiError::invalid("actor_type", "required", "is required with actor_id")),
        (Some(_), None) => return Err(ApiError::invalid("actor_id", "required", "is required with actor_type")),
    };
    params.finish()?;
    let permission = known("permission", &name)?;
    let scope = parse_scope(scope_type.as_deref(), scope_id.as_deref())?;
    let question = Explain { actor, permission, scope };
    let now = cx.ambient().now();
    let found = cx.read(async |tx| Ok(certctl_rbac::explain_access(tx, caller, &question, now).await?)).await?;
    let reason = match &found.allowed_by {
        Some(by) if by.grant.source == "builtin" => format!("{} comes with this kind of principal", by.grant.role_id),
        Some(by) => format!("{} is granted by {} ({})", by.grant.role_id, by.grant.granted_by, by.grant.source),
        None if found.near_misses.is_empty() => "no role that is granted has this permission".to_owned(),
        None => "the grants that have this permission ended or hold elsewhere".to_owned(),
    };
    cx.list(&ExplanationBody {
        actor_id: question.actor.id,
        actor_type: question.actor.kind.as_str(),
        permission: question.permission.as_str(),
        scope_type: question.scope.kind().as_str(),
        scope_id: question.scope.id().map(ToOwned::to_owned),
        allowed: found.allowed_by.is_some(),
        reason,
        decided_by: found.allowed_by.map(|by| DecidingBody::new(by, now)),
        near_misses: found
            .near_misses
            .into_iter()
            .map(|miss| NearMissBody {
                obstacle: miss.obstacle.as_str(),
                deciding: DecidingBody::new(miss.deciding, now),
            })
            .collect(),
    })
}
