//! `POST /api/v1/auth/oidc/providers/{id}/refresh`

use super::{archive::Input, registered};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use certctl_audit::{Action, AuditEvent};
use certctl_rbac::Permission;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// Metadata and keys were fetched.
#[derive(Serialize, ToSchema)]
#[schema(as = OIDCProviderRefreshed)]
pub(crate) struct Refreshed {
    refreshed: bool,
}

/// Fetches a provider's metadata and keys now, on the replica that answers. When it fails, what was known stays.
#[utoipa::path(
    post, path = "/api/v1/auth/oidc/providers/{id}/refresh", tag = "auth", request_body = Input,
    params(("id" = String, Path, description = "Id of the provider.")),
    responses((status = 200, body = Refreshed)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let (id, caller) = (cx.path("id")?, cx.caller()?);
    caller.require(Permission::AuthOidcEdit, &[])?;
    let (provider, registration) = registered(&cx, &id).await?;
    let outcome = cx.state().oidc()?.party.refresh(&registration).await;
    let mut details = json!({"provider_id": id, "name": provider.name, "refreshed": outcome.is_ok()});
    if let Err(error) = &outcome {
        details["reason"] = json!(error.to_string());
    }
    let response = cx
        .change(&body.digest, async |tx| {
            tx.record(AuditEvent::new(Action::OidcProviderRefreshed, &caller.context, &id, details)).await?;
            Ok(Reply::ok(Refreshed { refreshed: true }))
        })
        .await?;
    match outcome {
        Ok(_) => Ok(response),
        Err(error) => Err(ApiError::new(StatusCode::BAD_REQUEST, "refresh_failed", format!("refresh failed: {error}"))),
    }
}
