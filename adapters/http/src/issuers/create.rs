//! `POST /api/v1/issuers`

use super::IssuerBody;
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_ca::Lend;
use certctl_inventory::CreateIssuer;
use certctl_kernel::DomainError;
use certctl_port_issuer::IssuerError;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A issuer to create.
#[derive(Deserialize, ToSchema)]
#[schema(as = IssuerInput)]
pub(crate) struct Input {
    /// An id of your choice.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]
    id: Option<String>,
    /// Unique, up to 255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// `GenericCA`, or its aliases `local` and `local_ca`.
    r#type: String,
    /// Configuration by type.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    config: Value,
    /// Whether it signs; default true.
    #[serde(default)]
    enabled: Option<bool>,
    /// `single`.
    #[serde(default)]
    hierarchy_mode: Option<String>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Creates a issuer.
#[utoipa::path(
    post, path = "/api/v1/issuers", tag = "issuers", request_body = Input,
    responses((status = 201, body = IssuerBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let input = body.value;
    let command = CreateIssuer {
        id: input.id,
        name: input.name,
        kind: input.r#type,
        config: input.config,
        enabled: input.enabled.unwrap_or(true),
        hierarchy_mode: input.hierarchy_mode,
        source: "database",
    };
    cx.change(&body.digest, async |tx| {
        let made = certctl_inventory::create_issuer(tx, cx.ambient(), caller, command).await?;
        // Its CA is made, or read from the operator's files, at once: what can't sign is refused here, and CRL and CA
        // certificate can be fetched before the first leaf.
        if let Some(backends) = &cx.state().backends {
            backends.issuers.issuer(&mut Lend(tx), &made.id).await.map_err(refusal)?;
        }
        let made = tx.issuer(&made.id).await?.unwrap_or(made);
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(IssuerBody::from(made)).version(updated_at, version))
    })
    .await
}

fn refusal(error: IssuerError) -> ApiError {
    match error {
        IssuerError::Unusable { code, message } => ApiError::invalid("config", code, message),
        IssuerError::Misconfigured(errors) => DomainError::Validation(errors).into(),
        other => DomainError::from(other).into(),
    }
}
