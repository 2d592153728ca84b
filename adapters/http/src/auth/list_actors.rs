//! `GET /api/v1/auth/keys`

use crate::edge::{ApiError, Cx};
use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Actors with roles.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActorList {
    keys: Vec<ActorBody>,
}

/// One actor with the roles it holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActorBody {
    actor_id: String,
    actor_type: &'static str,
    tenant_id: String,
    role_ids: Vec<String>,
}

/// Actors of every kind that hold a role at the moment.
#[utoipa::path(get, path = "/api/v1/auth/keys", tag = "auth", responses((status = 200, body = ActorList)))]
pub(crate) async fn handler(cx: Cx) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let actors = cx.read(async |tx| Ok(certctl_apikey::list_actors(tx, cx.ambient(), caller).await?)).await?;
    let keys = actors
        .into_iter()
        .map(|held| ActorBody {
            actor_id: held.actor.id,
            actor_type: held.actor.kind.as_str(),
            tenant_id: held.actor.tenant_id,
            role_ids: held.roles,
        })
        .collect();
    cx.list(&ActorList { keys })
}
