//! `POST /api/v1/certificates`

use super::{CertificateBody, reread};
use crate::edge::{ApiError, Cx, JsonBody, Reply};
use actix_web::HttpResponse;
use certctl_inventory::CreateCertificate;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A certificate to declare. Members that only the server writes, such as `status`, are accepted and ignored.
#[derive(Deserialize, ToSchema)]
#[schema(as = CertificateInput)]
pub(crate) struct Input {
    /// An id of your choice.
    #[serde(default)]
    #[schema(pattern = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$")]
    id: Option<String>,
    /// Unique, up to 255 characters.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")]
    name: String,
    /// Host name, address or mail address.
    #[schema(min_length = 1, max_length = 253, example = "www.example.com")]
    common_name: String,
    /// Host names, addresses, mail addresses and URIs.
    #[serde(default)]
    sans: Option<Vec<String>>,
    /// Free text, such as `production`.
    #[serde(default)]
    #[schema(max_length = 50)]
    environment: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    owner_id: String,
    #[schema(min_length = 1, max_length = 128)]
    team_id: String,
    #[schema(min_length = 1, max_length = 128)]
    issuer_id: String,
    #[schema(min_length = 1, max_length = 128)]
    renewal_policy_id: String,
    #[serde(default)]
    certificate_profile_id: Option<String>,
    /// Labels.
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    /// Targets to deploy to.
    #[serde(default)]
    target_ids: Option<Vec<String>>,
    #[serde(default)]
    #[schema(ignore)]
    pem_chain: Option<Value>,
    #[serde(default, rename = "status")]
    #[schema(ignore)]
    _status: Option<Value>,
    #[serde(default, rename = "expires_at")]
    #[schema(ignore)]
    _expires_at: Option<Value>,
    #[serde(default, rename = "next_renewal_at")]
    #[schema(ignore)]
    _next_renewal_at: Option<Value>,
    #[serde(default, rename = "current_version_id")]
    #[schema(ignore)]
    _current_version_id: Option<Value>,
    #[serde(default, rename = "last_renewal_at")]
    #[schema(ignore)]
    _last_renewal_at: Option<Value>,
    #[serde(default, rename = "last_deployment_at")]
    #[schema(ignore)]
    _last_deployment_at: Option<Value>,
    #[serde(default, rename = "revoked_at")]
    #[schema(ignore)]
    _revoked_at: Option<Value>,
    #[serde(default, rename = "revocation_reason")]
    #[schema(ignore)]
    _revocation_reason: Option<Value>,
    #[serde(default, rename = "source")]
    #[schema(ignore)]
    _source: Option<Value>,
    #[serde(default, rename = "created_at")]
    #[schema(ignore)]
    _created_at: Option<Value>,
    #[serde(default, rename = "updated_at")]
    #[schema(ignore)]
    _updated_at: Option<Value>,
}

/// Declares a certificate. Nothing is issued yet: ask for that with `renew`, or with a CSR of your own.
#[utoipa::path(
    post, path = "/api/v1/certificates", tag = "certificates", request_body = Input,
    responses((status = 201, body = CertificateBody)),
)]
pub(crate) async fn handler(cx: Cx, body: JsonBody<Input>) -> Result<HttpResponse, ApiError> {
    let caller = cx.caller()?;
    let input = body.value;
    if input.pem_chain.is_some_and(|value| !value.is_null()) {
        return Err(ApiError::invalid(
            "pem_chain",
            "not_supported",
            "certificates issued elsewhere can't be taken in by this build",
        ));
    }
    let targets = input.target_ids.unwrap_or_default();
    let command = CreateCertificate {
        id: input.id,
        name: input.name,
        common_name: input.common_name,
        sans: input.sans.unwrap_or_default(),
        environment: input.environment.unwrap_or_default(),
        owner_id: input.owner_id,
        team_id: input.team_id,
        issuer_id: input.issuer_id,
        renewal_policy_id: input.renewal_policy_id,
        certificate_profile_id: input.certificate_profile_id,
        tags: input.tags.unwrap_or_default(),
        target_ids: targets.clone(),
    };
    cx.change(&body.digest, async |tx| {
        let id = certctl_inventory::create_certificate(tx, cx.ambient(), caller, command).await?.id;
        if !targets.is_empty() {
            certctl_deployment::set_targets(tx, cx.ambient(), &id, &targets).await?;
        }
        let made = reread(tx, &id).await?;
        let (updated_at, version) = (made.updated_at, made.row_version);
        Ok(Reply::created(CertificateBody::from(made)).version(updated_at, version))
    })
    .await
}
